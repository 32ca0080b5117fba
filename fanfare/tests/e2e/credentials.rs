//! What a provider wants to see reaches that provider, and shows nowhere else.

use axum::http::StatusCode;
use testkit::Signal;

use crate::dump::dump;
use crate::feed::{Feeds, upcoming};
use crate::world::{World, on_both_databases, stop};

on_both_databases!(secrets_reach_their_provider_and_show_nowhere);

const KEY: &str = "key-3f9c1d77";
const TOKEN: &str = "token-b81e04aa";
const ADMIN: &str = "admin-token-7fa2c05e";
const WRONG: &str = "wrong-token-90c1d2b3";
const PASSWORD: &str = "password-5d20c6f1";
/// `reader:password-5d20c6f1` in Base64.
const PAIR: &str = "cmVhZGVyOnBhc3N3b3JkLTVkMjBjNmYx";

async fn secrets_reach_their_provider_and_show_nowhere(world: World) {
    let feeds = Feeds::start();
    let world = world
        .with("NORTH_KEY", KEY)
        .with("SOUTH_PASSWORD", PASSWORD)
        .with("FANFARE_ADMIN_TOKEN", ADMIN);
    let token = world.file("token", &format!("{TOKEN}\n"));
    let file = format!(
        r#"
[[provider]]
name = "north"
url = "{north}"
format = "plan-list"
interval = "1h"
headers = {{ X-Api-Key = {{ env = "NORTH_KEY" }}, Accept-Language = {{ value = "es" }} }}
bearer = {{ file = "{token}" }}

[[provider]]
name = "south"
url = "{south}"
format = "plan-list"
interval = "1h"
basic = {{ username = "reader", password = {{ env = "SOUTH_PASSWORD" }} }}

[[provider]]
name = "unset"
url = "{north}"
format = "plan-list"
interval = "1h"
bearer = {{ env = "NOT_SET" }}
"#,
        north = feeds.url("north"),
        south = feeds.url("south")
    );
    let file = world.file("providers.toml", &file);
    for name in ["north", "south"] {
        feeds.set(name, upcoming(3, "A show"));
    }
    let serving = world.serve(&["all", "--log", "trace"]).await;
    let mut told = Vec::new();
    let mut run = async |arguments: &[&str]| {
        let ended = world.run(arguments).await;
        told.push(ended.text());
        ended
    };
    run(&["provider", "apply", &file]).await.well();
    for name in ["north", "south"] {
        run(&["sync", name, "--wait"]).await.well();
    }
    let asked = |name| {
        let asked = feeds.asked(name);
        let value = |header| {
            asked
                .get(header)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        ["x-api-key", "accept-language", "authorization"].map(value)
    };
    let north = [KEY, "es", &format!("Bearer {TOKEN}")].map(|value| Some(value.to_owned()));
    assert_eq!(asked("north"), north);
    assert_eq!(asked("south"), [None, None, Some(format!("Basic {PAIR}"))]);

    // A check by name shows them as well, one of the bare address does not.
    let url = feeds.url("north");
    run(&["check", &url, "--against", "north", "--log", "trace"]).await;
    assert_eq!(asked("north"), [None, None, None]);
    run(&["check", "north", "--log", "trace"]).await;
    assert_eq!(asked("north"), north);
    run(&["check", "south", "--json"]).await.well();

    let api = &serving.api;
    assert_eq!(api.post("/v1/providers/south/pause", WRONG).await, 401);
    assert_eq!(api.post("/v1/providers/south/pause", ADMIN).await, 200);
    assert_eq!(api.post("/v1/providers/south/sync", ADMIN).await, 409);
    assert_eq!(api.post("/v1/providers/south/resume", ADMIN).await, 200);
    assert_eq!(api.post("/v1/providers/south/sync", ADMIN).await, 202);
    run(&["all", "--help"]).await.well();

    feeds.fail("north", StatusCode::UNAUTHORIZED);
    run(&["sync", "--all", "--wait"]).await;
    let unset = run(&["check", "unset"]).await;
    unset.refused(&["NOT_SET", "bearer token"]);
    for name in ["north", "south", "unset"] {
        let show = run(&["provider", "show", name]).await.well();
        let access = match name {
            "north" => format!(
                "header accept-language from the value es, header x-api-key from the variable \
                 NORTH_KEY, bearer token from the file {token}"
            ),
            "south" => "basic reader with the password from the variable SOUTH_PASSWORD".to_owned(),
            _ => "bearer token from the variable NOT_SET".to_owned(),
        };
        assert!(show.contains(&access), "{show}");
        run(&["provider", "show", name, "--json"]).await.well();
        run(&["why", name, "--json"]).await.well();
    }
    run(&["provider", "list", "--json"]).await.well();
    run(&["run", "list", "--json"]).await.well();
    stop(&serving.process, Signal::TERM).await;
    let lines = serving.process.lines();
    assert!(lines.iter().any(|line| line.contains("TRACE")));
    told.extend(lines);
    told.extend(dump(&world).await.into_values().flatten());
    assert!(told.iter().any(|text| text.contains("NORTH_KEY")));
    let refused = |text: &String| text.contains("an admin request was refused");
    assert!(told.iter().any(refused));
    for secret in [KEY, TOKEN, PASSWORD, PAIR, ADMIN, WRONG] {
        let telling = told.iter().find(|text| text.contains(secret));
        assert_eq!(telling, None, "{secret}");
    }
}
