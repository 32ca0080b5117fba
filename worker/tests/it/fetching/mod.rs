//! Fetches from servers that send whatever bytes the test wants them to.

mod asking;
mod bodies;
mod codings;
mod credentials;
mod limits;
mod proxies;
mod server;
mod whereto;

use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use entity::provider::Access;
use futures::FutureExt;
use worker::fetch::{Answer, Config, Feed, FetchError, Fetched, Fetcher, Limits, Lookup, Request};

use crate::world::{PATIENCE, fetch_config};

/// May go anywhere on this machine.
fn fetcher(limits: Limits) -> Fetcher {
    Fetcher::new(fetch_config(limits)).unwrap()
}

fn plain() -> Fetcher {
    fetcher(Limits::default())
}

/// Looks names up in the function instead of the system.
fn with_names(
    config: Config,
    names: impl Fn(&str) -> Vec<&'static str> + Send + Sync + 'static,
) -> Fetcher {
    let names = Arc::new(names);
    let lookup: Lookup = Arc::new(move |host| {
        let addresses: Vec<IpAddr> = names(&host).iter().map(|it| it.parse().unwrap()).collect();
        async move { Ok(addresses) }.boxed()
    });
    Fetcher::with_lookup(config, lookup).unwrap()
}

static OPEN: Access = Access {
    headers: std::collections::BTreeMap::new(),
    basic: None,
    bearer: None,
};

fn request(url: &str) -> Request<'_> {
    Request {
        url,
        timeout: PATIENCE,
        max_body: None,
        access: &OPEN,
        etag: None,
        last_modified: None,
    }
}

async fn fetch(fetcher: &Fetcher, url: &str) -> Result<Fetched, FetchError> {
    fetcher.fetch(&request(url)).await
}

async fn error(fetcher: &Fetcher, url: &str) -> FetchError {
    fetch(fetcher, url).await.expect_err(url)
}

fn feed(fetched: Fetched) -> Feed {
    match fetched.answer {
        Answer::Feed(feed) => feed,
        Answer::NotModified => panic!("not modified"),
    }
}

/// The body, once its digest is found to be right.
fn body(fetched: Fetched) -> Vec<u8> {
    let feed = feed(fetched);
    let mut body = Vec::new();
    feed.body.reader().read_to_end(&mut body).unwrap();
    assert_eq!(feed.body.len(), body.len() as u64);
    assert_eq!(feed.digest, *blake3::hash(&body).as_bytes());
    body
}

/// Bytes that compress, but not to nothing.
fn text(len: usize) -> Vec<u8> {
    let mut seed = 1_u32;
    (0..len)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b"abcdefgh"[(seed >> 29) as usize]
        })
        .collect()
}

const SHORT: Duration = Duration::from_millis(150);
