//! The limit of any server on axum: one route that always answers the same.

use std::path::PathBuf;

use anyhow::Context;
use axum::Router;
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderValue, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use axum::serve::ListenerExt;
use bytes::Bytes;
use clap::Args;
use tokio::net::TcpListener;

use super::{dataset, server};
use crate::show;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// File with the body of every answer
    #[arg(long)]
    body: PathBuf,
    /// How it is encoded
    #[arg(long)]
    encoding: Option<HeaderValue>,
    /// Answer 304 with this validator to whoever sends any
    #[arg(long)]
    etag: Option<HeaderValue>,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Serves until the standard input ends; the first line on the standard output is the address.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let body = std::fs::read(&options.body)
        .with_context(|| format!("can't read {}", options.body.display()))?;
    let route = route(body.into(), options.encoding, options.etag);
    let router = Router::new().route(dataset::SEARCH, route);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr().context("a socket has an address")?;
    show::line(&address.to_string());
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    let stop = server::until_input_ends();
    tokio::select! {
        served = axum::serve(listener, router) => Ok(served?),
        () = stop.cancelled() => Ok(()),
    }
}

fn route(body: Bytes, encoding: Option<HeaderValue>, etag: Option<HeaderValue>) -> MethodRouter {
    match (encoding, etag) {
        (None, None) => get(move || async move { ([(CONTENT_TYPE, JSON)], body) }),
        (Some(encoding), _) => {
            get(move || async move { ([(CONTENT_TYPE, JSON), (CONTENT_ENCODING, encoding)], body) })
        }
        (None, Some(etag)) => get(move |request: Request| async move {
            if request.headers().contains_key(IF_NONE_MATCH) {
                (StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response()
            } else {
                ([(CONTENT_TYPE, JSON), (ETAG, etag)], body).into_response()
            }
        }),
    }
}
