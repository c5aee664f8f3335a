//! The floor: the same requests by a client that does nothing else. No HTTP, no checks, no rendering, no looking.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cygnet::strongswan::{
    Charon, StrongSwan, conf,
    conf::Traps,
    names,
    requests::{self, Loadable, Request},
    section::Section,
    vici::Vici,
};
use cygnet::{disk, store::format};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::runtime::{Builder, Runtime};

use crate::seed;

/// How long charon may take for one answer.
const DEADLINE: Duration = Duration::from_mins(1);
/// Requests under way on the one socket of the loader, and negotiations under way.
const WINDOW: usize = 64;
/// The pause between two looks at how many are up.
const LOOK: Duration = Duration::from_millis(2);

/// A bare client of one charon.
pub struct Bare {
    runtime: Runtime,
    vici: Arc<Vici>,
    traps: Traps,
    version: String,
}

/// A connection as this benchmark alone loads it: its requests, its file and the bytes that a record has.
pub struct Foreign {
    requests: Vec<Request>,
    /// The text of the file in conf.d.
    pub text: String,
    record: Vec<u8>,
}

impl Bare {
    /// A client of the charon at `socket`, which runs.
    pub fn new(socket: &Path) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let probe = StrongSwan::from(Vici::new(socket, DEADLINE));
        let Charon { version, traps, .. } = runtime.block_on(probe.probe()).expect("charon says what it is");
        Self { runtime, vici: Arc::new(Vici::new(socket, DEADLINE)), traps, version }
    }

    /// strongSwan's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The text and the requests of the connection number `n`.
    pub fn loadable(&self, n: u32) -> Loadable {
        Loadable::new(&seed::record(n).connection, self.traps).expect("it can be rendered")
    }

    /// The foreign connection with this lifetime. Its names are as long as the agent's, so that the bytes are too.
    pub fn foreign(&self, lifetime: i64) -> Foreign {
        let record = seed::foreign(lifetime);
        let rendered = Loadable::new(&record.connection, self.traps).expect("it can be rendered");
        let text = rendered.conf.expose().replace("cygnet-", "rivals-");
        let requests = requests::load(&conf::parse(&text).expect("our own text"), &[]).expect("a connection");
        assert_eq!(requests.len(), 2, "a secret and a connection");
        Foreign { requests, text, record: format::to_bytes(&record).expect("a record").to_vec() }
    }

    /// The agent's connection number `n` with this lifetime, behind its back: it looks at names, not at lifetimes.
    pub fn own(&self, n: u32, lifetime: i64) -> Foreign {
        let record = seed::changed(n, lifetime);
        let loadable = Loadable::new(&record.connection, self.traps).expect("it can be rendered");
        let record = format::to_bytes(&record).expect("a record").to_vec();
        Foreign { requests: loadable.requests, text: String::new(), record }
    }

    /// Loads the connection and makes a file of a record's bytes durable: no change can do less.
    pub fn change(&self, foreign: &Foreign, file: &Path) {
        self.runtime.block_on(async {
            for request in &foreign.requests {
                self.vici.load(request).await.expect("charon takes it");
            }
        });
        disk::replace(file, &foreign.record, 0o600).expect("the disk takes it");
    }

    /// Loads all of `loadables`, with many requests under way.
    pub fn load_all(&self, loadables: &[Loadable]) {
        let calls = loadables.iter().flat_map(|loadable| &loadable.requests).map(|request| self.vici.load(request));
        let answers = stream::iter(calls).buffered(WINDOW);
        self.runtime.block_on(answers.try_collect::<Vec<_>>()).expect("charon takes all");
    }

    /// Has charon negotiate all of `loadables`, as many at a time as requests are under way above, until all are up.
    pub fn bring_up(&self, loadables: &[Loadable]) {
        let names: Vec<_> =
            loadables.iter().map(|loadable| (names::connection(loadable.id), child(loadable))).collect();
        self.runtime.block_on(async {
            let mut begun = 0;
            loop {
                let up = self.up().await;
                if up >= names.len() {
                    return;
                }
                let next = names[begun..].iter().take((up + WINDOW).saturating_sub(begun));
                let calls: Vec<_> = next.map(|(ike, child)| self.vici.initiate(ike, child)).collect();
                begun += futures_util::future::try_join_all(calls).await.expect("charon begins").len();
                tokio::time::sleep(LOOK).await;
            }
        });
    }

    /// How many IKE SAs are established.
    async fn up(&self) -> usize {
        let stats = self.vici.stats().await.expect("charon counts");
        let of = |kind| stats.section("ikesas").and_then(|sas| sas.number::<usize>(kind)).expect("a number of SAs");
        of("total") - of("half-open")
    }

    /// Waits until so many IKE SAs are established, and looks as often as [`Bare::bring_up`] does.
    pub fn wait_until_up(&self, wanted: usize) {
        self.runtime.block_on(async {
            while self.up().await < wanted {
                tokio::time::sleep(LOOK).await;
            }
        });
    }

    /// How many children are installed.
    pub fn installed(&self) -> usize {
        let sas = self.runtime.block_on(self.vici.list_sas(None)).expect("charon lists");
        let ikes = sas.iter().flat_map(Section::sections).filter_map(|(_, ike)| ike.section("child-sas"));
        ikes.flat_map(Section::sections).filter(|(_, child)| child.text("state") == Some("INSTALLED")).count()
    }

    /// How many SAs charon lists, of one connection or all.
    pub fn list_sas(&self, name: Option<&str>) -> usize {
        self.runtime.block_on(self.vici.list_sas(name)).expect("charon lists").len()
    }

    /// How many negotiations charon is at work on.
    pub fn half_open(&self) -> usize {
        let stats = self.runtime.block_on(self.vici.stats()).expect("charon counts");
        stats.section("ikesas").and_then(|sas| sas.number("half-open")).expect("a number of half-open SAs")
    }

    /// How many connections charon has.
    pub fn connections(&self) -> usize {
        self.runtime.block_on(self.vici.connections()).expect("charon lists").len()
    }
}

/// The name of the one child of a connection.
fn child(loadable: &Loadable) -> String {
    let connection = loadable.section(&names::connection(loadable.id)).expect("its connection");
    let children = connection.section("children").expect("its children");
    children.sections().next().expect("a child").0.to_owned()
}
