//! The server's life: from the listener to the moment the token fires.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::config::Config;
use crate::control;
use crate::simulator::Simulator;

/// Serves `config`'s world on `listener` until `shutdown` fires; must be called within a Tokio runtime.
///
/// Firing the token cuts off whatever is still being answered, hanging and endless responses included;
/// [`Simulator::stopped`] tells when all is done.
///
/// # Panics
///
/// If the operating system cannot tell the listener's own address, or outside a runtime.
pub fn start(listener: TcpListener, config: Config, shutdown: CancellationToken) -> Simulator {
    let addr = listener
        .local_addr()
        .expect("a bound listener has an address");
    let round_every = config.round_every;
    let simulator = Simulator::new(config, addr);
    if let Some(period) = round_every {
        tokio::spawn(move_on(simulator.clone(), period, shutdown.clone()));
    }
    tokio::spawn(run(simulator.clone(), listener, shutdown));
    simulator
}

async fn run(simulator: Simulator, listener: TcpListener, shutdown: CancellationToken) {
    let _stopped = simulator.stop_signal().drop_guard();
    let listener = CutOff {
        listener,
        shutdown: shutdown.clone(),
    };
    let served = axum::serve(listener, control::routes(simulator))
        .with_graceful_shutdown(shutdown.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "the simulator's server ended");
    }
}

async fn move_on(simulator: Simulator, period: Duration, shutdown: CancellationToken) {
    while shutdown
        .run_until_cancelled(tokio::time::sleep(period))
        .await
        .is_some()
    {
        simulator.advance();
    }
}

/// Accepts connections that end when the token fires: that way no response, however slow, outlives the server.
struct CutOff {
    listener: TcpListener,
    shutdown: CancellationToken,
}

impl Listener for CutOff {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        // A dripping body is to leave when it is written.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "set TCP_NODELAY");
        }
        let cut = Box::pin(self.shutdown.clone().cancelled_owned());
        (Connection { stream, cut }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

struct Connection {
    stream: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    /// Registers for a wake-up when the token fires, as a side effect.
    fn is_cut(&mut self, cx: &mut Context<'_>) -> bool {
        self.cut.as_mut().poll(cx).is_ready()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_cut(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_cut(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut this.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_cut(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut this.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
