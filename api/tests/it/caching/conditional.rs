//! Whoever has an answer already is told so (RFC 9110, section 13).

use std::collections::BTreeSet;

use api::Config;

use crate::seed::{event, id, store};
use crate::world::{Answer, Send, World, service};

crate::on_both_databases!(
    whoever_has_the_answer_is_told_so_without_it,
    a_validator_counts_in_every_form_of_the_field,
    a_validator_alone_tells_without_the_database,
    a_validator_of_another_coding_does_not_count,
    a_validator_from_before_a_commit_does_not_count,
    whatever_an_answer_depends_on_changes_its_validator,
);

const SEARCH: &str = "/v1/events/search";

/// Checks that this stands for `whole`, as RFC 9110, section 15.4.5, has it.
fn stands_for(unchanged: &Answer, whole: &Answer) {
    assert_eq!(unchanged.status, 304, "{unchanged:?}");
    assert!(unchanged.body.is_empty());
    for name in ["etag", "cache-control", "vary", "dataset-version"] {
        assert_eq!(unchanged.header(name), whole.header(name), "{name}");
    }
    for name in ["content-type", "content-encoding"] {
        assert!(!unchanged.headers.contains_key(name), "{unchanged:?}");
    }
    // Were it there, it would be the length of the whole answer (section 8.6).
    if let Some(length) = unchanged.headers.get("content-length") {
        assert_eq!(length, whole.body.len().to_string().as_str());
    }
}

async fn whoever_has_the_answer_is_told_so_without_it(world: World) {
    let stored = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    let id = id(&stored);
    for address in [
        SEARCH.to_owned(),
        format!("{SEARCH}?limit=1"),
        format!("/v1/events/{id}"),
        format!("/v1/events/{id}/history"),
    ] {
        let whole = world.get(&address).await;
        let condition = [("if-none-match", whole.header("etag"))];
        stands_for(&world.get_with(&address, &condition).await, &whole);
        // A process that was never asked for it says the same.
        let other = service(&world.db, Config::default());
        for method in ["GET", "HEAD", "GET"] {
            let unchanged = other.send(method, &address, &condition).await;
            stands_for(&unchanged, &whole);
        }
        let other = other.get(&address).await;
        assert_eq!(other.header("etag"), whole.header("etag"));
    }
}

async fn a_validator_counts_in_every_form_of_the_field(world: World) {
    store(&world.db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    let whole = world.get(SEARCH).await;
    let etag = whole.header("etag");
    for fields in [
        vec![etag.to_owned()],
        vec![format!("W/{etag}")],
        vec![format!("\"x\", {etag}")],
        vec![format!("{etag},W/\"y\"")],
        vec!["\"x\"".to_owned(), etag.to_owned()],
    ] {
        let headers: Vec<(&str, &str)> = fields
            .iter()
            .map(|field| ("if-none-match", field.as_str()))
            .collect();
        let kept = world.get_with(SEARCH, &headers).await;
        stands_for(&kept, &whole);
        let other = service(&world.db, Config::default());
        stands_for(&other.send("GET", SEARCH, &headers).await, &whole);
    }
    for field in ["\"x\"", "", &etag.replace('"', ""), &etag[..etag.len() - 1]] {
        let headers = [("if-none-match", field)];
        let answer = world.get_with(SEARCH, &headers).await;
        assert_eq!(answer.status, 200, "{field}");
        assert_eq!(answer.body, whole.body);
    }
}

async fn a_validator_alone_tells_without_the_database(world: World) {
    store(&world.db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    let whole = world.get(SEARCH).await;
    let other = service(&world.db, Config::default());
    // It knows the version from this one, and nothing of the search.
    assert_eq!(other.get("/readyz").await.status, 200);
    world.db.clone().close().await;
    other.get(SEARCH).await.error(503, "unavailable");
    let condition = [("if-none-match", whole.header("etag"))];
    stands_for(&other.send("GET", SEARCH, &condition).await, &whole);
}

async fn a_validator_of_another_coding_does_not_count(world: World) {
    let many: Vec<_> = (0..40)
        .map(|n| event(&n.to_string(), "2021-06-30T19:00:00Z"))
        .collect();
    store(&world.db, &many, &[]).await;
    let codings = ["identity", "br", "zstd", "gzip"];
    let mut tags = Vec::new();
    for coding in codings {
        let answer = world.get_with(SEARCH, &[("accept-encoding", coding)]).await;
        tags.push(answer.header("etag").to_owned());
    }
    assert_eq!(tags.iter().collect::<BTreeSet<_>>().len(), codings.len());
    for (coding, own) in codings.into_iter().zip(&tags) {
        for tag in &tags {
            let headers = [("accept-encoding", coding), ("if-none-match", tag)];
            let kept = world.get_with(SEARCH, &headers).await;
            let other = service(&world.db, Config::default());
            let unasked = other.send("GET", SEARCH, &headers).await;
            let expected = if tag == own { 304 } else { 200 };
            assert_eq!(kept.status, expected, "{coding}");
            assert_eq!(unasked.status, expected, "{coding}");
        }
    }
}

async fn a_validator_from_before_a_commit_does_not_count(world: World) {
    let mut stored = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    let before = world.get(SEARCH).await;
    let condition = [("if-none-match", before.header("etag"))];
    stored.title = "retitled".into();
    store(&world.db, &[stored], &[]).await;
    let after = world.get_with(SEARCH, &condition).await;
    assert_eq!(after.status, 200);
    assert!(after.text().contains("retitled"));
    let condition = [("if-none-match", after.header("etag"))];
    stands_for(&world.get_with(SEARCH, &condition).await, &after);
}

/// Between any two of epochs, versions, questions and codings.
async fn whatever_an_answer_depends_on_changes_its_validator(world: World) {
    let mut stored = event("1", "2021-06-30T19:00:00Z");
    let mut tags = BTreeSet::new();
    let mut answers = 0;
    for title in ["a", "b", "new epoch"] {
        if title == "new epoch" {
            entity::dataset::renew_epoch(&world.db.write).await.unwrap();
        } else {
            stored.title = title.into();
            store(&world.db, std::slice::from_ref(&stored), &[]).await;
        }
        for query in [
            "",
            "?limit=1",
            "?limit=2",
            "?starts_at=2021-01-01",
            "?ends_at=2022-01-01",
        ] {
            for coding in ["identity", "br"] {
                let headers = [("accept-encoding", coding)];
                let answer = world.get_with(&format!("{SEARCH}{query}"), &headers).await;
                tags.insert(answer.header("etag").to_owned());
                answers += 1;
            }
        }
    }
    assert_eq!(tags.len(), answers);
    assert!(
        tags.iter().all(|tag| tag.starts_with('"')),
        "they are strong"
    );
}
