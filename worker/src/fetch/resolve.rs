//! From a name to addresses that may be connected to. The connection is made to what was checked
//! here, so that a name which answers differently the second time gains nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::Networks;

/// How names are looked up.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// Asks the system.
pub(super) fn system() -> Lookup {
    Arc::new(|host| {
        async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        }
        .boxed()
    })
}

/// Looks names up, and lets through only what may be connected to.
pub(super) struct Guard {
    pub(super) lookup: Lookup,
    pub(super) allow: Networks,
    pub(super) limit: Duration,
    /// The proxy's, which the operator chose.
    pub(super) exempt: Option<String>,
}

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unresolved {
    #[error("`{host}` can't be resolved: {source}")]
    Failed {
        host: String,
        #[source]
        source: io::Error,
    },
    #[error("`{host}` has no address")]
    NoAddress { host: String },
    #[error("`{host}` was not resolved in time")]
    Timeout { host: String, limit: Duration },
    #[error("`{host}` leads to {address}, which is {kind}")]
    Forbidden {
        host: String,
        address: IpAddr,
        kind: &'static str,
    },
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let found = tokio::time::timeout(self.limit, (self.lookup)(host.clone()));
        let limit = self.limit;
        let allow = self.allow.clone();
        let exempt = self.exempt.as_ref() == Some(&host);
        Box::pin(async move {
            let found = match found.await {
                Ok(Ok(found)) => found,
                Ok(Err(source)) => return Err(Unresolved::Failed { host, source }.into()),
                Err(_) => return Err(Unresolved::Timeout { host, limit }.into()),
            };
            let permitted = if exempt {
                found
            } else {
                permitted(host, found, &allow)?
            };
            let addresses = permitted.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// The addresses that may be connected to; an error if there is none.
fn permitted(
    host: String,
    found: Vec<IpAddr>,
    allow: &Networks,
) -> Result<Vec<IpAddr>, Unresolved> {
    let mut refused = None;
    let mut permitted = Vec::with_capacity(found.len());
    for address in found {
        match allow.permit(address) {
            Ok(()) => permitted.push(address),
            Err(kind) => refused = refused.or(Some((address, kind))),
        }
    }
    match refused {
        _ if !permitted.is_empty() => Ok(permitted),
        None => Err(Unresolved::NoAddress { host }),
        Some((address, kind)) => Err(Unresolved::Forbidden {
            host,
            address,
            kind,
        }),
    }
}
