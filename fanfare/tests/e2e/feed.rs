//! A feed server that says what a test tells it to, and answers when it may.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
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
    moved_to: Option<String>,
    fetches: u64,
    asked: HeaderMap,
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

    /// Sends whoever asks for the feed to another one, for good.
    pub(crate) fn move_to(&self, name: &str, to: &str) {
        self.send_to(name, &self.url(to));
    }

    /// Sends whoever asks for the feed to an address, for good.
    pub(crate) fn send_to(&self, name: &str, to: &str) {
        self.answer_with(name, StatusCode::MOVED_PERMANENTLY, String::new());
        let to = to.to_owned();
        self.feeds.lock().unwrap().get_mut(name).unwrap().moved_to = Some(to);
    }

    fn answer_with(&self, name: &str, status: StatusCode, body: String) {
        let mut feeds = self.feeds.lock().unwrap();
        let before = feeds.remove(name);
        let feed = Feed {
            status,
            body,
            moved_to: None,
            fetches: before.as_ref().map_or(0, |feed| feed.fetches),
            asked: before.map_or_else(HeaderMap::new, |feed| feed.asked),
        };
        feeds.insert(name.to_owned(), feed);
    }

    /// The headers of the last fetch.
    pub(crate) fn asked(&self, name: &str) -> HeaderMap {
        self.feeds.lock().unwrap()[name].asked.clone()
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

async fn answer(
    State(feeds): State<Feeds>,
    Path(name): Path<String>,
    asked: HeaderMap,
) -> Response {
    let answer = match feeds.feeds.lock().unwrap().get_mut(&name) {
        None => return StatusCode::NOT_FOUND.into_response(),
        Some(feed) => {
            feed.fetches += 1;
            feed.asked = asked;
            let moved_to = feed.moved_to.clone().map(|to| [(LOCATION, to)]);
            (feed.status, moved_to.map(AppendHeaders), feed.body.clone()).into_response()
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

/// A feed of so many events of one base that are not over for long.
pub(crate) fn upcoming(events: usize, title: &str) -> String {
    let starts: Vec<_> = (0..events)
        .map(|number| format!("2130-01-{:02}T{:02}:00:00", 1 + number / 24, number % 24))
        .collect();
    let starts: Vec<_> = starts.iter().map(String::as_str).collect();
    plan_list(&[base("1", "online", title, &starts)])
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
