//! What is in charon beside the connections of cygnet.

use crate::{
    agent::{Agent, CharonLink},
    ipsec::IkeSa,
    strongswan::foreign::Foreign,
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::timeout;

/// How long a reader waits for both lists of charon.
const PATIENCE: Duration = Duration::from_secs(10);

/// What charon has under a name that is not ours.
#[derive(Debug, Default)]
pub struct Stranger {
    /// The connection; `None` if it is not loaded any more.
    pub connection: Option<Foreign>,
    /// Its SAs.
    pub running: Vec<IkeSa>,
}

impl Agent {
    /// The connections and SAs that are not cygnet's, by name; `None` if charon does not answer.
    pub async fn strangers(&self) -> Option<BTreeMap<String, Stranger>> {
        if matches!(self.link(), CharonLink::Down { .. }) {
            return None;
        }
        let (connections, sas) = match timeout(PATIENCE, self.strongswan.strangers()).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::warn!(%error, "foreign connections are unknown: {error}");
                return None;
            }
            Err(_) => {
                tracing::warn!("foreign connections are unknown: charon did not answer in time");
                return None;
            }
        };
        let mut all: BTreeMap<String, Stranger> = BTreeMap::new();
        for connection in connections {
            let stranger = all.entry(connection.name.clone()).or_default();
            stranger.connection = Some(connection);
        }
        for sa in sas {
            all.entry(sa.name.clone()).or_default().running.push(sa);
        }
        Some(all)
    }
}
