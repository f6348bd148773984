//! The daemon as a process: its directory, its address, its threads, and stopping without losing a
//! request.

use crate::{App, Config, DataDir, DataDirError, Fleet, StartError, demo::Demo, workers::Workers};
use callsheet_sources::Http;
use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::{net::TcpListener, time::sleep};

/// A daemon that listens and does not answer yet.
pub struct Daemon {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
    data_dir: DataDir,
    config: Config,
    demo: Option<Demo>,
}

/// A daemon that cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The address is not to be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The data directory is not to be had.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The parts do not come together.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The built-in backends cannot listen.
    #[error("the demo backends cannot start")]
    Demo(#[source] io::Error),
    /// The system gives no threads.
    #[error("the threads that answer requests cannot start")]
    Threads(#[source] io::Error),
}

impl Daemon {
    /// Takes the data directory and the address, and composes the daemon.
    pub async fn bind(config: Config, data_dir: DataDir, demo: bool) -> Result<Self, DaemonError> {
        let address = config.server.listen;
        let listen = |cause| DaemonError::Listen { address, cause };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let demo = if demo { Some(Demo::start().await.map_err(DaemonError::Demo)?) } else { None };
        let built_in = demo.as_ref().map(Demo::backends).unwrap_or_default();
        let app = Arc::new(App::new(
            config.clone(),
            data_dir.path(),
            &built_in,
            Http::default(),
            Fleet::Live,
        )?);
        data_dir.announce(&format!("http://{}", callable(address)))?;
        Ok(Self { app, listener, address, data_dir, config, demo })
    }

    /// Returns what the daemon is.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `stop` resolves; then takes no more, lets those under way finish as
    /// long as `server.drain_timeout` allows, and returns how many were cut off.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<usize, DaemonError> {
        self.app.start_probing();
        self.app.start_following().map_err(DaemonError::Threads)?;
        self.app.start_looking_up().map_err(DaemonError::Threads)?;
        let chores = self.app.start_chores();
        let ready = tokio::spawn({
            let app = Arc::clone(&self.app);
            async move {
                app.wait_until_ready().await;
                tracing::info!("ready: every backend has been probed");
            }
        });
        let workers =
            Workers::start(&self.app, &self.config.limits).map_err(DaemonError::Threads)?;
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => workers.take(stream),
                    Err(error) => {
                        // Too many open files, mostly: those that end make room.
                        tracing::error!(%error, "a connection could not be accepted");
                        sleep(Duration::from_millis(50)).await;
                    }
                },
            }
        }
        // Whoever has connected already is not turned away by a reset.
        poll_fn(|cx| {
            while let Poll::Ready(Ok((stream, _))) = self.listener.poll_accept(cx) {
                workers.take(stream);
            }
            Poll::Ready(())
        })
        .await;
        drop(self.listener);
        ready.abort();
        drop(chores);
        self.app.is_stopping.send_replace(true);
        let cut = workers.finish(self.app.config().server.drain_timeout.0).await;
        drop(self.demo);
        drop(self.data_dir);
        Ok(cut)
    }
}

/// Returns an address at which a listener can be called: one for "any" is called on loopback.
fn callable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            SocketAddr::from(([127, 0, 0, 1], v4.port()))
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, v6.port()))
        }
        other => other,
    }
}
