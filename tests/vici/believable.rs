//! The parsers of charon's answers believe the fake charon: other tests rely on that.

use super::{AMPLE, Bench, bench, requests, soon};
use crate::connections;
use cygnet::{
    ipsec::{
        AhProposal, Connection, Encryption, IkeSa, IkeVersion, Integrity, Lifetime, Parts, Protocol, Status,
        status::status,
    },
    strongswan::{observe, vici::Notice},
};

/// Loads `parts` and initiates all children.
async fn bring_up(b: &Bench, parts: Parts) -> Connection {
    let connection = connections::connection(parts);
    for request in requests(&connection) {
        b.vici.load(&request).await.expect("loaded");
    }
    for child in &connection.children {
        b.vici.initiate(&format!("cygnet-{}", connection.id()), &child.name).await.expect("initiated");
    }
    connection
}

async fn running(b: &Bench, connection: &Connection) -> Vec<IkeSa> {
    let name = format!("cygnet-{}", connection.id());
    b.vici.list_sas(Some(&name)).await.expect("answered").iter().flat_map(observe::ike_sas).collect()
}

#[tokio::test]
async fn what_it_establishes_is_what_was_asked_for() {
    let b = bench(AMPLE);
    let silent = bring_up(&b, connections::parts(0)).await;
    assert_eq!(status(&silent, &running(&b, &silent).await), Status::Disconnected);
    b.charon.establish(true);
    let changes: [fn(&mut Parts); 4] = [
        |_| (),
        |p| p.ike.encryption = Encryption::Aes256Gcm,
        |p| p.protocol = Protocol::Ah(AhProposal { integrity: Integrity::Sha512, pfs: None }),
        |p| {
            p.version = IkeVersion::V1;
            p.remote_nets = connections::nets("10.2.0.0/24 10.3.0.0/24");
        },
    ];
    for (n, change) in (1..).zip(changes) {
        let mut parts = connections::parts(n);
        change(&mut parts);
        let connection = bring_up(&b, parts).await;
        assert_eq!(status(&connection, &running(&b, &connection).await), Status::Ready, "{n}");
    }
}

#[tokio::test]
async fn a_changed_connection_runs_beside_the_old_until_that_is_closed() {
    let b = bench(AMPLE);
    b.charon.establish(true);
    let mut events = b.vici.events(&["ike-updown", "child-updown"]).await.expect("subscribed");
    let old = bring_up(&b, connections::parts(1)).await;
    bring_up(&b, connections::parts(1)).await;
    assert_eq!(running(&b, &old).await.len(), 1, "what runs already is not made again");
    let mut parts = connections::parts(1);
    parts.ike_lifetime = Lifetime::ike(7200).expect("in range");
    let new = bring_up(&b, parts).await;
    let sas = running(&b, &new).await;
    assert_eq!(sas.len(), 2);
    b.vici.terminate("ike-id", sas[0].unique_id, false, b.vici.charon_epoch().await).await.expect("closed");
    assert_eq!(running(&b, &new).await, sas[1..]);
    let mut ups = Vec::new();
    for _ in 0..6 {
        let Some(Notice::Event(name, body)) = soon(events.next()).await else { panic!("an event") };
        ups.push((name, body.text("up").is_some()));
    }
    let (ike, child) = ("ike-updown".to_owned(), "child-updown".to_owned());
    let both = [(ike.clone(), true), (child.clone(), true)];
    assert_eq!(ups, [both.as_slice(), &both, &[(child, false), (ike, false)]].concat());
}
