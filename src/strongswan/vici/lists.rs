//! What charon lists in many messages: its connections and its IKE SAs.

use super::{Asker, Vici, failed, pool::Pool};
use crate::{
    error::Result,
    strongswan::{
        packet::{MAX_PACKET, Packet},
        section::Section,
    },
};
use std::sync::atomic::Ordering;
use tokio::time::Instant;

/// The longest answer with names that is asked for if its length is known from before: 32 KiB are for what came since.
const NAMES: usize = MAX_PACKET - (32 << 10);

impl Vici {
    /// The names of the loaded connections. charon never sends an answer over 512 KiB (facts 2.2): for more than
    /// [`MANY`](super::MANY) names, use `many_connections`.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn connections(&self) -> Result<Vec<String>> {
        Ok(self.query("get-conns").await?.items("conns").map(Into::into).collect())
    }

    /// The names of the loaded connections, however many there are. One answer has them if it was short enough the last
    /// time; else charon describes each, of which only the name is read.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn many_connections(&self) -> Result<Vec<String>> {
        if self.names.load(Ordering::Relaxed) <= NAMES {
            let names = self.connections().await;
            self.record_names(names.as_deref().ok());
            if names.is_ok() {
                return names;
            }
        }
        let mut all = Vec::new();
        let note = |name: &str| {
            all.push(name.to_owned());
            false
        };
        self.stream(&self.pools.lists, "list-conns", "list-conn", Section::new(), note, drop).await?;
        self.record_names(Some(&all));
        Ok(all)
    }

    fn record_names(&self, names: Option<&[String]>) {
        // An item of a list has three bytes beside its text.
        let length = names.map_or(usize::MAX, |names| names.iter().map(|name| name.len() + 3).sum());
        self.names.store(length, Ordering::Relaxed);
    }

    /// charon's descriptions of all loaded connections; each is given to `take` when it comes.
    ///
    /// # Errors
    /// When charon does not answer.
    pub(in crate::strongswan) async fn read_all_connections(&self, take: impl FnMut(Section)) -> Result<()> {
        self.stream(&self.pools.lists, "list-conns", "list-conn", Section::new(), |_| true, take).await.map(drop)
    }

    /// The loaded connections as charon describes them; of one name, or all.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn list_connections(&self, name: Option<&str>) -> Result<Vec<Section>> {
        self.list("list-conns", "list-conn", name).await
    }

    /// The IKE SAs; of one connection, or all.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn list_sas(&self, ike: Option<&str>) -> Result<Vec<Section>> {
        self.list("list-sas", "list-sa", ike).await
    }

    /// The IKE_SAs of the connection `ike`, each converted by `read`, and when the request was sent,
    /// which may be long after the call.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn read_sas<T>(&self, asker: Asker, ike: &str, read: fn(Section) -> Vec<T>) -> Result<(Instant, Vec<T>)> {
        let pool = match asker {
            Asker::Writer => &self.pools.looks,
            Asker::Reader => &self.pools.readers,
            Asker::Reconciler => &self.pools.walks,
        };
        let mut all = Vec::new();
        let begun =
            self.stream(pool, "list-sas", "list-sa", of(Some(ike)), |_| true, |item| all.extend(read(item))).await?;
        Ok((begun, all))
    }

    /// All IKE_SAs; `take` gets each as it arrives. Returns when the request was sent.
    ///
    /// # Errors
    /// When charon does not answer.
    pub(in crate::strongswan) async fn read_all_sas(&self, take: impl FnMut(Section)) -> Result<Instant> {
        self.read_some_sas(Asker::Reader, |_| true, take).await
    }

    /// The IKE_SAs of the names that are wanted; charon lists all, and the others are not decoded.
    ///
    /// # Errors
    /// When charon does not answer.
    pub(in crate::strongswan) async fn read_some_sas(
        &self,
        asker: Asker,
        is_wanted: impl Fn(&str) -> bool,
        take: impl FnMut(Section),
    ) -> Result<Instant> {
        let pool = if asker == Asker::Reconciler { &self.pools.walks } else { &self.pools.lists };
        self.stream(pool, "list-sas", "list-sa", Section::new(), is_wanted, take).await
    }

    pub(super) async fn list(
        &self,
        command: &'static str,
        event: &'static str,
        ike: Option<&str>,
    ) -> Result<Vec<Section>> {
        let mut all = Vec::new();
        self.stream(&self.pools.lists, command, event, of(ike), |_| true, |item| all.push(item)).await?;
        Ok(all)
    }

    /// A list; `take` gets each item as it arrives whose name is wanted.
    pub(super) async fn stream(
        &self,
        pool: &Pool,
        command: &'static str,
        event: &'static str,
        body: Section,
        is_wanted: impl FnMut(&str) -> bool,
        take: impl FnMut(Section),
    ) -> Result<Instant> {
        let ike = body.text("ike").unwrap_or_default().to_owned();
        let exchange = async {
            let mut lent = self.lent(pool, command).await?;
            let request = Packet::Request(command.into(), body);
            let answer = self.timed(command, lent.socket.stream(&request, event, is_wanted, take)).await;
            lent.returned(answer)
        };
        exchange.await.map(|(begun, _)| begun).map_err(|e| failed(command, &ike, e))
    }
}

/// The filter for one connection, or for all.
fn of(ike: Option<&str>) -> Section {
    ike.map_or_else(Section::new, |name| Section::new().with("ike", name))
}
