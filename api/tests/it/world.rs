//! A fresh database with the API over it.

use api::{Config, Context, Service};
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub(crate) struct World {
    pub(crate) db: entity::Database,
    pub(crate) shutdown: CancellationToken,
    pub(crate) context: Context,
    pub(crate) service: Service,
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
        let context = Context::new(Config::default(), db.clone(), shutdown.clone());
        let service = Service::new(context.clone());
        Self {
            db,
            shutdown,
            context,
            service,
            _database: database,
        }
    }

    /// The answer to a request that comes once the newest version is adopted.
    pub(crate) async fn get(&self, address: &str) -> Answer {
        self.get_with(address, &[]).await
    }

    pub(crate) async fn get_with(&self, address: &str, headers: &[(&str, &str)]) -> Answer {
        self.context.look().await;
        self.service.send("GET", address, headers).await
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

/// The API over `db` as `config` wants it.
pub(crate) fn service(db: &entity::Database, config: Config) -> Service {
    Service::new(Context::new(config, db.clone(), CancellationToken::new()))
}

/// Requests to a service without a socket.
pub(crate) trait Send {
    async fn answer(&self, request: Request<Body>) -> Answer;

    async fn send(&self, method: &str, address: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.answer(request.body(Body::empty()).unwrap()).await
    }

    async fn get(&self, address: &str) -> Answer {
        self.send("GET", address, &[]).await
    }
}

impl Send for Service {
    async fn answer(&self, request: Request<Body>) -> Answer {
        let response = self.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: to_bytes(Body::new(body), usize::MAX).await.unwrap(),
        }
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
