//! Connections that can be slowed, cut and reset from within a handler.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;

use crate::lock::lock;

#[derive(Debug, Default)]
struct Plan {
    reset: bool,
    /// Bytes until the connection is cut.
    cut_after: Option<usize>,
    /// Bytes that are still to be slowed, the size of a piece and the pause behind it.
    slow: Option<(usize, usize, Duration)>,
}

/// A handle on the connection that a request came by.
#[derive(Clone, Debug, Default)]
pub struct Wire(Arc<Mutex<Plan>>);

impl Wire {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        lock(&self.0)
    }

    /// Resets the connection at the next write.
    pub fn reset(&self) {
        self.plan().reset = true;
    }

    /// Cuts the connection after so many bytes.
    pub fn cut_after(&self, bytes: usize) {
        self.plan().cut_after = Some(bytes);
    }

    /// Writes the next so many bytes in ten pieces over this time.
    pub fn slow(&self, bytes: usize, over: Duration) {
        self.plan().slow = Some((bytes, bytes / 10 + 1, over / 10));
    }
}

impl Connected<IncomingStream<'_, WireListener>> for Wire {
    fn connect_info(stream: IncomingStream<'_, WireListener>) -> Self {
        stream.io().wire.clone()
    }
}

/// Listens for connections.
pub(crate) struct WireListener(pub(crate) TcpListener);

impl Listener for WireListener {
    type Io = WireStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (WireStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Small answers shall not wait for others; where that cannot be set they just do.
        let _ = stream.set_nodelay(true);
        (WireStream { stream, wire: Wire::default(), pause: None }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// One connection.
pub(crate) struct WireStream {
    stream: TcpStream,
    wire: Wire,
    pause: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for WireStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for WireStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
        }
        let mut limit = bytes.len();
        {
            let plan = this.wire.plan();
            if plan.reset {
                this.stream.set_zero_linger()?;
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if plan.cut_after == Some(0) {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            limit = limit.min(plan.cut_after.unwrap_or(usize::MAX));
            limit = limit.min(plan.slow.map_or(usize::MAX, |(_, piece, _)| piece));
        }
        let written = {
            let part = bytes.get(..limit).unwrap_or(bytes);
            ready!(Pin::new(&mut this.stream).poll_write(cx, part))?
        };
        let mut plan = this.wire.plan();
        if let Some(left) = &mut plan.cut_after {
            *left = left.saturating_sub(written);
        }
        if let Some((left, _, pause)) = &mut plan.slow {
            *left = left.saturating_sub(written);
            this.pause = Some(Box::pin(tokio::time::sleep(*pause)));
            if *left == 0 {
                plan.slow = None;
            }
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
