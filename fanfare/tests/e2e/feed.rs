//! A feed server that says what a test tells it to, and answers when it may.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use testkit::eventually;
use tokio::sync::watch;

use crate::world::{PATIENCE, World};

/// The provider of [`Feeds::held`].
pub(crate) const HELD: &str = "primary";

/// Feeds under names; ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Feeds {
    address: SocketAddr,
    feeds: Arc<Mutex<HashMap<String, Feed>>>,
    open: watch::Sender<bool>,
}

struct Feed {
    status: StatusCode,
    body: String,
    fetches: u64,
}

impl Feeds {
    pub(crate) fn start() -> Self {
        let listener = testkit::free_listener();
        let feeds = Self {
            address: listener.local_addr().unwrap(),
            feeds: Arc::default(),
            open: watch::Sender::new(true),
        };
        let router = Router::new()
            .route("/{name}", get(answer))
            .with_state(feeds.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        feeds
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// What the feed says from the next fetch on.
    pub(crate) fn set(&self, name: &str, body: impl Into<String>) {
        self.answer_with(name, StatusCode::OK, body.into());
    }

    /// Makes the feed fail.
    pub(crate) fn fail(&self, name: &str, status: StatusCode) {
        self.answer_with(name, status, String::new());
    }

    fn answer_with(&self, name: &str, status: StatusCode, body: String) {
        let mut feeds = self.feeds.lock().unwrap();
        let fetches = feeds.get(name).map_or(0, |feed| feed.fetches);
        let feed = Feed {
            status,
            body,
            fetches,
        };
        feeds.insert(name.to_owned(), feed);
    }

    /// How many fetches have begun.
    pub(crate) fn fetches(&self, name: &str) -> u64 {
        self.feeds.lock().unwrap()[name].fetches
    }

    /// A feed that holds its answer back, and its provider.
    pub(crate) async fn held(world: &World) -> Self {
        let feeds = Self::start();
        let show = base("1", "online", "A show", &["2030-05-01T20:00:00"]);
        feeds.set(HELD, plan_list(&[show]));
        feeds.hold();
        world.apply(&[(HELD, &feeds.url(HELD))]).await;
        feeds
    }

    /// Returns once the held feed was asked for so often.
    pub(crate) async fn fetched(&self, times: u64) {
        let what = format!("fetch {times} of the feed");
        eventually(PATIENCE, what, async || self.fetches(HELD) == times).await;
    }

    /// Lets fetches wait for their answer until [`Self::release`].
    pub(crate) fn hold(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn release(&self) {
        self.open.send_replace(true);
    }
}

async fn answer(State(feeds): State<Feeds>, Path(name): Path<String>) -> (StatusCode, String) {
    let answer = match feeds.feeds.lock().unwrap().get_mut(&name) {
        None => return (StatusCode::NOT_FOUND, String::new()),
        Some(feed) => {
            feed.fetches += 1;
            (feed.status, feed.body.clone())
        }
    };
    let mut open = feeds.open.subscribe();
    // The sender is among the state of this very server.
    let _ = open.wait_for(|open| *open).await;
    answer
}

/// A feed of these bases.
pub(crate) fn plan_list(bases: &[String]) -> String {
    format!("<planList><output>{}</output></planList>", bases.concat())
}

/// A base with one event of one hour per start, the n-th with the id n.
pub(crate) fn base(id: &str, sell_mode: &str, title: &str, starts: &[&str]) -> String {
    let plans: String = (1..)
        .zip(starts)
        .map(|(id, start)| {
            format!(
                r#"<plan plan_id="{id}" plan_start_date="{start}" plan_end_date="{start}"><zone zone_id="1" price="12.5"/></plan>"#
            )
        })
        .collect();
    format!(
        r#"<base_plan base_plan_id="{id}" sell_mode="{sell_mode}" title="{title}">{plans}</base_plan>"#
    )
}
