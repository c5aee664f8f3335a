//! A charon without an agent: told what to do by vici requests that are written here byte for byte, so that they do not
//! follow the agent's template, and asked by the agent's client.

use std::time::Duration;

use cygnet::error::Error;
use cygnet::ipsec::IkeSa;
use cygnet::strongswan::observe;
use cygnet::strongswan::requests::{Loadable, Request};
use cygnet::strongswan::section::{Section, Value};
use cygnet::strongswan::vici::Vici;
use tokio::runtime::Runtime;

use crate::support::lab::{Lab, Side};

/// A vici client that may be used from plain code.
pub struct Charon {
    vici: Vici,
    runtime: Runtime,
}

impl Charon {
    pub fn of(lab: &Lab, side: Side) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        Self { vici: Vici::new(&lab.vici_socket(side), Duration::from_secs(5)), runtime }
    }

    /// The ids of the secrets.
    #[track_caller]
    pub fn secrets(&self) -> Vec<String> {
        self.runtime.block_on(self.vici.shared()).expect("get-shared")
    }

    /// The ids of the private keys.
    #[track_caller]
    pub fn keys(&self) -> Vec<String> {
        self.runtime.block_on(self.vici.keys()).expect("get-keys")
    }

    /// Loads a secret of exactly these bytes.
    #[track_caller]
    pub fn load_secret(&self, id: &str, key: &[u8], owners: &[&str]) {
        let owners = owners.iter().map(|owner| owner.as_bytes().to_vec()).collect();
        let body = Section::new().with("id", id).with("type", "IKE");
        let body = body.with("data", Value::Text(key.to_vec())).with("owners", Value::List(owners));
        self.load(&Request { command: "load-shared", body });
    }

    /// Loads a connection that takes what the tests' connections offer: both IKE versions, one child `k`.
    #[track_caller]
    pub fn load_connection(&self, name: &str, side: Side) {
        let list = |item: &str| Value::List(vec![item.into()]);
        let end = |id: &str| Section::new().with("auth", "psk").with("id", id);
        let child = Section::new()
            .with("mode", "tunnel")
            .with("esp_proposals", list("aes256-sha256"))
            .with("local_ts", list(side.lan()))
            .with("remote_ts", list(side.other().lan()));
        let body = Section::new()
            .with("version", "0")
            .with("local_addrs", list(side.wan()))
            .with("remote_addrs", list(side.other().wan()))
            .with("proposals", list("aes256-sha256-x25519"))
            .with("unique", "no")
            .with("local", end(side.wan()))
            .with("remote", end(side.other().wan()))
            .with("children", Section::new().with("k", child));
        self.load_section(name, body);
    }

    /// Loads a connection that is this section.
    #[track_caller]
    pub fn load_section(&self, name: &str, body: Section) {
        self.load(&Request { command: "load-conn", body: Section::new().with(name, body) });
    }

    /// Forgets a secret.
    #[track_caller]
    pub fn forget(&self, id: &str) {
        self.runtime.block_on(self.vici.unload_shared(id)).expect("unload-shared");
    }

    /// Forgets a connection; SAs stay.
    #[track_caller]
    pub fn forget_connection(&self, name: &str) {
        self.runtime.block_on(self.vici.unload_connection(name)).expect("unload-conn");
    }

    /// Forgets the connection and the secret that the agent has under this name; SAs stay.
    #[track_caller]
    pub fn unload(&self, name: &str) {
        self.runtime.block_on(self.vici.unload_connection(name)).expect("unload-conn");
        self.runtime.block_on(self.vici.unload_shared(&format!("ike-{name}"))).expect("unload-shared");
    }

    /// Loads what the agent would load.
    #[track_caller]
    pub fn load_all(&self, loadable: &Loadable) {
        for request in &loadable.requests {
            self.load(request);
        }
    }

    /// Starts negotiating.
    #[track_caller]
    pub fn initiate(&self, ike: &str, child: &str) {
        self.runtime.block_on(self.vici.initiate(ike, child)).expect("initiate");
    }

    /// As [`Charon::initiate`]; a peer may refuse it at once.
    #[track_caller]
    pub fn call(&self, ike: &str, child: &str) {
        match self.runtime.block_on(self.vici.initiate(ike, child)) {
            Ok(_) | Err(Error::Refused { .. }) => {}
            Err(error) => panic!("initiate: {error}"),
        }
    }

    /// Starts closing an SA; the peer may have closed it meanwhile.
    #[track_caller]
    pub fn close(&self, ike: &IkeSa) {
        let close = async { self.vici.terminate("ike-id", ike.unique_id, false, self.vici.charon_epoch().await).await };
        match self.runtime.block_on(close) {
            Ok(()) | Err(Error::Refused { .. }) => {}
            Err(error) => panic!("terminate: {error}"),
        }
    }

    /// What runs, over all names.
    #[track_caller]
    pub fn running(&self) -> Vec<IkeSa> {
        self.runtime.block_on(self.vici.list_sas(None)).expect("list-sas").iter().flat_map(observe::ike_sas).collect()
    }

    /// Gives charon a request.
    #[track_caller]
    pub fn load(&self, request: &Request) {
        self.runtime.block_on(self.vici.load(request)).expect(request.command);
    }
}
