//! The listeners: TCP for the management plane, a Unix socket for this machine. Connections are
//! bounded in number and in the time that a request's head may take.

use super::{auth::Origin, framing::Watched, tls::Tls, wiped::Wiped};
use axum::{Extension, Router};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use nix::unistd::{Group, Uid};
use std::{io, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// TCP connections at once.
const MAX_NETWORK: usize = 512;
/// Connections of the Unix socket at once: apart, so that the network cannot lock the operator out.
const MAX_LOCAL: usize = 64;
/// How long the head of a request may take; also how long a kept connection may idle.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How large the head of a request may be, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// The group whose members may use the Unix socket.
const GROUP: &str = "cygnet";

/// A server whose listeners share their limits.
#[derive(Clone)]
pub struct Server {
    router: Router,
    network: Arc<Semaphore>,
    local: Arc<Semaphore>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// A server of `router` that ends when `stop` is cancelled.
    #[must_use]
    pub fn new(router: Router, stop: CancellationToken) -> Self {
        let slots = |count| Arc::new(Semaphore::new(count));
        Self { router, network: slots(MAX_NETWORK), local: slots(MAX_LOCAL), stop, tasks: TaskTracker::new() }
    }

    /// Serves TCP connections, by TLS if there is any.
    pub fn serve_tcp(&self, listener: TcpListener, tls: Option<Tls>) {
        let server = self.clone();
        self.tasks.spawn(async move {
            while let Some(accepted) = server.stop.run_until_cancelled(listener.accept()).await {
                let (stream, peer) = match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        pause(&error).await;
                        continue;
                    }
                };
                // An answer in two writes must not wait for the client's acknowledgement of the first; without it, it does.
                let _ = stream.set_nodelay(true);
                let origin = Origin::Network(peer.ip(), tls.is_some());
                let Some(slot) = server.slot(origin).await else { return };
                let (acceptor, server) = (tls.as_ref().map(Tls::acceptor), server.clone());
                // The handshake too is outside this loop: who is slow with it holds up nobody.
                server.tasks.clone().spawn(async move {
                    match acceptor {
                        None => server.connection(stream, origin).await,
                        Some(acceptor) => match timeout(HANDSHAKE, acceptor.accept(Wiped(stream))).await {
                            Ok(Ok(stream)) => server.connection(stream, origin).await,
                            Ok(Err(error)) => tracing::info!(%peer, %error, "a TLS handshake failed"),
                            Err(_) => tracing::info!(%peer, "a TLS handshake took too long"),
                        },
                    }
                    drop(slot);
                });
            }
        });
    }

    /// Serves connections of the Unix socket from root, our own user and the group `cygnet`.
    pub fn serve_unix(&self, listener: UnixListener) {
        let server = self.clone();
        self.tasks.spawn(async move {
            while let Some(accepted) = server.stop.run_until_cancelled(listener.accept()).await {
                match accepted {
                    Ok((stream, _)) if is_allowed(&stream) => {
                        let origin = Origin::Local(stream.peer_cred().map_or(u32::MAX, |peer| peer.uid()));
                        let Some(slot) = server.slot(origin).await else { return };
                        let server = server.clone();
                        server.tasks.clone().spawn(async move {
                            server.connection(stream, origin).await;
                            drop(slot);
                        });
                    }
                    Ok(_) => {
                        tracing::warn!("a process of a user who is neither root nor in the group {GROUP} was refused");
                    }
                    Err(error) => pause(&error).await,
                }
            }
        });
    }

    /// Waits until all requests under way are answered; `stop` must have been cancelled.
    pub async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Waits for room for a connection.
    async fn slot(&self, origin: Origin) -> Option<OwnedSemaphorePermit> {
        let slots = match origin {
            Origin::Network(..) => &self.network,
            Origin::Local(_) => &self.local,
        };
        Arc::clone(slots).acquire_owned().await.ok()
    }

    /// Serves one connection to its end.
    async fn connection(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, origin: Origin) {
        let (stream, ambiguous, grown) = Watched::new(stream);
        let router = self.router.clone().layer(Extension(origin)).layer(Extension(ambiguous)).layer(Extension(grown));
        let service = TowerToHyperService::new(router);
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// Lets a shortage (of file descriptors, mostly) pass instead of spinning on it.
async fn pause(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Binds the Unix socket `path`, mode 0660, owned by the group `cygnet` if there is one. A socket
/// that a dead process left behind is replaced; a living one is not.
///
/// # Errors
/// When another process listens there, or the socket cannot be made.
pub async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixStream::connect(path).await {
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
        Err(_) => {}
    }
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    if let Some(group) = Group::from_name(GROUP).ok().flatten().filter(|_| Uid::effective().is_root()) {
        std::os::unix::fs::chown(path, None, Some(group.gid.as_raw()))?;
    }
    Ok(listener)
}

/// Whether the process at the other end may call: the socket's mode keeps the rest of the group out.
fn is_allowed(stream: &UnixStream) -> bool {
    let Ok(peer) = stream.peer_cred() else { return false };
    let (uid, gid) = (Uid::from_raw(peer.uid()), peer.gid());
    let group = Group::from_name(GROUP).ok().flatten();
    let is_member = |group: Group| {
        let user = nix::unistd::User::from_uid(uid).ok().flatten();
        group.gid.as_raw() == gid || user.is_some_and(|user| group.mem.contains(&user.name))
    };
    uid.is_root() || uid == Uid::effective() || group.is_some_and(is_member)
}
