//! Whether charon speaks IKEv1. No command reports it, and charon loads connections with `version = 1` in any case. So
//! the agent tries a connection that cannot come up. charon sends no packet for it.

use super::Vici;
use crate::{
    error::{Error, Result},
    strongswan::{
        packet::Packet,
        section::{Section, Value},
    },
};

/// The connection and its child. Its name has the form of ours: if the agent dies meanwhile, the next start removes it
/// as one of ours that is not stored.
const NAME: &str = "cygnet-00000000000000000000000000000000";

impl Vici {
    /// Whether charon speaks IKEv1. `false` only if it is certain.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn speaks_ikev1(&self) -> Result<bool> {
        self.command("load-conn", NAME, Section::new().with(NAME, hopeless())).await?;
        // With a time charon streams its log of the attempt; it gives up at once, so no thread is held.
        let attempt = Section::new().with("ike", NAME).with("child", NAME).with("timeout", "1000");
        let tried = self.logged(attempt).await;
        match self.unload_connection(NAME).await {
            // Another process tried at the same time.
            Ok(()) | Err(Error::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        let (log, answer) = tried?;
        // With IKEv1, charon creates an SA, which logs that it has no peer. Without IKEv1 it creates nothing.
        let failed = format!("establishing CHILD_SA '{NAME}' failed");
        Ok(log > 0 || answer.text("errmsg") != Some(&failed))
    }

    /// The number of log lines that charon streams for the attempt, and its answer.
    async fn logged(&self, attempt: Section) -> Result<(usize, Section)> {
        let mut lines = 0;
        let exchange = async {
            let mut lent = self.pools.attempts.lend().await?;
            let request = Packet::Request("initiate".into(), attempt);
            let answer = lent.socket.stream(&request, "control-log", |_| true, |_| lines += 1).await;
            lent.returned(answer)
        };
        let (_, answer) = exchange.await.map_err(|e| super::failed("initiate", NAME, e))?;
        Ok((lines, answer))
    }
}

/// A connection for IKEv1 between this machine and no peer.
fn hopeless() -> Section {
    let list = |item: &str| Value::List(vec![item.into()]);
    let psk = || Section::new().with("auth", "psk");
    Section::new()
        .with("version", "1")
        .with("local_addrs", list("127.0.0.1"))
        .with("remote_addrs", list("%any"))
        .with("local", psk())
        .with("remote", psk())
        .with("children", Section::new().with(NAME, Section::new().with("start_action", "none")))
}
