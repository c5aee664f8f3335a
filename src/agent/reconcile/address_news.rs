//! Follows the local addresses of connections: the gateway that has one works for it, and the other one stands by. Nobody
//! elects it. Who lacks the address receives no packets.
//!
//! A thread waits for the kernel's news. It compares addresses, not news: an address that went and came back meanwhile has
//! not changed, and however often one changes, a connection is reconciled with what is true then.

use crate::{
    agent::{Agent, EventKind, LocalAddresses, Presence, observe::seen_addresses::SeenAddresses},
    host::AddressNews,
    settings::Settings,
};
use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, Weak},
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// How long the thread waits for news before it looks without, and whether the agent is there.
const BEAT: Duration = Duration::from_secs(1);

impl Agent {
    /// Follows this host's addresses until the end of the agent.
    pub(in crate::agent) fn follow_addresses(self: &Arc<Self>) {
        let seen = match self.observer.seen_addresses().load() {
            Ok(saved) => saved.seen,
            Err(error) => {
                tracing::warn!(%error, "the addresses that this host had are unknown: {error}");
                BTreeSet::new()
            }
        };
        // Subscribed before they are read: no change is lost in between.
        let news = subscribe();
        let host = self.observer.reread_addresses(seen);
        let mut known = host.addresses().cloned().unwrap_or_default();
        let stands_by = |vip: &IpAddr| self.observer.presence(*vip) == Presence::Standby;
        *self.observer.standing_by() = self.vips().into_iter().filter(stands_by).collect();
        self.save_addresses();
        let agent = Arc::downgrade(self);
        let follow = move || follow(&agent, news, &mut known);
        if let Err(error) = thread::Builder::new().name("addresses".into()).spawn(follow) {
            tracing::error!(%error, "no thread follows this host's addresses: {error}");
        }
    }

    /// The local addresses of the settings and of the stored connections.
    #[must_use]
    pub fn vips(&self) -> BTreeSet<IpAddr> {
        let stored = self.store.all();
        let stored = stored.iter().map(|record| record.connection.local_addr);
        self.gateway().vips.iter().map(|vip| vip.address).chain(stored).collect()
    }

    /// What this gateway is for a local address, and since when, if that is known.
    #[must_use]
    pub fn presence(&self, vip: IpAddr) -> (Presence, Option<jiff::Timestamp>) {
        let presence = self.observer.presence(vip);
        (presence, self.observer.local_addresses().left_at(vip).filter(|_| presence != Presence::Here))
    }

    /// The role of the gateway for all its local addresses together: active, standby, or mixed; `None` if it has none.
    #[must_use]
    pub fn ha_role(&self) -> Option<&'static str> {
        let of: BTreeSet<_> = self.vips().into_iter().map(|vip| self.observer.presence(vip).role()).collect();
        match (of.contains("active"), of.contains("standby")) {
            (true, true) => Some("mixed"),
            (true, false) => Some("active"),
            (false, true) => Some("standby"),
            (false, false) => None,
        }
    }

    /// Saves which of these addresses the host has or had.
    fn save_addresses(&self) {
        let host = self.observer.local_addresses();
        let seen = self.vips().into_iter().filter(|vip| host.has_or_had(*vip)).collect();
        if let Err(error) = self.observer.seen_addresses().save(seen) {
            tracing::warn!(%error, "cannot store which addresses this host has: {error}; it is tried again");
        }
    }

    /// Reconciles the connections whose local address has come or gone since `known`, and tells of it.
    fn on_addresses(&self, known: &mut BTreeSet<IpAddr>) {
        let host = self.observer.reread_addresses([]);
        let Some(addresses) = host.addresses() else { return };
        let (now, changed) = (Instant::now(), &*known ^ addresses);
        if changed.is_empty() {
            return;
        }
        known.clone_from(addresses);
        for record in self.store.all().iter().filter(|record| changed.contains(&record.connection.local_addr)) {
            self.reconciler.enqueue(record.id, now);
        }
        for vip in self.vips().intersection(&changed) {
            self.tell_role(*vip);
        }
    }

    /// Publishes an event if the gateway has another role for `vip` than was told.
    pub(in crate::agent) fn tell_role(&self, vip: IpAddr) {
        let presence = self.observer.presence(vip);
        let mut standing_by = self.observer.standing_by();
        match presence {
            Presence::Here if standing_by.remove(&vip) => {
                tracing::info!(%vip, "took over {vip}: this gateway has the address, and negotiates for it");
                self.observer.events().publish(None, EventKind::TookOver(vip));
            }
            Presence::Standby if standing_by.insert(vip) => {
                tracing::info!(%vip, "gave up {vip}: this gateway stands by for it");
                self.observer.events().publish(None, EventKind::GaveUp(vip));
            }
            Presence::Here | Presence::Standby | Presence::Left | Presence::Missing => {}
        }
    }
}

/// Those of `vips` for which this gateway stands by, as an agent with these settings would say that does not run. What it
/// has saved may be unreadable to this user; the rest counts then.
#[must_use]
pub fn standby_addresses(settings: &Settings, vips: impl Iterator<Item = IpAddr>) -> BTreeSet<IpAddr> {
    let seen = SeenAddresses::survey(&settings.state_dir).unwrap_or_default().seen;
    let host = LocalAddresses::read_host().having_had(seen);
    vips.filter(|vip| host.presence(*vip, settings.ha.role) == Presence::Standby).collect()
}

fn subscribe() -> Option<AddressNews> {
    let news = AddressNews::subscribe(BEAT);
    let failed = |error: &std::io::Error| tracing::error!(%error, "the kernel tells no news of addresses: {error}");
    news.inspect_err(failed).ok()
}

fn follow(agent: &Weak<Agent>, mut news: Option<AddressNews>, known: &mut BTreeSet<IpAddr>) {
    loop {
        // Without news, the addresses are compared at each beat.
        if news.as_ref().is_none_or(|news| news.wait().is_err()) {
            news = None;
            thread::sleep(BEAT);
        }
        let Some(agent) = agent.upgrade() else { return };
        agent.on_addresses(known);
        agent.save_addresses();
        news = news.or_else(|| AddressNews::subscribe(BEAT).ok());
    }
}
