//! Lists of SAs, by either way to charon; of all that is listed, those that bear our names are kept.

use super::{
    Asker, Backend, names, observe,
    section::Section,
    sightings::{Progress, Sas, Whole},
};
use crate::{
    error::{Error, Result},
    ipsec::{ConnectionId, IkeSa},
};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};
use tokio::time::Instant;

/// Of how many connections that are all on their way out each is looked at once more by itself; of more, all are.
const FEW: usize = 32;

impl Backend {
    /// The SAs of one connection of ours.
    pub(super) async fn sas_of(&self, id: ConnectionId, asker: Asker) -> Result<(Instant, Vec<IkeSa>)> {
        let name = names::connection(id);
        let (begun, mut sas) = match self {
            Self::Vici(vici) => vici.read_sas(asker, &name, |item| observe::ike_sas(&item)).await?,
            Self::Swanctl(swanctl) => {
                let begun = Instant::now();
                let found = swanctl.query(&["--list-sas", "--ike", &name]).await?;
                (begun, found.iter().flat_map(observe::ike_sas).collect())
            }
        };
        sas.retain(|sa| names::owner(&sa.name) == Some(id));
        Ok((begun, sas))
    }

    /// All SAs of ours, with a second look at those that are all closing; see [`observe::all_closing`].
    pub(super) async fn whole(&self, progress: Progress) -> Result<Whole> {
        let (mut begun, mut sas) = self.list(&progress).await?;
        let closing: Vec<_> = sas.iter().filter(|(_, sas)| observe::all_closing(sas)).map(|(id, _)| *id).collect();
        if closing.len() > FEW {
            (begun, sas) = self.list(&progress).await?;
        } else {
            for id in closing {
                sas.insert(id, Arc::new(self.sas_of(id, Asker::Reader).await?.1));
                progress.fetch_add(1, Ordering::Relaxed);
            }
        }
        sas.retain(|_, sas| !sas.is_empty());
        Ok(Whole { begun, sas })
    }

    async fn list(&self, progress: &Progress) -> Result<(Instant, Sas)> {
        let mut all: HashMap<_, Vec<_>> = HashMap::new();
        let mut take = |item: &Section| {
            progress.fetch_add(1, Ordering::Relaxed);
            for sa in observe::ike_sas(item) {
                if let Some(id) = names::owner(&sa.name) {
                    all.entry(id).or_default().push(sa);
                }
            }
        };
        let begun = match self {
            Self::Vici(vici) => vici.read_all_sas(|item| take(&item)).await?,
            Self::Swanctl(swanctl) => {
                let begun = Instant::now();
                swanctl.query(&["--list-sas"]).await?.iter().for_each(take);
                begun
            }
        };
        Ok((begun, all.into_iter().map(|(id, sas)| (id, Arc::new(sas))).collect()))
    }
}

/// The error once more, for another who waited for the same.
pub(super) fn same(error: &Error) -> Error {
    match error {
        Error::Unreachable { doing, cause } => Error::Unreachable { doing: doing.clone(), cause: cause.clone() },
        Error::Refused { doing, words } => Error::Refused { doing: doing.clone(), words: words.clone() },
        other => Error::Internal(other.to_string()),
    }
}
