//! Where monitoring reads the metrics.

use serde::{Deserialize, Deserializer, de::Error};
use std::net::{Ipv4Addr, SocketAddr};

/// The port on loopback where an agent without settings is read.
const PORT: u16 = 9817;

/// A port of their own for the metrics.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// The address; `None` for no port.
    #[serde(deserialize_with = "listen")]
    pub listen: Option<SocketAddr>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { listen: Some((Ipv4Addr::LOCALHOST, PORT).into()) }
    }
}

fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "none" {
        return Ok(None);
    }
    let wrong = |_| {
        D::Error::custom(format!("\"{text}\" is no address with a port, such as 127.0.0.1:{PORT}, and not \"none\""))
    };
    text.parse().map(Some).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use crate::settings::Settings;

    #[test]
    fn the_port_is_on_loopback_elsewhere_or_nowhere() {
        let listen =
            |text: &str| Settings::parse(text).map(|settings| settings.metrics.listen.map(|at| at.to_string()));
        assert_eq!(listen(""), Ok(Some("127.0.0.1:9817".into())));
        assert_eq!(listen("[metrics]\nlisten = \"none\""), Ok(None));
        assert_eq!(listen("[metrics]\nlisten = \"[::1]:1\""), Ok(Some("[::1]:1".into())));
        let wide = "[metrics]\nlisten = \"0.0.0.0:9817\"";
        assert!(
            listen(wide).is_err_and(|e| e.contains("metrics.listen = \"0.0.0.0:9817\" would send")),
            "{:?}",
            listen(wide)
        );
        assert!(listen(&format!("insecure_http = true\n{wide}")).is_ok());
        for text in ["off", "", "127.0.0.1", "localhost:9817"] {
            let error = listen(&format!("[metrics]\nlisten = {text:?}")).expect_err(text);
            assert!(error.contains("is no address with a port"), "{error}");
        }
    }
}
