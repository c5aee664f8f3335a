//! `cygnet serve`: connects settings, store, charon, listeners and signals.

use super::{
    credentials,
    live::{Live, Orders, has_address, notify},
    logging,
};
use anyhow::{Context, Result, anyhow, bail};
use cygnet::{
    agent::Agent,
    doctor::facts::Places,
    http::{self, Api, Auth, Jobs, serve::Server, tls::Tls},
    rights::{self, NOT_PERMITTED},
    settings::{Backend, Settings},
    store::Store,
    strongswan::{StrongSwan, swanctl::Swanctl, vici::Vici},
};
use nix::sys::socket::{setsockopt, sockopt};
use sd_notify::NotifyState;
use std::{
    io::{ErrorKind, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

/// How long running requests may take after the signal to stop.
const FINISHING: Duration = Duration::from_secs(10);
/// How many connections of callers may wait to be taken.
const BACKLOG: u32 = 1024;

pub fn run(config: &Path) -> ExitCode {
    logging::start();
    keep_memory_secret();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = runtime.context("cannot start").and_then(|runtime| runtime.block_on(serve(config)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::failure(&explained(&error));
            ExitCode::FAILURE
        }
    }
}

/// Why it failed; to an ordinary user, with what to do about missing rights.
fn explained(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let is_denied = error.chain().filter_map(|cause| cause.downcast_ref()).any(rights::is_denied);
    if is_denied && !text.contains(NOT_PERMITTED) { format!("{NOT_PERMITTED} ({text})") } else { text }
}

/// Forbids core dumps, and access to memory through `/proc` by processes of the same user: keys are in memory. Against
/// swapping the unit has `MemorySwapMax=0`: keys pass through many buffers, which `mlock` could not cover.
fn keep_memory_secret() {
    use nix::sys::{
        prctl,
        resource::{Resource, setrlimit},
    };
    for outcome in [prctl::set_dumpable(false), setrlimit(Resource::RLIMIT_CORE, 0, 0)] {
        if let Err(error) = outcome {
            tracing::warn!(%error, "a core dump of this process would contain keys: {error}");
        }
    }
}

async fn serve(config: &Path) -> Result<()> {
    // Before readiness is announced: an unhandled signal would end the process.
    let orders = Orders::new()?;
    let settings = Settings::read(config).map_err(|e| anyhow!(e))?;
    if let Some(watchdog) = sd_notify::watchdog_enabled() {
        settings.charon.check_watchdog(watchdog).map_err(|e| anyhow!("{}: {e}", config.display()))?;
    }
    let credentials = credentials::read(&settings)?;
    if let Some(problem) = http::zone::problem() {
        tracing::warn!("{problem}");
    }
    let tls = settings.tls.as_ref().map(Tls::new).transpose().map_err(|e| anyhow!(e))?;
    let conf_dir = settings.conf_dir();
    match conf_dir.metadata() {
        Ok(found) if found.is_dir() => {}
        Err(error) if rights::is_denied(&error) => bail!("{}: {}", conf_dir.display(), rights::explained(&error)),
        _ => bail!(
            "{} is not a directory: install strongswan-swanctl, or set swanctl_dir or conf_dir",
            conf_dir.display()
        ),
    }
    let listener = settings.listen.map(listen).transpose()?;
    let unix = http::serve::bind_unix(&settings.socket).await;
    let unix = unix.with_context(|| format!("cannot listen on {}", settings.socket.display()))?;
    let _socket = RemoveOnDrop(settings.socket.clone());

    let store = Store::open(&settings.state_dir)?;
    let agent = Agent::new(&settings, store, strongswan(&settings));
    agent.start().await;

    let stop = CancellationToken::new();
    let jobs = Jobs::open(settings.state_dir.join("jobs"))?;
    let api = Api::new(Arc::clone(&agent), Auth::new(credentials), jobs, &settings, &stop);
    api.set_places(Places::of(&settings, Some(config)));
    let server = Server::new(http::router(Arc::clone(&api)), stop.clone());
    if let Some(listener) = listener {
        announce(&listener, tls.is_some())?;
        server.serve_tcp(listener, tls.clone());
    }
    server.serve_unix(unix);
    serve_metrics(&settings, &server, &api, tls.as_ref());
    let (sender, reloads) = mpsc::channel(1);
    api.set_reloads(sender);
    let live = Live::new(config, &settings, &agent, &api, tls.as_ref());
    notify(&[NotifyState::Ready, NotifyState::Status(&live.status())]);
    live.until_stopped(orders, reloads).await;

    notify(&[NotifyState::Stopping]);
    stop.cancel();
    if tokio::time::timeout(FINISHING, server.finished()).await.is_err() {
        tracing::warn!("running requests were aborted after {} s", FINISHING.as_secs());
    }
    agent.save_logs().await;
    agent.finish_totals().await;
    // Tunnels stay up in charon, and the next start finds them.
    Ok(())
}

/// Serves the metrics on a port of their own. Tunnels do not depend on it, so the agent goes on without it.
fn serve_metrics(settings: &Settings, server: &Server, api: &Arc<Api>, tls: Option<&Tls>) {
    let Some(address) = settings.metrics.listen else { return };
    // Programs of this host need no TLS.
    let tls = tls.filter(|_| !address.ip().is_loopback()).cloned();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let bound = listen(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
    match bound {
        Ok((address, listener)) => {
            tracing::info!(%address, "the metrics are at {scheme}://{address}/metrics");
            server.for_metrics(http::metrics_router(Arc::clone(api))).serve_tcp(listener, tls);
        }
        Err(error) => tracing::warn!(%error, "there is no port for the metrics (metrics.listen): {error}"),
    }
}

/// A socket at this address, also if this host does not have it yet: keepalived or DHCP may bring it later.
fn listen(address: SocketAddr) -> Result<TcpListener> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        setsockopt(&socket, sockopt::IpFreebind, &true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    let listener = open().map_err(|error: std::io::Error| {
        let hint = match error.kind() {
            ErrorKind::AddrInUse => ": another program listens there; `ss -ltnp` names it",
            ErrorKind::PermissionDenied => ": the agent may not use ports below 1024; choose another one",
            _ => "",
        };
        anyhow!("cannot listen on {address}: {error}{hint}")
    })?;
    if !has_address(address.ip()) {
        tracing::warn!("this host does not have the address of listen, {address}; callers get in as soon as it has");
    }
    Ok(listener)
}

/// The connection to charon that the settings choose.
pub fn strongswan(settings: &Settings) -> StrongSwan {
    let charon = &settings.charon;
    match charon.backend {
        Backend::Vici => Vici::new(&charon.vici, charon.timeout).into(),
        Backend::Swanctl => {
            Swanctl::new(&settings.swanctl_dir, &settings.conf_dir(), &charon.vici, charon.timeout).into()
        }
    }
}

/// The first line on standard output: the address, for a port that the system chose.
fn announce(listener: &TcpListener, tls: bool) -> Result<()> {
    let mut stdout = std::io::stdout();
    let scheme = if tls { "https" } else { "http" };
    writeln!(stdout, "listening on {scheme}://{}", listener.local_addr()?)?;
    Ok(stdout.flush()?)
}

/// Removes the Unix socket at the end.
struct RemoveOnDrop(PathBuf);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "the socket cannot be removed: {error}");
        }
    }
}
