//! Lists of SAs from either backend, filtered by cygnet's names.

use super::{
    Asker, Backend, StrongSwan,
    foreign::{self, Foreign},
    looks, names, observe, port_names,
    present::Present,
    section::Section,
    sightings::{Progress, Sas, Whole, same},
};
use crate::{
    error::Result,
    ipsec::{ConnectionId, IkeSa},
};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};
use tokio::time::Instant;

/// The most closing connections that are listed again one by one; beyond that, all are listed again.
const FEW: usize = 32;

impl StrongSwan {
    /// The connections and the SAs that are not of cygnet.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn strangers(&self) -> Result<(Vec<Foreign>, Vec<IkeSa>)> {
        let (mut connections, mut sas) = (Vec::new(), Vec::new());
        let is_foreign = |name: &str| names::owner(name).is_none();
        let described = |item: &Section| {
            connections.extend(foreign::read(item).into_iter().filter(|connection| is_foreign(&connection.name)));
        };
        let running = |item: &Section| sas.extend(observe::ike_sas(item).into_iter().filter(|sa| is_foreign(&sa.name)));
        match &*self.way {
            Backend::Vici(vici) => {
                let (mut described, mut running) = (described, running);
                vici.read_all_connections(|item| described(&item)).await?;
                vici.read_all_sas(|item| running(&item)).await?;
            }
            Backend::Swanctl(swanctl) => {
                swanctl.list_connections().await?.iter().for_each(described);
                swanctl.query(&["--list-sas"]).await?.iter().for_each(running);
            }
        }
        Ok((connections, sas))
    }
}

impl StrongSwan {
    /// The SAs of one connection, from a list that began after the call and is shared.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn look(&self, id: ConnectionId) -> Result<Vec<IkeSa>> {
        loop {
            let (answer, mut answered) = tokio::sync::oneshot::channel();
            self.looks.waiting().entry(id).or_default().push(answer);
            tokio::select! {
                biased;
                // Without an answer, the one who listed has left.
                answer = &mut answered => if let Ok(found) = answer { return found },
                mut turn = self.looks.turn.lock() => {
                    if let Ok(found) = answered.try_recv() {
                        return found;
                    }
                    // charon has other work as well, and walks all its SAs for a list: a tenth of the time at most goes to it.
                    if let Some(next) = *turn {
                        tokio::time::sleep_until(next).await;
                    }
                    let begun = Instant::now();
                    let waiting = self.looks.begin();
                    self.list_for(waiting).await;
                    *turn = Some(Instant::now() + looks::rest(begun.elapsed()));
                    drop(turn);
                    if let Ok(found) = answered.try_recv() {
                        return found;
                    }
                }
            }
        }
    }

    async fn list_for(&self, mut waiting: HashMap<ConnectionId, Vec<looks::Answer>>) {
        if waiting.len() <= looks::FEW {
            for (id, answers) in waiting {
                looks::tell(answers, &self.observe(id, Asker::Reconciler).await);
            }
            return;
        }
        let listed = self.way.list(Asker::Reconciler, |id| waiting.contains_key(&id), || ()).await;
        let (begun, mut all) = match listed {
            Ok(listed) => listed,
            Err(error) => return waiting.into_values().for_each(|answers| looks::tell(answers, &Err(same(&error)))),
        };
        for (id, answers) in waiting.drain() {
            let sas = all.remove(&id).map(|sas| sas.to_vec()).unwrap_or_default();
            self.sightings.record(id, begun, &sas);
            looks::tell(answers, &Ok(sas));
        }
    }
}

impl Backend {
    /// The SAs of one connection of ours, and if it `falls_back` those of its second one.
    pub(super) async fn sas_of(
        &self,
        id: ConnectionId,
        asker: Asker,
        falls_back: bool,
    ) -> Result<(Instant, Vec<IkeSa>)> {
        let (begun, mut sas) = self.sas_named(&names::connection(id), asker).await?;
        if falls_back {
            sas.extend(self.sas_named(&names::fallback(id), asker).await?.1);
        }
        sas.retain(|sa| names::owner(&sa.name) == Some(id));
        Ok((begun, sas))
    }

    async fn sas_named(&self, name: &str, asker: Asker) -> Result<(Instant, Vec<IkeSa>)> {
        Ok(match self {
            Self::Vici(vici) => vici.read_sas(asker, name, |item| port_names::ike_sas(&item)).await?,
            Self::Swanctl(swanctl) => {
                let begun = Instant::now();
                let found = swanctl.query(&["--list-sas", "--ike", name]).await?;
                (begun, found.iter().flat_map(port_names::ike_sas).collect())
            }
        })
    }

    /// All SAs of cygnet; connections with only closing SAs are listed twice, see [`observe::all_closing`].
    pub(super) async fn whole(&self, progress: Progress, present: &Present) -> Result<Whole> {
        let grow = || {
            progress.fetch_add(1, Ordering::Relaxed);
        };
        let (mut begun, mut sas) = self.list(Asker::Reader, |_| true, grow).await?;
        let closing: Vec<_> = sas.iter().filter(|(_, sas)| observe::all_closing(sas)).map(|(id, _)| *id).collect();
        if closing.len() > FEW {
            (begun, sas) = self.list(Asker::Reader, |_| true, grow).await?;
        } else {
            for id in closing {
                sas.insert(id, Arc::new(self.sas_of(id, Asker::Reader, present.fallbacks.has(id)).await?.1));
                grow();
            }
        }
        sas.retain(|_, sas| !sas.is_empty());
        present.record_running(sas.values().flat_map(|sas| sas.iter()).map(|sa| sa.name.as_str()));
        Ok(Whole { begun, sas })
    }

    /// The SAs of the connections of ours that are wanted; `grow` is called for each SA that comes.
    pub(super) async fn list(
        &self,
        asker: Asker,
        is_wanted: impl Fn(ConnectionId) -> bool,
        grow: impl Fn(),
    ) -> Result<(Instant, Sas)> {
        let mut all: HashMap<_, Vec<_>> = HashMap::new();
        let mut take = |item: &Section| {
            grow();
            for sa in port_names::ike_sas(item) {
                if let Some(id) = names::owner(&sa.name) {
                    all.entry(id).or_default().push(sa);
                }
            }
        };
        let begun = match self {
            Self::Vici(vici) => {
                let is_wanted = |name: &str| names::owner(name).is_some_and(&is_wanted);
                vici.read_some_sas(asker, is_wanted, |item| take(&item)).await?
            }
            Self::Swanctl(swanctl) => {
                let begun = Instant::now();
                swanctl.query(&["--list-sas"]).await?.iter().for_each(take);
                begun
            }
        };
        Ok((begun, all.into_iter().map(|(id, sas)| (id, Arc::new(sas))).collect()))
    }
}
