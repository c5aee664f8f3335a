//! `cygnet serve`: connects settings, store, charon, listeners and signals.

use super::logging;
use anyhow::{Context, Result, anyhow, bail};
use cygnet::{
    agent::{Agent, CharonLink, Ticks},
    doctor::facts::Places,
    http::{self, Accounts, Api, Auth, Credentials, Jobs, Tokens, serve::Server, tls::Tls},
    settings::{Backend, Settings},
    store::Store,
    strongswan::{StrongSwan, swanctl::Swanctl, vici::Vici},
    visible::visible,
};
use sd_notify::NotifyState;
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// How long running requests may take after the signal to stop.
const FINISHING: Duration = Duration::from_secs(10);
/// How often systemd gets the status.
const BEAT: Duration = Duration::from_secs(2);

pub fn run(config: &Path) -> ExitCode {
    logging::start();
    keep_memory_secret();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = runtime.context("cannot start").and_then(|runtime| runtime.block_on(serve(config)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
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
            tracing::warn!(%error, "a core dump of this process would contain keys");
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
    let credentials = read_credentials(&settings)?;
    if let Some(problem) = http::zone::problem() {
        tracing::warn!("{problem}");
    }
    let tls = settings.tls.as_ref().map(Tls::new).transpose().map_err(|e| anyhow!(e))?;
    let conf_dir = settings.conf_dir();
    if !conf_dir.is_dir() {
        bail!("{} is not a directory: install strongswan-swanctl, or set swanctl_dir or conf_dir", conf_dir.display());
    }
    let listener = match settings.listen {
        Some(address) => Some(TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?),
        None => None,
    };
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
    notify(&[NotifyState::Ready, NotifyState::Status(&status(&agent))]);
    until_stopped(orders, &Live { config, agent: &agent, api: &api, tls: tls.as_ref() }).await?;

    notify(&[NotifyState::Stopping]);
    stop.cancel();
    if tokio::time::timeout(FINISHING, server.finished()).await.is_err() {
        tracing::warn!("running requests were aborted after {} s", FINISHING.as_secs());
    }
    // Tunnels stay up in charon, and the next start finds them.
    Ok(())
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

/// The tokens and accounts, and what is wrong with their files.
pub fn credentials(settings: &Settings) -> (Credentials, Vec<String>) {
    let (auth, mut faults) = (&settings.auth, Vec::new());
    let mut note = |fault: String| faults.push(fault);
    let tokens = auth.tokens_file.as_ref().map(|path| http::credential(path).and_then(|path| Tokens::read(&path)));
    let tokens = tokens.transpose().map_err(&mut note).ok().flatten().unwrap_or_default();
    let accounts =
        auth.accounts_file.as_ref().map(|path| http::credential(path).and_then(|path| Accounts::read(&path)));
    let accounts = accounts.transpose().map_err(&mut note).ok().flatten().unwrap_or_default();
    (Credentials { tokens, accounts }, faults)
}

fn read_credentials(settings: &Settings) -> Result<Credentials> {
    let (credentials, faults) = credentials(settings);
    if !faults.is_empty() {
        bail!(faults.join("\n"));
    }
    let Credentials { tokens, accounts } = &credentials;
    if settings.listen.is_some() && tokens.is_empty() && accounts.is_empty() {
        tracing::warn!(
            "no token and no account is configured: every call over TCP is refused; set auth.tokens_file or auth.accounts_file"
        );
    }
    Ok(credentials)
}

/// The first line on standard output: the address, for a port that the system chose.
fn announce(listener: &TcpListener, tls: bool) -> Result<()> {
    let mut stdout = std::io::stdout();
    let scheme = if tls { "https" } else { "http" };
    writeln!(stdout, "listening on {scheme}://{}", listener.local_addr()?)?;
    Ok(stdout.flush()?)
}

/// The handled signals.
struct Orders {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Orders {
    fn new() -> Result<Self> {
        let signals = |kind| signal(kind).context("cannot handle signals");
        Ok(Self {
            terminate: signals(SignalKind::terminate())?,
            interrupt: signals(SignalKind::interrupt())?,
            reload: signals(SignalKind::hangup())?,
        })
    }
}

/// The parts that a reload changes.
struct Live<'a> {
    config: &'a Path,
    agent: &'a Arc<Agent>,
    api: &'a Arc<Api>,
    tls: Option<&'a Tls>,
}

/// Handles signals until one stops the agent.
async fn until_stopped(mut orders: Orders, live: &Live<'_>) -> Result<()> {
    let mut beat = tokio::time::interval(BEAT);
    let mut last = live.agent.ticks();
    loop {
        tokio::select! {
            _ = orders.terminate.recv() => return Ok(()),
            _ = orders.interrupt.recv() => return Ok(()),
            _ = orders.reload.recv() => match live.reload() {
                Ok(()) => tracing::info!("gateway, auth and the TLS files were read anew"),
                Err(error) => {
                    for fault in format!("{error:#}").lines() {
                        tracing::error!("the settings stay as they were: {fault}");
                    }
                }
            },
            _ = beat.tick() => last = report(live.agent, last),
        }
    }
}

impl Live<'_> {
    /// Takes over the settings that a reload may change; an invalid file changes nothing.
    fn reload(&self) -> Result<()> {
        let settings = Settings::read(self.config).map_err(|e| anyhow!(e))?;
        let credentials = read_credentials(&settings)?;
        if let (Some(tls), Some(files)) = (self.tls, &settings.tls) {
            tls.reload(files).map_err(|e| anyhow!(e))?;
        }
        record_handed_over(&settings);
        self.api.auth().set_credentials(credentials);
        self.api.set_places(Places::of(&settings, Some(self.config)));
        self.agent.set_gateway(settings.gateway);
        Ok(())
    }
}

/// Sends systemd the status. The watchdog gets its keep-alive only if both loops of the agent have turned since the last
/// one, so systemd restarts an agent that answers calls but reconciles nothing.
fn report(agent: &Agent, last: Ticks) -> Ticks {
    let turns = agent.ticks();
    if let Some(what) = turns.standing(last) {
        notify(&[NotifyState::Status(&format!("{what} hangs; {}", status(agent)))]);
        return last;
    }
    notify(&[NotifyState::Watchdog, NotifyState::Status(&status(agent))]);
    turns
}

/// Logs which files a reload cannot read again: an operator may have removed a token from one.
fn record_handed_over(settings: &Settings) {
    let auth = [&settings.auth.tokens_file, &settings.auth.accounts_file].into_iter().flatten();
    let tls = settings.tls.iter().flat_map(|tls| [Some(&tls.cert), Some(&tls.key), tls.client_ca.as_ref()]).flatten();
    for path in auth.chain(tls).filter(|path| http::is_handed_over(path)) {
        let path = path.display();
        tracing::warn!(%path, "this file is as it was at the start: `systemctl restart cygnet` takes over a new one");
    }
}

fn status(agent: &Agent) -> String {
    let count = agent.store().all().len();
    // systemd parses each line as a message.
    match agent.link() {
        CharonLink::Up(charon) => format!("{count} connections, strongSwan {}", visible(&charon.version)),
        CharonLink::Starting => "starting".into(),
        CharonLink::Down { why, .. } => format!("{count} connections, {}", visible(&why)),
    }
}

/// Notifies systemd, if it started this process.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd cannot be notified");
    }
}

/// Removes the Unix socket at the end.
struct RemoveOnDrop(PathBuf);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "the socket cannot be removed");
        }
    }
}
