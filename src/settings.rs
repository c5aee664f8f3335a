//! The settings: TOML files over defaults, unknown keys refused, every value checked before anything starts.

mod callers;
mod condition;
pub mod duration;
mod files;
mod gateway;
mod ha;
mod metrics;
pub mod policy;
mod web_hook;

pub use callers::{Answers, Caller, Whose};
pub use files::{Fault, Faults};
pub(crate) use gateway::uuid_of;
pub use gateway::{Gateway, L3Network, Vip};
pub use ha::{Ha, HaRole};
pub use metrics::Metrics;
pub use web_hook::WebHookHost;

use crate::{
    rights,
    settings::{
        duration::duration,
        files::{Source, Step},
    },
};
use serde::Deserialize;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// Where the program looks for its settings unless it is told another file.
const DEFAULT_PATH: &str = "/etc/cygnet/cygnet.toml";
/// The directory of the connections' files in the state directory. The unit makes it; where it is missing, the files are
/// in `conf.d` of swanctl's directory.
const CONF_DIR: &str = "swanctl";

/// All settings; docs/configuration.md describes them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address of the management plane's HTTP; without it only the Unix socket listens.
    pub listen: Option<SocketAddr>,
    /// Allows plain HTTP on an address that is not loopback.
    #[serde(default)]
    pub insecure_http: bool,
    /// Unix socket for root and the group `cygnet`.
    #[serde(default = "default_socket")]
    pub socket: PathBuf,
    /// The directory of the store.
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
    /// swanctl's directory.
    #[serde(default = "default_swanctl_dir")]
    pub swanctl_dir: PathBuf,
    /// The directory of the connections' files. Without it: `swanctl` in `state_dir` if that directory exists, else
    /// `conf.d` in `swanctl_dir`.
    pub conf_dir: Option<PathBuf>,
    /// Answers `******` for keys.
    #[serde(default)]
    pub mask_auth_key: bool,
    /// Serves the page for browsers at `/` of `listen`.
    #[serde(default = "default_page")]
    pub page: bool,
    /// The connection to charon.
    #[serde(default)]
    pub charon: Charon,
    /// Who may call.
    #[serde(default)]
    pub auth: Auth,
    /// TLS on `listen`; without it, plain HTTP.
    pub tls: Option<Tls>,
    /// Where monitoring reads.
    #[serde(default)]
    pub metrics: Metrics,
    /// Asynchronous answers.
    #[serde(default)]
    pub jobs: Jobs,
    /// The addresses and networks of this gateway.
    #[serde(default)]
    pub gateway: Gateway,
    /// Whether it is one of a pair.
    #[serde(default)]
    pub ha: Ha,
    /// The policy on weak choices.
    #[serde(default)]
    pub policy: policy::Policy,
    /// The limits for idle and one-way children.
    #[serde(default)]
    pub condition: condition::Condition,
}

/// TLS on `listen`. A name without a slash is that of a systemd credential.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain in PEM, the server's first.
    pub cert: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
    /// The CA of client certificates in PEM; with it, clients need a certificate.
    pub client_ca: Option<PathBuf>,
}

/// Asynchronous answers.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Jobs {
    /// Which writes are answered with 202 and a job.
    #[serde(rename = "async")]
    pub mode: Asynchronous,
    /// The hosts (`name` or `name:port`) that job results may be posted to.
    pub web_hook_hosts: Vec<WebHookHost>,
}

/// Which writes are answered with 202 and a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Asynchronous {
    /// Those that request it: with `X-Job-UUID`, `X-Web-Hook` or `Prefer: respond-async`.
    #[default]
    Auto,
    /// All.
    Always,
    /// None.
    Never,
}

/// The connection to charon.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Charon {
    /// The backend.
    pub backend: Backend,
    /// The vici socket.
    pub vici: PathBuf,
    /// The deadline of one vici call.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// charon's log file; without it, the journal of the unit strongswan is read.
    pub log: Option<PathBuf>,
    /// How long a write waits for the tunnel before it answers.
    #[serde(deserialize_with = "duration")]
    pub wait: Duration,
    /// Runs the rekey test after each change; a write may override it.
    pub rehearse_rekey: bool,
}

/// The calls to charon that must fit into the watchdog's time. If all are slow, a loop of the agent waits for an earlier
/// call and then for its own, and the second check after that sees it turn.
const CALLS_IN_A_WATCHDOG: u32 = 4;

impl Charon {
    /// Checks that the deadline of vici calls fits into the time of the watchdog.
    ///
    /// # Errors
    /// When a slow charon would trigger the watchdog: the text says what to set.
    pub fn check_watchdog(&self, watchdog: Duration) -> Result<(), String> {
        let (timeout, most) = (self.timeout, watchdog / CALLS_IN_A_WATCHDOG);
        if timeout <= most {
            return Ok(());
        }
        let needed = timeout.saturating_mul(CALLS_IN_A_WATCHDOG);
        Err(format!(
            "charon.timeout = {timeout:?} is too long for WatchdogSec = {watchdog:?} of the service: systemd would kill \
             cygnet while charon is slow; set charon.timeout to at most {most:?}, or WatchdogSec to at least {needed:?} \
             (systemctl edit cygnet)"
        ))
    }
}

/// The two backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Its vici socket.
    Vici,
    /// The swanctl program: the fallback.
    Swanctl,
}

/// Who may call over TCP.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// A file of `name:token` and `name:token:role` lines. Without a slash in it: the name of a systemd credential.
    pub tokens_file: Option<PathBuf>,
    /// A file of accounts and access keys, written by `cygnet passwd` and `cygnet accesskey`.
    pub accounts_file: Option<PathBuf>,
    /// What is settled for single callers.
    #[serde(default)]
    pub callers: Vec<Caller>,
}

fn default_socket() -> PathBuf {
    "/run/cygnet/cygnet.sock".into()
}

fn default_page() -> bool {
    true
}

fn default_state_dir() -> PathBuf {
    "/var/lib/cygnet".into()
}

fn default_swanctl_dir() -> PathBuf {
    "/etc/swanctl".into()
}

impl Default for Charon {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self {
            backend: Backend::Vici,
            vici: "/var/run/charon.vici".into(),
            timeout: second * 5,
            log: None,
            wait: second * 5,
            rehearse_rekey: false,
        }
    }
}

impl Settings {
    /// Reads and checks the file at `path`, and the files `conf.d/*.toml` beside it in the order of their names. Tables of
    /// several files are merged and lists of VIPs and networks joined; of any other value the last one counts. Without
    /// the file at `DEFAULT_PATH`, of this or another root, only the others count.
    ///
    /// # Errors
    /// All faults of all files.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let (settings, faults) = Self::examine(path);
        settings.filter(|_| faults.is_empty()).ok_or(Faults(faults))
    }

    /// As [`Settings::read`]; the settings leave out what is faulty.
    #[must_use]
    pub fn examine(path: &Path) -> (Option<Self>, Vec<Fault>) {
        let (sources, mut faults) = files::sources(path, path.ends_with(DEFAULT_PATH.trim_start_matches('/')));
        let (mut settings, found) = Self::checked(&sources, !faults.is_empty());
        faults.extend(found);
        if let Some(settings) = settings.as_mut().filter(|settings| settings.conf_dir.is_none()) {
            let own = settings.state_dir.join(CONF_DIR);
            // Whoever may not look there runs no agent, and asks about the packaged one.
            let is_there = own.metadata().map_or_else(|error| rights::is_denied(&error), |data| data.is_dir());
            settings.conf_dir = is_there.then_some(own);
        }
        (settings, faults)
    }

    /// Checks the settings in `text`.
    ///
    /// # Errors
    /// What is wrong in it, a line for each fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (settings, faults) = Self::checked(&[Source { name: String::new(), text: text.into() }], false);
        settings.filter(|_| faults.is_empty()).ok_or_else(|| Faults(faults).to_string())
    }

    fn checked(sources: &[Source], is_partial: bool) -> (Option<Self>, Vec<Fault>) {
        let mut read = files::read::<Self>(sources, is_partial);
        let lacks_tls = read.lacks("tls");
        let wrong = read.value.as_mut().map(|settings| {
            settings.gateway.fill_uuids();
            settings.wrong(lacks_tls)
        });
        for (path, text) in wrong.unwrap_or_default() {
            read.add(&path, text);
        }
        (read.value, read.faults)
    }

    /// What is wrong beyond the types of values, and where. `lacks_tls` says that `[tls]` is there and faulty.
    fn wrong(&self, lacks_tls: bool) -> Vec<(Vec<Step>, String)> {
        let mut wrong = [self.gateway.wrong(), self.ha.wrong()].concat();
        let is_plain = self.tls.is_none() && !lacks_tls && !self.insecure_http;
        let both = [(self.listen, &["listen"][..]), (self.metrics.listen, &["metrics", "listen"])];
        let beyond = |address: &SocketAddr| !address.ip().is_loopback() && is_plain;
        for (listen, path) in both.into_iter().filter_map(|(listen, path)| Some((listen.filter(beyond)?, path))) {
            let text = format!(
                "{} = \"{listen}\" would send keys in clear over the network: \
                 add [tls], listen on a loopback address, or set insecure_http = true if the network is trusted",
                path.join(".")
            );
            wrong.push((path.iter().map(|step| (*step).into()).collect(), text));
        }
        if self.charon.timeout.is_zero() {
            wrong.push((vec!["charon".into(), "timeout".into()], "charon.timeout must be longer than 0s".into()));
        }
        wrong
    }

    /// The files that [`Settings::read`] reads at `path`, and their texts; those that cannot be read are left out.
    #[must_use]
    pub fn texts(path: &Path) -> Vec<(String, String)> {
        files::sources(path, true).0.into_iter().map(|source| (source.name, source.text)).collect()
    }

    /// The settings of `new` that differ and that an agent with these takes over at its next start only.
    #[must_use]
    pub fn need_restart(&self, new: &Self) -> Vec<&'static str> {
        // Without a rest: a setting that is not compared does not compile.
        #[rustfmt::skip]
        let Self {
            listen, insecure_http, socket, state_dir, swanctl_dir, conf_dir, mask_auth_key, page, charon, metrics, jobs,
            policy, condition, ha,
            // A reload takes these over.
            gateway: _, auth: _, tls,
        } = self;
        let differs = [
            ("listen", *listen != new.listen),
            ("insecure_http", *insecure_http != new.insecure_http),
            ("socket", *socket != new.socket),
            ("state_dir", *state_dir != new.state_dir),
            ("swanctl_dir", *swanctl_dir != new.swanctl_dir),
            ("conf_dir", *conf_dir != new.conf_dir),
            ("mask_auth_key", *mask_auth_key != new.mask_auth_key),
            ("page", *page != new.page),
            ("charon", *charon != new.charon),
            ("metrics", *metrics != new.metrics),
            // Other files are read; TLS itself comes and goes with the listener.
            ("tls", tls.is_some() != new.tls.is_some()),
            ("jobs", *jobs != new.jobs),
            ("condition", *condition != new.condition),
            ("ha", *ha != new.ha),
            ("policy", *policy != new.policy),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    /// The directory of the connections' files.
    #[must_use]
    pub fn conf_dir(&self) -> PathBuf {
        self.conf_dir.clone().unwrap_or_else(|| self.swanctl_dir.join("conf.d"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_need_no_file_contents() {
        let settings = Settings::parse("").expect("empty settings");
        assert_eq!(settings.charon.wait, Duration::from_secs(5));
        assert_eq!(settings.conf_dir(), Path::new("/etc/swanctl/conf.d"));
        assert_eq!(settings.listen, None);
    }

    #[test]
    fn the_watchdog_outlasts_four_calls_to_charon() {
        let charon = Settings::parse("[charon]\ntimeout = \"8s\"").expect("settings").charon;
        let seconds = Duration::from_secs;
        assert_eq!(charon.check_watchdog(seconds(32)), Ok(()));
        let error = charon.check_watchdog(seconds(30)).expect_err("too long");
        for word in ["charon.timeout = 8s", "WatchdogSec = 30s", "at most 7.5s", "at least 32s"] {
            assert!(error.contains(word), "{word}: {error}");
        }
        assert_eq!(Charon::default().check_watchdog(seconds(30)), Ok(()), "the package's own settings");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            ("lisen = \"127.0.0.1:1\"", "lisen"),
            ("listen = \"0.0.0.0:8080\"", "insecure_http"),
            ("[charon]\nwait = \"5\"", "duration"),
            ("[charon]\ntimeout = \"0s\"", "timeout"),
            ("[condition]\nidle_after = \"0s\"", "idle_after"),
            ("[condition]\nidle = \"9s\"", "idle"),
            ("[[gateway.vips]]\nuuid = \"a\"\naddress = \"x\"", "address"),
            ("[jobs]\nweb_hook_hosts = [\"a:b\"]", "host:port"),
            ("[[auth.callers]]\nanswers = \"async\"", "either token or account"),
            ("[[auth.callers]]\ntoken = \"a\"\naccount = \"b\"\nanswers = \"async\"", "either token or account"),
            ("[[auth.callers]]\ntoken = \"a\"", "answers"),
            ("[[auth.callers]]\ntoken = \"a\"\nanswers = \"always\"", "async"),
            ("[[auth.callers]]\ntoken = \"a\"\nanswer = \"async\"", "answer"),
            ("[jobs]\nweb_hook_hosts = [\"http://a\"]", "host:port"),
            ("[jobs]\nweb_hook_hosts = [\"\"]", "host:port"),
            ("[[gateway.l3_networks]]\nuuid = \"a\"\ncidrs = [\"10.0.0.1/8\"]", "host bits"),
            (
                "[[gateway.vips]]\nuuid=\"a\"\naddress=\"::1\"\n[[gateway.vips]]\nuuid=\"a\"\naddress=\"::2\"",
                "duplicated",
            ),
        ] {
            let error = Settings::parse(text).expect_err(text);
            assert!(error.contains(word), "{text}: {error}");
        }
        assert!(Settings::parse("listen = \"0.0.0.0:1\"\ninsecure_http = true").is_ok());
    }
}
