//! The documentation that the API serves, and the page about it.

use std::collections::BTreeSet;

use crate::world::World;

#[tokio::test]
async fn the_document_is_served_as_the_command_prints_it() {
    let world = World::sqlite().await;
    let answer = world.get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.text(), api::openapi_json());
    assert_eq!(answer.json()["openapi"], "3.1.0");
}

#[tokio::test]
async fn the_documentation_page_loads_nothing_from_another_host() {
    let world = World::sqlite().await;
    let moved = world.get("/docs").await;
    assert_eq!(moved.status, 303);
    assert_eq!(moved.header("location"), "/docs/");

    let page = world.get("/docs/").await;
    let links = links(page.text());
    assert!(links.len() >= 5, "{links:?}");
    let mut files = vec![("/docs/".to_owned(), page)];
    for link in links {
        let name = link.strip_prefix("./").unwrap_or(&link);
        let address = format!("/docs/{name}");
        let file = world.get(&address).await;
        assert_eq!(file.status, 200, "{address}");
        files.push((address, file));
    }
    for (address, file) in &files {
        let policy = file.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(!policy.contains("http"), "{policy}");
        assert!(!policy.contains('*'), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(file.header(name), value, "{address} {name}");
        }
        let permissions = file.header("permissions-policy");
        assert!(permissions.contains("geolocation=()"), "{permissions}");
        if !file.header("content-type").starts_with("image/") {
            assert_eq!(loads(file.text()), Vec::<&str>::new(), "{address}");
        }
    }
    let initializer = world.get("/docs/swagger-initializer.js").await;
    let initializer = initializer.text();
    assert!(
        initializer.contains(r#""validatorUrl": "none""#),
        "{initializer}"
    );
    assert!(initializer.contains(r#""/openapi.json""#), "{initializer}");
}

/// What the page's `src` and `href` attributes name.
fn links(html: &str) -> Vec<String> {
    let mut links = Vec::new();
    for attribute in ["src=\"", "href=\""] {
        for (at, _) in html.match_indices(attribute) {
            let value = &html[at + attribute.len()..];
            links.push(value[..value.find('"').unwrap()].to_owned());
        }
    }
    links
}

/// Places where HTML, CSS or a script would load something by an absolute address.
fn loads(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for loader in [
        "src=",
        "src:",
        "<link href=",
        "url(",
        "@import ",
        "importScripts(",
        "import(",
        "fetch(",
    ] {
        for (at, _) in text.match_indices(loader) {
            let value = text[at + loader.len()..].trim_start_matches(['"', '\'', '`', '\\', ' ']);
            if ["http://", "https://", "//"]
                .iter()
                .any(|scheme| value.starts_with(scheme))
            {
                let end = value
                    .char_indices()
                    .nth(60)
                    .map_or(value.len(), |(at, _)| at);
                found.push(&value[..end]);
            }
        }
    }
    found
}

#[test]
fn a_page_that_loads_from_another_host_would_be_noticed() {
    for text in [
        r#"<script src="https://cdn.example/x.js">"#,
        "a{background:url(//cdn.example/x.png)}",
        "@import 'http://cdn.example/x.css'",
    ] {
        assert_eq!(loads(text).len(), 1, "{text}");
    }
}

const PAGE: &str = include_str!("../../../docs/API.md");

#[test]
fn the_page_about_the_api_lists_every_error_code_with_its_status() {
    let mut listed = BTreeSet::new();
    for line in PAGE.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.split(" | ").collect();
        if let Ok(status) = cells[1].parse::<u16>() {
            let codes = cells[0].trim_start_matches("| ").split(", ");
            listed.extend(codes.map(|code| (status, code.trim_matches('`').to_owned())));
        }
    }
    let document = api::openapi();
    // No operation of the document answers this one.
    let mut told = BTreeSet::from([(405, "method_not_allowed".to_owned())]);
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let examples = &response["content"]["application/json"]["examples"];
                let codes = examples
                    .as_object()
                    .into_iter()
                    .flat_map(|codes| codes.keys());
                told.extend(codes.map(|code| (status.parse().unwrap(), code.clone())));
            }
        }
    }
    assert!(told.len() > 20, "{told:?}");
    assert_eq!(listed, told);
}

#[test]
fn the_page_about_the_api_names_every_route_and_parameter() {
    let document = api::openapi();
    for (path, item) in document["paths"].as_object().unwrap() {
        // Routes of one kind share a line.
        let name = path
            .rsplit_once("{name}")
            .map_or(path.as_str(), |(_, action)| action);
        assert!(PAGE.contains(&format!("{name}`")), "{path}");
        for operation in item.as_object().unwrap().values() {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                assert!(
                    PAGE.contains(&format!("`{name}")) || PAGE.contains(&format!("{{{name}}}")),
                    "{path} {name}"
                );
            }
        }
    }
}
