//! A running agent: its signals, new settings, and what systemd shows of it.

use super::credentials;
use anyhow::{Context, Result, anyhow};
use cygnet::{
    agent::{Agent, CharonLink, Ticks},
    doctor::facts::Places,
    host,
    http::{self, Api, Reload, Reloaded, tls::Tls},
    settings::Settings,
    visible::visible,
};
use sd_notify::NotifyState;
use std::{
    fmt::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// How often systemd gets the status.
const BEAT: Duration = Duration::from_secs(2);
/// So many slow calls to charon may a loop of the agent wait for before it counts as hanging.
const CALLS_OF_A_TURN: u32 = 4;

/// The handled signals.
pub struct Orders {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Orders {
    /// Handles them from now on.
    pub fn new() -> Result<Self> {
        let signals = |kind| signal(kind).context("cannot handle signals");
        Ok(Self {
            terminate: signals(SignalKind::terminate())?,
            interrupt: signals(SignalKind::interrupt())?,
            reload: signals(SignalKind::hangup())?,
        })
    }
}

/// The agent, and what new settings change.
pub struct Live<'a> {
    config: &'a Path,
    /// The settings that it was started with.
    settings: &'a Settings,
    agent: &'a Arc<Agent>,
    api: &'a Arc<Api>,
    tls: Option<&'a Tls>,
    /// The first fault of the settings that were refused last, with the number of all.
    refused: Option<(String, usize)>,
    needs_restart: Vec<&'static str>,
    turns: Ticks,
    turned: Instant,
}

impl<'a> Live<'a> {
    /// An agent that was started with these settings.
    pub fn new(
        config: &'a Path,
        settings: &'a Settings,
        agent: &'a Arc<Agent>,
        api: &'a Arc<Api>,
        tls: Option<&'a Tls>,
    ) -> Self {
        let (turns, turned) = (agent.ticks(), Instant::now());
        Self { config, settings, agent, api, tls, refused: None, needs_restart: Vec::new(), turns, turned }
    }

    /// Handles signals and calls for new settings until a signal stops the agent.
    pub async fn until_stopped(mut self, mut orders: Orders, mut reloads: mpsc::Receiver<Reload>) {
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                _ = orders.terminate.recv() => return,
                _ = orders.interrupt.recv() => return,
                _ = orders.reload.recv() => drop(self.reload()),
                // The caller may have hung up.
                Some(answer) = reloads.recv() => drop(answer.send(self.reload())),
                _ = beat.tick() => self.beat(),
            }
        }
    }

    /// Takes over the settings that a reload may change; faulty ones change nothing.
    fn reload(&mut self) -> Result<Reloaded, Vec<String>> {
        let outcome = self.take_over().map_err(|error| {
            let text = format!("{error:#}");
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        match &outcome {
            Ok(done) => {
                let (taken, restart) = (done.taken_over.join(", "), done.needs_restart.join(", "));
                tracing::info!("the settings were read anew; taken over: {taken}");
                if !restart.is_empty() {
                    tracing::warn!("other settings wait for `systemctl restart cygnet`: {restart}");
                }
                self.refused = None;
                self.needs_restart.clone_from(&done.needs_restart);
            }
            Err(faults) => {
                for fault in faults {
                    tracing::error!("the settings stay as they were: {fault}");
                }
                self.refused = faults.first().map(|fault| (fault.clone(), faults.len()));
            }
        }
        notify(&[NotifyState::Status(&self.status())]);
        outcome
    }

    fn take_over(&self) -> Result<Reloaded> {
        let settings = Settings::read(self.config)?;
        let credentials = credentials::read(&settings)?;
        let mut taken_over = Vec::new();
        if let (Some(tls), Some(files)) = (self.tls, &settings.tls) {
            tls.reload(files).map_err(|e| anyhow!(e))?;
            taken_over.push("TLS files".to_owned());
        }
        record_handed_over(&settings);
        let needs_restart = self.settings.need_restart(&settings);
        self.api.auth().set_credentials(credentials);
        self.api.set_places(Places::of(&settings, Some(self.config)));
        let (vips, networks) = (settings.gateway.vips.len(), settings.gateway.l3_networks.len());
        taken_over.push(format!("gateway (VIPs: {vips}, networks: {networks})"));
        taken_over.extend(settings.auth.tokens_file.is_some().then(|| "tokens".to_owned()));
        taken_over.extend(settings.auth.accounts_file.is_some().then(|| "accounts".to_owned()));
        taken_over.extend((!settings.auth.callers.is_empty()).then(|| "callers".to_owned()));
        self.agent.set_gateway(settings.gateway);
        Ok(Reloaded { taken_over, needs_restart })
    }

    /// Sends systemd the status. The watchdog gets its keep-alive only if both loops of the agent have turned since the
    /// last one, so systemd restarts an agent that answers calls but reconciles nothing.
    fn beat(&mut self) {
        let turns = self.agent.ticks();
        let Some(what) = turns.standing(self.turns) else {
            (self.turns, self.turned) = (turns, Instant::now());
            return notify(&[NotifyState::Watchdog, NotifyState::Status(&self.status())]);
        };
        // A slow charon, or one that is awaited at the start, is no loop that hangs.
        let hangs = self.turned.elapsed() > self.settings.charon.timeout.saturating_mul(CALLS_OF_A_TURN);
        let status = if hangs { format!("{what} hangs; {}", self.status()) } else { self.status() };
        notify(&[NotifyState::Status(&status)]);
    }

    /// What `systemctl status` shows. systemd parses each line as a message.
    pub fn status(&self) -> String {
        let count = self.agent.store().count();
        let noun = if count == 1 { "connection" } else { "connections" };
        let mut status = match self.agent.link() {
            CharonLink::Up(charon) => format!("{count} {noun}, strongSwan {}", visible(&charon.version)),
            CharonLink::Starting => "starting".into(),
            CharonLink::Down { why, .. } => format!("{count} {noun}, charon is unreachable: {}", visible(&why)),
        };
        if let Some(address) = self.settings.listen.filter(|listen| !has_address(listen.ip())) {
            let _ = write!(status, "; listens on {address} as soon as this host has the address");
        }
        if let Some((fault, count)) = &self.refused {
            let more = if *count > 1 { format!(" and {} more", count - 1) } else { String::new() };
            let _ = write!(status, "; new settings are refused: {}{more}", visible(fault));
        } else if !self.needs_restart.is_empty() {
            let _ = write!(status, "; restart to take over {}", self.needs_restart.join(", "));
        }
        status
    }
}

/// Whether this host has the address, or it means all of them; true if nobody knows.
pub fn has_address(address: std::net::IpAddr) -> bool {
    address.is_unspecified() || address.is_loopback() || host::addresses().is_ok_and(|all| all.contains(&address))
}

/// Logs which files a reload cannot read again: an operator may have removed a token from one.
fn record_handed_over(settings: &Settings) {
    let auth = [&settings.auth.tokens_file, &settings.auth.accounts_file].into_iter().flatten();
    let tls = settings.tls.iter().flat_map(|tls| [Some(&tls.cert), Some(&tls.key), tls.client_ca.as_ref()]).flatten();
    for path in auth.chain(tls).filter(|path| http::is_handed_over(path)) {
        let path = path.display();
        tracing::warn!(%path, "{path} is as it was at the start: `systemctl restart cygnet` takes over a new one");
    }
}

/// Notifies systemd, if it started this process.
pub fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd cannot be notified: {error}");
    }
}
