//! A server on loopback with threads of its own, until it is dropped.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind};
use crate::wire::{Wire, WireListener};

/// A port that is listened on, but not answered yet.
#[derive(Debug)]
pub struct Port {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

impl Port {
    /// Listens; port 0 takes any that is free.
    ///
    /// # Errors
    /// When the address is not on loopback, or taken.
    pub fn open(listen: SocketAddr) -> Result<Self, Error> {
        if !listen.ip().is_loopback() {
            let message = format!(
                "`{listen}` is not on this machine\nhint: the simulator listens on loopback only"
            );
            return Err(Error::new(ErrorKind::Listen, message));
        }
        let bound = || {
            let listener = std::net::TcpListener::bind(listen)?;
            listener.set_nonblocking(true)?;
            Ok(Self { address: listener.local_addr()?, listener })
        };
        bound().map_err(|error: std::io::Error| {
            let message = format!(
                "cannot listen on `{listen}`: {error}\nhint: port 0 takes any that is free"
            );
            Error::new(ErrorKind::Listen, message)
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers on threads of this name; callable with and without an async runtime. Handlers find a
    /// [`Wire`] in `ConnectInfo`.
    ///
    /// # Errors
    /// When threads can't be started.
    pub fn serve(self, name: &str, router: Router) -> Result<Server, Error> {
        let cannot = |error: std::io::Error| {
            Error::new(ErrorKind::Start, format!("cannot start the server's threads: {error}"))
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name(name)
            .enable_all()
            .build()
            .map_err(cannot)?;
        let (stop, stopped) = oneshot::channel();
        let service = router.into_make_service_with_connect_info::<Wire>();
        let Self { listener, address } = self;
        let run = move || {
            runtime.block_on(async move {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                tokio::select! {
                    _ = axum::serve(WireListener(listener), service) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_timeout(Duration::from_millis(200));
        };
        let thread =
            std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(cannot)?;
        Ok(Server { address, stop: Some(stop), thread: Some(thread) })
    }
}

/// A running server; it stops when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Nobody listens when the server has ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic in there was reported by the thread itself.
            let _ = thread.join();
        }
    }
}
