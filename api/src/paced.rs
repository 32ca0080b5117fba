//! A connection whose client has to take what it asked for.
//!
//! While there is something to write and the client does not take it, the system's buffer is full
//! and we wait. Waiting is fine for as long as enough gets through; a client that takes next to
//! nothing holds a connection and an answer for nothing, and is cut.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// What a client has to take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// At least so many bytes…
    pub(crate) bytes: usize,
    /// …in each such period of waiting.
    pub(crate) period: Duration,
}

/// A connection at a pace.
#[derive(Debug)]
pub(crate) struct Paced<C> {
    connection: C,
    pace: Pace,
    waiting: Option<Waiting>,
}

/// A period of waiting that is under way.
#[derive(Debug)]
struct Waiting {
    end: Pin<Box<Sleep>>,
    /// Bytes that were taken in it.
    taken: usize,
    /// When some were taken last, if nothing has waited since.
    taken_at: Option<Instant>,
}

/// Between two writes that wait in turn lies next to nothing. A longer break means that there was
/// nothing to write, and that time is not the client's.
const BREAK: Duration = Duration::from_millis(100);

impl<C> Paced<C> {
    pub(crate) fn new(connection: C, pace: Pace) -> Self {
        Self {
            connection,
            pace,
            waiting: None,
        }
    }

    fn forget_breaks(&mut self) {
        let was_break = |waiting: &Waiting| waiting.taken_at.is_some_and(|at| at.elapsed() > BREAK);
        if self.waiting.as_ref().is_some_and(was_break) {
            self.waiting = None;
        }
    }

    /// Notes how a write went. Small answers never wait, and cost nothing here.
    fn note(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.forget_breaks();
                if let Some(waiting) = &mut self.waiting {
                    waiting.taken += bytes;
                    waiting.taken_at = Some(Instant::now());
                    if waiting.taken >= self.pace.bytes {
                        self.waiting = None;
                    }
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.forget_breaks();
                let period = self.pace.period;
                let waiting = self.waiting.get_or_insert_with(|| Waiting {
                    end: Box::pin(sleep(period)),
                    taken: 0,
                    taken_at: None,
                });
                waiting.taken_at = None;
                ready!(waiting.end.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client takes next to nothing of its answer",
                )))
            }
        }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Paced<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(cx, into)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Paced<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.connection).poll_write(cx, bytes);
        self.note(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.connection).poll_write_vectored(cx, slices);
        self.note(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const PACE: Pace = Pace {
        bytes: 1_000,
        period: Duration::from_secs(10),
    };

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut() {
        let (client, server) = duplex(100);
        let mut server = Paced::new(server, PACE);
        let error = server.write_all(&[0; 10_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_few_bytes_now_and_then_is_cut_all_the_same() {
        let (mut client, server) = duplex(100);
        let mut server = Paced::new(server, PACE);
        let drip = tokio::spawn(async move {
            while client.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let error = server.write_all(&[0; 10_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(server);
        drip.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn time_with_nothing_to_write_is_not_the_clients() {
        let (mut client, server) = duplex(100);
        let mut server = Paced::new(server, PACE);
        for _ in 0..3 {
            let read = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(6)).await;
                client.read_exact(&mut [0; 150]).await.unwrap();
                client
            });
            server.write_all(&[0; 150]).await.unwrap();
            client = read.await.unwrap();
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_at_the_pace_gets_everything() {
        let (mut client, server) = duplex(100);
        let mut server = Paced::new(server, PACE);
        let taken = tokio::spawn(async move {
            let mut all = 0;
            let mut some = [0; 200];
            loop {
                match client.read(&mut some).await.unwrap() {
                    0 => return all,
                    bytes => all += bytes,
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        server.write_all(&[0; 50_000]).await.unwrap();
        server.shutdown().await.unwrap();
        drop(server);
        assert_eq!(taken.await.unwrap(), 50_000);
    }
}
