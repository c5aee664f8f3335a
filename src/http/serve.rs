//! The listeners: TCP for the management plane, a Unix socket for this machine. Connections are bounded in number, in
//! all and per peer, in the time that a request's head may take, and in how long a peer may leave its answer unread.

mod exchange;
mod pace;
pub(super) mod room;
mod scrubbed;

use super::{
    auth::Origin,
    framing::Watched,
    tally::{Refusal, Tally},
    tls::Tls,
    wiped::Wiped,
};
use crate::http::serve::{
    exchange::{Answers, Connection},
    pace::Paced,
    room::{Most, Room, Seat},
    scrubbed::Scrubbed,
};
use axum::Router;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::unistd::{Group, Uid};
use std::{
    io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener, UnixStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// TCP connections at once, and those from one address: a management plane may have three quarters of all.
const NETWORK: Most = Most { all: 512, per_peer: 384 };
/// Connections of the Unix socket at once, and those of one user: apart, so that neither the network nor another user
/// can lock the operator out.
const LOCAL: Most = Most { all: 96, per_peer: 64 };
/// Connections for the metrics alone at once: monitoring and the management plane do not lock each other out.
const METRICS: Most = Most { all: 32, per_peer: 16 };
/// How long the head of a request may take; also how long a kept connection may idle.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a peer may take nothing of what it is sent. A reader that is slow takes something now and then.
const UNREAD: Duration = Duration::from_secs(30);
/// How large the head of a request may be, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// The group whose members may use the Unix socket.
const GROUP: &str = "cygnet";

/// A server whose listeners share their limits.
#[derive(Clone)]
pub struct Server {
    router: Router,
    network: Arc<Room>,
    local: Arc<Room>,
    answers: Answers,
    stop: CancellationToken,
    tasks: TaskTracker,
    tally: Tally,
}

impl Server {
    /// A server of `router` that ends when `stop` is cancelled.
    #[must_use]
    pub fn new(router: Router, stop: CancellationToken) -> Self {
        Self {
            router,
            network: Room::new(NETWORK),
            local: Room::new(LOCAL),
            answers: Answers::default(),
            stop,
            tasks: TaskTracker::new(),
            tally: Tally::default(),
        }
    }

    /// A server of `router` for monitoring, which ends with this one.
    #[must_use]
    pub fn for_metrics(&self, router: Router) -> Self {
        Self { router, network: Room::new(METRICS), ..self.clone() }
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
                let (acceptor, to) = (tls.as_ref().map(Tls::acceptor), server.clone());
                // The handshake too is outside this loop: who is slow with it holds up nobody.
                server.seated(origin, move |seat| async move {
                    match acceptor {
                        None => to.connection(stream, origin, seat).await,
                        Some(acceptor) => match timeout(HANDSHAKE, acceptor.accept(Wiped(stream))).await {
                            Ok(Ok(stream)) => to.connection(stream, origin, seat).await,
                            Ok(Err(error)) if to.tally.is_first(Refusal::Handshake, origin) => {
                                tracing::info!(%peer, %error, "a TLS handshake failed with {peer}: {error}");
                            }
                            Err(_) if to.tally.is_first(Refusal::Handshake, origin) => {
                                tracing::info!(%peer, "a TLS handshake took too long with {peer}");
                            }
                            _ => {}
                        },
                    }
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
                        let to = server.clone();
                        server.seated(origin, move |seat| async move { to.connection(stream, origin, seat).await });
                    }
                    Ok((stream, _)) => {
                        let uid = stream.peer_cred().map_or(u32::MAX, |peer| peer.uid());
                        if server.tally.is_first(Refusal::Process, Origin::Local(uid)) {
                            tracing::warn!(
                                uid,
                                "a process of the uid {uid}, who is neither root nor in the group {GROUP}, was refused"
                            );
                        }
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

    fn room(&self, origin: Origin) -> &Arc<Room> {
        match origin {
            Origin::Network(..) => &self.network,
            Origin::Local(_) => &self.local,
        }
    }

    /// Has a connection served in a place of its own. One for which there is none waits in a task of its own, so that
    /// those behind it are served; after a while it is closed.
    fn seated<F: Future<Output = ()> + Send>(
        &self,
        origin: Origin,
        connection: impl FnOnce(Arc<Seat>) -> F + Send + 'static,
    ) {
        let (place, room) = (self.room(origin).enter(origin), Arc::clone(self.room(origin)));
        self.tasks.spawn(async move {
            let place = match place {
                None => room.wait(origin).await,
                place => place,
            };
            let Some(place) = place else {
                tracing::debug!(%origin, "a connection from {origin} was closed: there was no room for it");
                return;
            };
            let seat = place.seat();
            place.keep(connection(seat)).await;
        });
    }

    /// Serves one connection to its end.
    async fn connection(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        origin: Origin,
        seat: Arc<Seat>,
    ) {
        let (stream, ambiguous, grown) = Watched::new(Paced::new(stream, Arc::clone(&seat), UNREAD));
        let (router, answers) = (self.router.clone(), self.answers.clone());
        let shared =
            Connection { router, origin, ambiguous, grown, seat, room: Arc::clone(self.room(origin)), answers };
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service_fn(move |request| shared.clone().answer(request)));
        let mut connection = std::pin::pin!(connection);
        let outcome = tokio::select! {
            outcome = Scrubbed(connection.as_mut()) => outcome,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                Scrubbed(connection.as_mut()).await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "a connection ended early: {error}");
        }
    }
}

/// Lets a shortage (of file descriptors, mostly) pass instead of spinning on it.
async fn pause(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection: {error}");
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
        // A file that is no socket refuses too, and is not ours to remove.
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            if !path.symlink_metadata()?.file_type().is_socket() {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is there and no socket; remove it"));
            }
            std::fs::remove_file(path)?;
        }
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
    let is_member = || {
        let user = || nix::unistd::User::from_uid(uid).ok().flatten();
        let has = |group: Group| group.gid.as_raw() == gid || user().is_some_and(|user| group.mem.contains(&user.name));
        Group::from_name(GROUP).ok().flatten().is_some_and(has)
    };
    // Users and groups may come over a network: no runtime worker waits for them.
    uid.is_root() || uid == Uid::effective() || tokio::task::block_in_place(is_member)
}
