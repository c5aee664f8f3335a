//! Whether charon speaks IKEv1. It tells nobody, and takes connections with `version = 1` all the same; so it is tried
//! with a connection that can come up nowhere. Not a packet is sent.

use super::Vici;
use crate::{
    error::{Error, Result},
    strongswan::{
        packet::Packet,
        section::{Section, Value},
    },
};

/// The connection and its child. It has the form of our own names, so that what an agent that dies in between leaves
/// behind is removed as one of ours that is not stored.
const NAME: &str = "cygnet-00000000000000000000000000000000";

impl Vici {
    /// Whether charon speaks IKEv1. Only where it surely does not the answer is no.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn speaks_ikev1(&self) -> Result<bool> {
        self.command("load-conn", NAME, Section::new().with(NAME, hopeless())).await?;
        // With a time charon streams its log of the attempt; it gives up at once, so no thread is held.
        let attempt = Section::new().with("ike", NAME).with("child", NAME).with("timeout", "1000");
        let tried = self.logged(attempt).await;
        match self.unload_connection(NAME).await {
            // Somebody else has tried at the same time.
            Ok(()) | Err(Error::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        let (log, answer) = tried?;
        // Where there is IKEv1, an SA is made, which logs that it knows no peer. Where there is none, nothing is made.
        let failed = format!("establishing CHILD_SA '{NAME}' failed");
        Ok(log > 0 || answer.text("errmsg") != Some(&failed))
    }

    /// How many lines of its log charon streams of the attempt, and its answer.
    async fn logged(&self, attempt: Section) -> Result<(usize, Section)> {
        let mut lines = 0;
        let exchange = async {
            let mut lent = self.pools.attempts.lend().await?;
            let request = Packet::Request("initiate".into(), attempt);
            let answer = lent.socket.stream(&request, "control-log", |_| lines += 1).await;
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
