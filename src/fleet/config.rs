//! The settings of `cygnet-fleet`: TOML over defaults, unknown keys refused.

use super::{
    names,
    stop::{Result, Stop},
    vault::FleetKeys,
};
use cygnet::{
    disk::open::{self, Kind},
    http::credential,
    settings::duration::seconds,
};
use serde::Deserialize;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use zeroize::Zeroizing;

/// All settings; packaging/fleet.toml describes them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of the gateway; both nodes of a pair have one name.
    pub gateway: Option<String>,
    /// The members of etcd.
    #[serde(default = "default_endpoints")]
    pub endpoints: Vec<String>,
    /// The agent's Unix socket.
    #[serde(default = "default_agent")]
    pub agent: PathBuf,
    /// How long the statuses of a gateway outlive it.
    #[serde(default = "default_lease", deserialize_with = "seconds")]
    pub lease: Duration,
    /// Takes specs whose keys are not sealed.
    #[serde(default)]
    pub allow_unsealed: bool,
    /// TLS to etcd.
    #[serde(default)]
    pub tls: Tls,
    /// The user of etcd.
    pub user: Option<String>,
    /// The file with its password.
    pub password_file: Option<PathBuf>,
    /// The file with the keys that seal.
    pub fleet_key_file: Option<PathBuf>,
}

/// TLS to etcd; it is used for endpoints that begin with `https://`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The CA of etcd's certificates in PEM.
    pub ca: Option<PathBuf>,
    /// The certificate of this client in PEM.
    pub cert: Option<PathBuf>,
    /// Its private key in PEM.
    pub key: Option<PathBuf>,
    /// The name that etcd's certificate has, if it is not that of the endpoint.
    pub server_name: Option<String>,
}

fn default_endpoints() -> Vec<String> {
    vec!["http://127.0.0.1:2379".into()]
}

fn default_agent() -> PathBuf {
    "/run/cygnet/cygnet.sock".into()
}

const fn default_lease() -> Duration {
    Duration::from_secs(5)
}

impl Config {
    /// Reads the file at `path`, and looks at each value.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |why: &dyn std::fmt::Display| Stop::failed(format!("{}: {why}", path.display()));
        let text = open::read_to_string(path, Kind::Operator).map_err(|error| wrong(&error))?;
        let config: Self = toml::from_str(&text).map_err(|error| wrong(&error.to_string().trim_end()))?;
        config.check().map_err(|why| wrong(&why))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if let Some(gateway) = &self.gateway {
            names::check_gateway(gateway)?;
        }
        if self.endpoints.is_empty() {
            return Err("endpoints: name at least one member of etcd, as in [\"https://10.0.0.1:2379\"]".into());
        }
        for endpoint in &self.endpoints {
            let rest = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
            if rest.is_none_or(str::is_empty) {
                return Err(format!("endpoints: {endpoint:?} does not begin with http:// or https://"));
            }
        }
        if self.user.is_some() != self.password_file.is_some() {
            return Err("user and password_file need each other".into());
        }
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            return Err("tls.cert and tls.key need each other".into());
        }
        Ok(())
    }

    /// The gateway, which a follower must have.
    pub fn own_gateway(&self) -> Result<&str> {
        self.gateway.as_deref().ok_or_else(|| Stop::failed("the setting gateway is missing: it names this gateway"))
    }

    /// The user and the password.
    pub fn credentials(&self) -> Result<Option<(String, Zeroizing<String>)>> {
        let (Some(user), Some(file)) = (&self.user, &self.password_file) else { return Ok(None) };
        let text = secret("password_file", file)?;
        Ok(Some((user.clone(), Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned()))))
    }

    /// The keys that seal; none if the settings name no file.
    pub fn keys(&self) -> Result<FleetKeys> {
        let Some(file) = &self.fleet_key_file else { return Ok(FleetKeys::none()) };
        FleetKeys::parse(&secret("fleet_key_file", file)?)
            .map_err(|why| Stop::failed(format!("fleet_key_file: {}: {why}", file.display())))
    }
}

/// The text of a secret file: a path, or the name of a systemd credential.
fn secret(setting: &str, file: &Path) -> Result<Zeroizing<String>> {
    let wrong = |why: &dyn std::fmt::Display| Stop::failed(format!("{setting}: {}: {why}", file.display()));
    let place = credential(file).map_err(|why| wrong(&why))?;
    open::read_to_string(&place, Kind::Secret).map(Zeroizing::new).map_err(|error| wrong(&error))
}

/// The bytes of a file in PEM of the settings.
pub fn pem(setting: &str, file: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let wrong = |why: &dyn std::fmt::Display| Stop::failed(format!("{setting}: {}: {why}", file.display()));
    let place = credential(file).map_err(|why| wrong(&why))?;
    open::read(&place, Kind::Operator).map(Zeroizing::new).map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map(|()| config)
    }

    #[test]
    fn the_example_is_taken_and_the_packaged_file_says_the_defaults() {
        let config = checked(
            "gateway = \"g1\"\nendpoints = [\"http://127.0.0.1:2379\"]\nagent = \"/run/cygnet/cygnet.sock\"\n\
             lease = \"5s\"\nallow_unsealed = true\n",
        );
        assert_eq!(config.map(|config| config.lease), Ok(Duration::from_secs(5)));
        let packaged = include_str!("../../packaging/fleet.toml");
        let lines =
            packaged.lines().map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line));
        let said = checked(&lines.collect::<Vec<_>>().join("\n")).expect("each setting is valid");
        assert_eq!((said.lease, said.agent), (default_lease(), default_agent()));
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        for (text, word) in [
            ("gateway = \"a/b\"", "gateway"),
            ("endpoints = []", "endpoints"),
            ("endpoints = [\"10.0.0.1:2379\"]", "http://"),
            ("user = \"g1\"", "password_file"),
            ("lease = \"10ms\"", "1s"),
            ("leases = \"5s\"", "unknown field"),
            ("[tls]\ncert = \"/x\"", "tls.key"),
        ] {
            let why = checked(text).expect_err(text);
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}
