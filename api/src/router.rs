//! Which address leads where, and what stands around every handler.

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::get;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi::Base;
use crate::{
    Config, Context, Error, admin, change, cors, docs, event, health, history, openapi, providers,
    search, trace,
};

/// The routes of the API over `context`; [`crate::Service`] is the whole of it.
pub(crate) fn router(context: Context) -> Router {
    let config = context.config().clone();
    let (router, _) = routes().split_for_parts();
    let router = if config.exposes_metrics {
        router.route("/metrics", get(health::metrics))
    } else {
        router
    };
    let router = router
        .route("/docs/", get(docs::page))
        .route("/docs/{file}", get(docs::file))
        .merge(admin::router(&context))
        .with_state(context);
    protected(router, &config)
}

/// The routes that the document tells of.
pub(crate) fn routes() -> OpenApiRouter<Context> {
    OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(search::search))
        .routes(routes!(event::event))
        .routes(routes!(history::history))
        .routes(routes!(change::changes))
        .routes(routes!(providers::providers))
        .routes(routes!(health::health))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(openapi::openapi_document))
        .routes(routes!(docs::docs))
}

/// Puts around all routes, the unknown one included, what makes every answer ours. The last layer
/// is the outermost.
fn protected(router: Router, config: &Config) -> Router {
    let longest = config.request_timeout;
    let router = router
        .fallback(async || Error::NoSuchRoute)
        .method_not_allowed_fallback(cors::other_method)
        .layer(from_fn(move |request, next| {
            trace::request(longest, request, next)
        }));
    match config.cors.layer() {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode};
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;
    use crate::limits;

    async fn answer(router: Router, request: Request<Body>) -> (StatusCode, Value) {
        let config = Config {
            request_timeout: Duration::from_millis(50),
            ..Config::default()
        };
        let router = protected(router, &config);
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["data"], Value::Null);
        assert!(body["error"]["message"].is_string());
        (status, body["error"]["code"].clone())
    }

    fn to(path: &str) -> Request<Body> {
        Request::builder().uri(path).body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn a_panic_becomes_500_in_the_envelope() {
        let panics = get(async || -> () { panic!("on purpose") });
        let router = Router::new().route("/panics", panics);
        let expected = (StatusCode::INTERNAL_SERVER_ERROR, json!("internal"));
        assert_eq!(answer(router, to("/panics")).await, expected);
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_becomes_503_in_the_envelope() {
        let router = Router::new().route("/hangs", get(std::future::pending::<()>));
        let expected = (StatusCode::SERVICE_UNAVAILABLE, json!("timed_out"));
        assert_eq!(answer(router, to("/hangs")).await, expected);
    }

    #[tokio::test]
    async fn an_address_that_is_too_long_becomes_414_in_the_envelope() {
        let path = format!("/{}", "x".repeat(limits::TARGET_BYTES));
        let expected = (StatusCode::URI_TOO_LONG, json!("uri_too_long"));
        assert_eq!(answer(Router::new(), to(&path)).await, expected);
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_becomes_413_in_the_envelope() {
        let body = Body::from(vec![0; 70_000]);
        let request = Request::builder().uri("/").body(body).unwrap();
        let expected = (StatusCode::PAYLOAD_TOO_LARGE, json!("body_too_large"));
        assert_eq!(answer(Router::new(), request).await, expected);
    }
}
