//! The addresses of the peers that have names. The agent resolves them, not charon: see [`crate::ipsec::Remote`].
//!
//! The system's resolver cannot be cancelled, so a lookup goes on after nobody waits for it any more. There are never more
//! than [`AT_ONCE`], and one for each name.

use crate::{
    host,
    ipsec::{HostName, host_name},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, timeout},
};

/// How often a name is looked up.
const EVERY: Duration = Duration::from_secs(15);
/// How soon again, if its tunnel is not up or it had no address.
const SOON: Duration = Duration::from_secs(3);
/// How long a lookup is waited for. glibc asks a silent name server twice for 5 s.
const PATIENCE: Duration = Duration::from_secs(4);
/// How many names are looked up at once.
pub(in crate::agent) const AT_ONCE: usize = 8;

/// The addresses of a name, or why there are none.
type Answer = Result<Vec<IpAddr>, String>;

/// What is known of one name.
#[derive(Default)]
struct Known {
    /// `None`: it was not looked up yet.
    answer: Option<Answer>,
    looked: Option<Instant>,
    is_hastened: bool,
    /// The lookup that goes on.
    running: Option<watch::Receiver<()>>,
}

/// The names of peers, and their addresses as last looked up.
pub(crate) struct PeerNames {
    known: Mutex<BTreeMap<HostName, Known>>,
    slots: Arc<Semaphore>,
    hastened: Notify,
}

impl Default for PeerNames {
    fn default() -> Self {
        Self { known: Mutex::default(), slots: Arc::new(Semaphore::new(AT_ONCE)), hastened: Notify::new() }
    }
}

impl PeerNames {
    /// Looks the name up, or waits for the lookup that goes on; at most for a few seconds.
    pub async fn look_up(self: &Arc<Self>, name: &HostName) {
        let mut done = self.begin(name);
        if timeout(PATIENCE, done.changed()).await.is_err() {
            let mut known = self.lock();
            let of_name = known.entry(name.clone()).or_default();
            if of_name.running.is_some() {
                of_name.answer = Some(Err("the name servers have not answered in time".into()));
                of_name.looked = Some(Instant::now());
            }
        }
    }

    fn begin(self: &Arc<Self>, name: &HostName) -> watch::Receiver<()> {
        let mut known = self.lock();
        let of_name = known.entry(name.clone()).or_default();
        if let Some(running) = &of_name.running {
            return running.clone();
        }
        let (ends, done) = watch::channel(());
        of_name.running = Some(done.clone());
        of_name.is_hastened = false;
        drop(known);
        let (names, name) = (Arc::clone(self), name.clone());
        tokio::spawn(async move {
            let slot = names.slots.acquire().await;
            let answer = host::resolve(name.as_str()).await.map_err(|error| words(&error));
            drop(slot);
            names.record(name, answer);
            ends.send_replace(());
        });
        done
    }

    fn record(&self, name: HostName, answer: Answer) {
        let mut known = self.lock();
        let of_name = known.entry(name).or_default();
        *of_name = Known { answer: Some(answer), looked: Some(Instant::now()), ..Known::default() };
    }

    /// Whether there was an answer for `name`.
    pub fn is_known(&self, name: &HostName) -> bool {
        self.lock().get(name).is_some_and(|known| known.answer.is_some())
    }

    /// The address of `name` to use for a peer of `local`, which has the address `current` so far.
    ///
    /// # Errors
    /// Why there is none.
    pub fn address(&self, name: &HostName, local: IpAddr, current: Option<IpAddr>) -> Result<IpAddr, String> {
        match self.lock().get(name).and_then(|known| known.answer.as_ref()) {
            Some(Ok(all)) => host_name::choose(all, local, current).map_err(|why| format!("{name} {why}")),
            Some(Err(why)) => Err(format!("{name} does not resolve: {why}")),
            None => Err(format!("{name} was not looked up yet")),
        }
    }

    /// The names of `all` that are due, and forgets what is known of others.
    pub fn due(&self, all: &BTreeSet<HostName>) -> Vec<HostName> {
        let (mut known, now) = (self.lock(), Instant::now());
        known.retain(|name, of_name| all.contains(name) || of_name.running.is_some());
        let is_due = |name: &&HostName| {
            let Some(of_name) = known.get(*name) else { return true };
            let pause = if of_name.is_hastened || matches!(of_name.answer, Some(Err(_))) { SOON } else { EVERY };
            of_name.running.is_none() && of_name.looked.is_none_or(|at| now.duration_since(at) >= pause)
        };
        all.iter().filter(is_due).cloned().collect()
    }

    /// Looks the name up soon: its tunnel is not up.
    pub fn hasten(&self, name: &HostName) {
        self.lock().entry(name.clone()).or_default().is_hastened = true;
        self.hastened.notify_one();
    }

    /// Ends when a name is hastened.
    pub async fn hastened(&self) {
        self.hastened.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<HostName, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the resolver says, without what the standard library puts before it.
fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.rsplit_once("address information: ").map_or(text.clone(), |(_, why)| why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resolvers_words_stand_alone() {
        let error = std::io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(words(&error), "Name or service not known");
        assert_eq!(words(&std::io::Error::other("another")), "another");
    }

    #[test]
    fn names_are_due_by_turns_and_forgotten_with_their_connections() {
        let names = PeerNames::default();
        let all: BTreeSet<_> =
            ["a.example", "b.example"].map(|name| HostName::new(name).expect("a name")).into_iter().collect();
        let [a, b] = [0, 1].map(|n| all.iter().nth(n).expect("a name").clone());
        let (local, one) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        assert!(names.due(&all) == [a.clone(), b.clone()]);
        names.record(a.clone(), Ok(vec![one]));
        names.record(b.clone(), Err("No address associated with hostname".into()));
        assert_eq!(names.address(&a, local, None), Ok(one));
        assert!(
            names.address(&b, local, Some(one)).is_err_and(|why| why.contains("b.example does not resolve: No addr"))
        );
        assert!(names.due(&all).is_empty());
        // Not again at once, however often it is asked for.
        names.hasten(&a);
        assert!(names.due(&all).is_empty());
        names.lock().values_mut().for_each(|known| known.looked = known.looked.and_then(|at| at.checked_sub(SOON)));
        assert!(names.due(&all) == [a.clone(), b.clone()], "one is hastened, one has no address");
        assert!(names.due(&BTreeSet::from([b.clone()])) == [b]);
        assert!(names.address(&a, local, None).is_err_and(|why| why.contains("not looked up")));
    }
}
