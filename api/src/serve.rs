//! The connections: how many there are, how long they may take, and how they end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Context;
use crate::client::Peer;
use crate::front::{Answering, Payload, Service};
use crate::metrics::Counted;
use crate::paced::{Pace, Paced};

/// Connections beyond those that there may be, for probes.
const BEYOND: usize = 64;

/// How long a connection beyond those that there may be has for its request.
const PROBE: Duration = Duration::from_secs(2);

/// Largest head of a request that is read at all. What is smaller and still too large is refused in
/// our own words.
const HEAD_BYTES: usize = 64 * 1024;

/// Wait after a connection could not be accepted, as when there are no file descriptors left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// Serves until the context's shutdown fires and open requests have ended, or their deadline is over.
pub(crate) async fn serve(context: Context, listener: TcpListener) {
    let service = Service::new(context.clone());
    let config = context.config();
    let places = Arc::new(Semaphore::new(config.connections));
    let beyond = Arc::new(Semaphore::new(BEYOND));
    let graceful = GracefulShutdown::new();
    let stopped = async {
        context.shutdown().cancelled().await;
        // Whoever balances the load has this long to see that this process is not ready any more.
        tokio::time::sleep(config.drain_delay).await;
    };
    tokio::pin!(stopped);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let place = place(&places, &beyond);
                if let Some((permit, within)) = place {
                    let connection = Connection {
                        service: service.clone(),
                        peer,
                        within,
                    };
                    connection.spawn(&context, &graceful, stream, permit);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    let open = graceful.count();
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(config.drain_timeout) => {
            tracing::warn!(
                drain_timeout = ?config.drain_timeout,
                open,
                "requests are cut off: they did not end in time"
            );
        }
    }
}

/// A place for a connection, and whether it is a regular one.
fn place(places: &Arc<Semaphore>, beyond: &Arc<Semaphore>) -> Option<(OwnedSemaphorePermit, bool)> {
    let take = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned().ok();
    take(places)
        .map(|permit| (permit, true))
        .or_else(|| take(beyond).map(|permit| (permit, false)))
}

struct Connection {
    service: Service,
    peer: SocketAddr,
    /// Whether it is one of those that there may be.
    within: bool,
}

impl Connection {
    fn spawn(
        self,
        context: &Context,
        graceful: &GracefulShutdown,
        stream: TcpStream,
        permit: OwnedSemaphorePermit,
    ) {
        let config = context.config();
        // Answers are written whole: waiting to fill a packet only delays them. Where the option
        // can't be set the answers are late, not wrong.
        drop(stream.set_nodelay(true));
        let pace = Pace {
            bytes: config.least_write,
            period: config.write_timeout,
        };
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(if self.within {
                config.header_timeout
            } else {
                config.header_timeout.min(PROBE)
            })
            .keep_alive(self.within)
            .max_buf_size(HEAD_BYTES);
        let stream = TokioIo::new(Paced::new(stream, pace));
        let serving = graceful.watch(http.serve_connection(stream, self));
        let open = Counted::new(context, Context::connections);
        tokio::spawn(async move {
            let _open = open;
            // Whoever broke it off knows, and we do not mind.
            if let Err(error) = serving.await {
                tracing::debug!(%error, "a connection broke");
            }
            drop(permit);
        });
    }
}

impl hyper::service::Service<Request<Incoming>> for Connection {
    type Response = Response<Payload>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        if self.within {
            self.service.answer(request, Some(Peer(self.peer)))
        } else {
            self.service.answer_beyond(request)
        }
    }
}
