//! A fresh database with the API over it.

use api::{Config, Context};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub(crate) struct World {
    pub(crate) db: entity::Database,
    pub(crate) shutdown: CancellationToken,
    pub(crate) router: Router,
    _database: testkit::Database,
}

impl World {
    pub(crate) async fn postgres() -> Self {
        Self::over(testkit::Database::postgres().await).await
    }

    pub(crate) async fn sqlite() -> Self {
        Self::over(testkit::Database::sqlite().await).await
    }

    pub(crate) async fn over(database: testkit::Database) -> Self {
        let url = database.url().parse().unwrap();
        let db = entity::connect(&entity::Config::new(url)).await.unwrap();
        let shutdown = CancellationToken::new();
        let router = router(&db, &shutdown, Config::default());
        Self {
            db,
            shutdown,
            router,
            _database: database,
        }
    }

    pub(crate) async fn get(&self, address: &str) -> Answer {
        get(&self.router, address).await
    }

    /// The titles that a search finds, in order.
    pub(crate) async fn titles(&self, query: &str) -> Vec<String> {
        let answer = self.get(&format!("/v1/events/search{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{query}");
        let json = answer.json();
        let events = json["data"]["events"].as_array().unwrap();
        let title = |event: &Value| event["title"].as_str().unwrap().to_owned();
        events.iter().map(title).collect()
    }
}

pub(crate) fn router(
    db: &entity::Database,
    shutdown: &CancellationToken,
    config: Config,
) -> Router {
    api::router(Context::new(config, db.clone(), shutdown.clone()))
}

pub(crate) async fn get(router: &Router, address: &str) -> Answer {
    send(router, "GET", address).await
}

pub(crate) async fn send(router: &Router, method: &str, address: &str) -> Answer {
    let request = Request::builder().method(method).uri(address);
    answer(router, request.body(Body::empty()).unwrap()).await
}

pub(crate) async fn answer(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: to_bytes(body, usize::MAX).await.unwrap(),
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.text()).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// Checks that this is an error in the contract's envelope, and gives its message.
    pub(crate) fn error(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/json");
        let json = self.json();
        let keys: Vec<_> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["data", "error"]);
        assert_eq!(json["data"], Value::Null);
        let error = json["error"].as_object().unwrap();
        assert_eq!(error.keys().collect::<Vec<_>>(), ["code", "message"]);
        assert_eq!(error["code"], code);
        error["message"].as_str().unwrap().to_owned()
    }
}
