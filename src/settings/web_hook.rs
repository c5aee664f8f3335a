//! Where results of jobs may be posted to.

use serde::Deserialize;

/// A host that job results may be posted to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct WebHookHost {
    /// A name or an address.
    pub host: String,
    /// The port; without one, that of the scheme alone.
    pub port: Option<u16>,
}

impl TryFrom<String> for WebHookHost {
    type Error = String;

    /// Takes `name`, `name:port`, and IPv6 addresses with or without brackets.
    fn try_from(text: String) -> Result<Self, String> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
            _ => (text.as_str(), None),
        };
        let wrong = || format!("\"{text}\" is not a host or host:port, as in plane.example or plane.example:8080");
        let port = port.map(|port| port.parse().map_err(|_| wrong())).transpose()?;
        let host = host.trim_matches(['[', ']']);
        let is_host = !host.is_empty() && !host.contains(|c: char| "/@[] ".contains(c) || c.is_control());
        if is_host { Ok(Self { host: host.into(), port }) } else { Err(wrong()) }
    }
}
