//! A feed server that says what the test tells it to, and can be made to wait.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What the server answers with.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn feed(body: impl Into<String>) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::feed("")
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

#[derive(Debug)]
struct Shared {
    answer: Mutex<Answer>,
    asked: Mutex<Vec<HeaderMap>>,
    open: watch::Sender<bool>,
}

/// Ends with the test.
#[derive(Debug)]
pub(crate) struct Feeds {
    shared: Arc<Shared>,
    pub(crate) url: String,
    server: AbortHandle,
}

impl Feeds {
    pub(crate) async fn start(answer: Answer) -> Self {
        let listener = testkit::free_listener();
        let url = format!("http://{}/feed", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            answer: Mutex::new(answer),
            asked: Mutex::default(),
            open: watch::Sender::new(true),
        });
        let router = Router::new()
            .fallback(serve)
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            shared,
            url,
            server: server.abort_handle(),
        }
    }

    pub(crate) fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    /// The headers of each request so far.
    pub(crate) fn asked(&self) -> Vec<HeaderMap> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Lets requests wait from now on.
    pub(crate) fn close(&self) {
        self.shared.open.send_replace(false);
    }

    /// Answers those that wait, and those to come.
    pub(crate) fn open(&self) {
        self.shared.open.send_replace(true);
    }

    /// Waits until so many requests have come in all.
    pub(crate) async fn asked_times(&self, times: usize) {
        let what = format!("{times} requests have come");
        testkit::eventually(crate::world::PATIENCE, what, async || {
            self.asked().len() >= times
        })
        .await;
    }
}

impl Drop for Feeds {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> (StatusCode, HeaderMap, String) {
    shared.asked.lock().unwrap().push(headers);
    let mut open = shared.open.subscribe();
    open.wait_for(|open| *open).await.unwrap();
    let answer = shared.answer.lock().unwrap().clone();
    let headers = answer.headers.iter().map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, value.parse().unwrap())
    });
    let status = StatusCode::from_u16(answer.status).unwrap();
    (status, headers.collect(), answer.body)
}

/// A feed with these bases in it.
pub(crate) fn feed(bases: &str) -> String {
    format!("<planList version=\"1.0\"><output>{bases}</output></planList>")
}

/// A base with one plan, sold online.
pub(crate) fn base(id: &str, title: &str) -> String {
    format!(
        "<base_plan base_plan_id=\"{id}\" sell_mode=\"online\" organizer_company_id=\"7\" \
         title=\"{title}\"><plan plan_id=\"{id}\" plan_start_date=\"2021-06-30T21:00:00\" \
         plan_end_date=\"2021-06-30T22:00:00\" sell_from=\"2020-07-01T00:00:00\" \
         sell_to=\"2021-06-30T20:00:00\" sold_out=\"false\"><zone zone_id=\"40\" capacity=\"243\" \
         price=\"20.00\" name=\"Platea\" numbered=\"true\"/></plan></base_plan>"
    )
}

/// The same, long before it happens.
pub(crate) fn upcoming(id: &str, title: &str) -> String {
    base(id, title).replace("2021-06-30", "2999-06-30")
}

/// A feed of such bases with these numbers.
pub(crate) fn upcoming_feed(numbers: impl IntoIterator<Item = usize>) -> String {
    let base = |number: usize| upcoming(&number.to_string(), &format!("Event {number}"));
    feed(&numbers.into_iter().map(base).collect::<String>())
}
