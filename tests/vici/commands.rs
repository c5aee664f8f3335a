//! Each command: the bytes of its request, and the result of its answer.

use super::{AMPLE, bench, requests, sa, soon};
use crate::{connections, fake_charon::Behaviour};
use cygnet::{
    error::Error,
    ipsec::algorithm::{DH_GROUP, ENCRYPTION, INTEGRITY},
    strongswan::{packet::Packet, section::Section},
};

/// The bytes that a key or section name, and a value, have in a message (strongSwan `vici/README.md`).
fn key_value(key: &str, value: &str) -> Vec<u8> {
    let [key_length, value_length] = [key, value].map(|s| u8::try_from(s.len()).expect("short"));
    [&[3, key_length], key.as_bytes(), &[0, value_length], value.as_bytes()].concat()
}

/// The bytes of a request, written here without the codec under test.
fn packet(command: &str, values: &[(&str, &str)]) -> Vec<u8> {
    let length = u8::try_from(command.len()).expect("short");
    let body = values.iter().flat_map(|(key, value)| key_value(key, value));
    [0, length].into_iter().chain(command.bytes()).chain(body).collect()
}

#[tokio::test]
async fn queries_send_nothing_but_their_name_and_read_the_answer() {
    let b = bench(AMPLE);
    let version = b.vici.version().await.expect("answered");
    assert_eq!((version.daemon.as_str(), version.version.as_str()), ("charon-systemd", "5.9.8"));
    let stats = b.vici.stats().await.expect("answered");
    assert!(stats.items("plugins").any(|plugin| plugin == "vici"));
    let algorithms = b.vici.algorithms().await.expect("answered");
    let has = |kind: &str, name: &str| algorithms.section(kind).is_some_and(|s| s.text(name).is_some());
    assert!(ENCRYPTION.iter().all(|row| has(if row.aead { "aead" } else { "encryption" }, row.charon)));
    assert!(INTEGRITY.iter().all(|row| has("integrity", row.charon) && has("prf", row.prf_charon)));
    assert!(DH_GROUP.iter().all(|row| has("dh", row.charon)));
    assert_eq!(b.vici.connections().await.expect("answered"), Vec::<String>::new());
    assert_eq!(b.vici.shared().await.expect("answered"), Vec::<String>::new());
    let sent = b.charon.requests();
    let names = ["version", "stats", "get-algorithms", "get-conns", "get-shared"];
    assert_eq!(sent.len(), names.len());
    for (request, name) in sent.iter().zip(names) {
        assert_eq!(request.bytes, packet(name, &[]), "{name}");
    }
}

#[tokio::test]
async fn loading_and_unloading_a_connection_changes_what_charon_holds() {
    let b = bench(AMPLE);
    let connection = connections::connection(connections::parts(1));
    for request in requests(&connection) {
        b.vici.load(&request).await.expect("loaded");
        let sent = b.charon.requests().pop().expect("recorded");
        let wanted = Packet::Request(request.command.into(), request.body.clone()).encode().expect("bytes");
        assert_eq!(sent.bytes, wanted, "{}", request.command);
    }
    assert_eq!(b.charon.commands(), ["load-shared", "load-conn"]);
    let (name, secret) = ("cygnet-00000000000000000000000000000001", "ike-cygnet-00000000000000000000000000000001");
    assert_eq!(b.vici.connections().await.expect("answered"), [name]);
    assert_eq!(b.vici.shared().await.expect("answered"), [secret]);
    assert_eq!(b.charon.secret(secret).expect("loaded").bytes("data"), Some(connections::KEY.as_bytes()));

    b.vici.unload_connection(name).await.expect("unloaded");
    assert_eq!(b.charon.requests().pop().expect("recorded").bytes, packet("unload-conn", &[("name", name)]));
    b.vici.unload_shared(secret).await.expect("unloaded");
    assert_eq!(b.charon.requests().pop().expect("recorded").bytes, packet("unload-shared", &[("id", secret)]));
    assert!(b.charon.connections().is_empty() && b.charon.secrets().is_empty());
}

#[tokio::test]
async fn initiate_names_its_connection_and_does_not_wait() {
    let b = bench(AMPLE);
    let connection = connections::connection(connections::parts(1));
    for request in requests(&connection) {
        b.vici.load(&request).await.expect("loaded");
    }
    let (name, child) = ("cygnet-00000000000000000000000000000001", connection.children[0].name.as_str());
    b.vici.initiate(name, child).await.expect("initiated");
    let wanted = packet("initiate", &[("child", child), ("ike", name), ("timeout", "-1")]);
    assert_eq!(b.charon.requests_of("initiate")[0].bytes, wanted);
}

#[tokio::test]
async fn terminate_goes_by_number_and_does_not_wait() {
    let b = bench(AMPLE);
    b.charon.set_sas([sa("cygnet-a", 7)]);
    b.vici.version().await.expect("connected");
    b.vici.terminate("ike-id", 7, false, b.vici.charon_epoch().await).await.expect("terminated");
    let wanted = packet("terminate", &[("ike-id", "7"), ("timeout", "-1")]);
    assert_eq!(b.charon.requests_of("terminate")[0].bytes, wanted);
    assert!(b.vici.list_sas(None).await.expect("answered").is_empty(), "the SA is gone");
    let Err(Error::Refused { doing, words, is_absent: true }) =
        b.vici.terminate("child-id", 8, false, b.vici.charon_epoch().await).await
    else {
        panic!("refused")
    };
    assert_eq!((doing.as_str(), words.as_str()), ("terminate child-id 8", "no matching SAs to terminate found"));
    b.charon.set_sas([sa("cygnet-a", 9)]);
    b.vici.terminate("ike-id", 9, true, b.vici.charon_epoch().await).await.expect("terminated");
    let wanted = packet("terminate", &[("ike-id", "9"), ("timeout", "-1"), ("force", "yes")]);
    assert_eq!(b.charon.requests_of("terminate")[2].bytes, wanted);
}

#[tokio::test]
async fn a_number_of_one_life_closes_nothing_in_the_next() {
    let mut b = bench(AMPLE);
    b.vici.version().await.expect("connected");
    let life = b.vici.charon_epoch().await;
    b.charon.kill();
    b.charon.revive();
    b.charon.set_sas([sa("foreign", 7)]);
    // The end of the old socket may not have been noticed yet: then it is the socket that refuses.
    let refused = b.vici.terminate("ike-id", 7, true, life).await;
    assert!(matches!(refused, Err(Error::Refused { .. } | Error::Unreachable { .. })), "{refused:?}");
    b.vici.version().await.expect("connected anew");
    let Err(Error::Refused { words, .. }) = b.vici.terminate("ike-id", 7, true, life).await else { panic!("refused") };
    assert!(words.contains("started anew"), "{words}");
    assert!(b.charon.requests_of("terminate").is_empty(), "charon was not asked");
    b.vici.terminate("ike-id", 7, true, b.vici.charon_epoch().await).await.expect("in this life it is meant");
}

#[tokio::test]
async fn lists_register_their_event_once_and_collect_all_items() {
    let b = bench(AMPLE);
    b.charon.set_sas([sa("cygnet-a", 1), sa("cygnet-b", 2)]);
    for _ in 0..3 {
        assert_eq!(b.vici.list_sas(None).await.expect("answered"), [sa("cygnet-a", 1), sa("cygnet-b", 2)]);
    }
    assert_eq!(b.vici.list_sas(Some("cygnet-b")).await.expect("answered"), [sa("cygnet-b", 2)]);
    assert_eq!(b.charon.requests_of("list-sas")[3].bytes, packet("list-sas", &[("ike", "cygnet-b")]));
    assert_eq!(b.charon.requests_of("register").len(), 1);
    let connection = connections::connection(connections::parts(1));
    for request in requests(&connection) {
        b.vici.load(&request).await.expect("loaded");
    }
    let listed = b.vici.list_connections(Some("cygnet-00000000000000000000000000000001")).await.expect("answered");
    assert_eq!(listed, [requests(&connection)[1].body.clone()]);
}

#[tokio::test]
async fn a_list_that_was_given_up_while_it_registered_leaves_no_second_registration() {
    let b = bench(AMPLE);
    b.charon.set_sas([sa("cygnet-a", 1)]);
    b.charon.once("list-sa", Behaviour::Late);
    {
        let list = b.vici.list_sas(None);
        tokio::pin!(list);
        let asked = || b.charon.requests_of("register").len() == 1;
        soon(std::future::poll_fn(|context| {
            assert!(list.as_mut().poll(context).is_pending(), "the registration is not answered yet");
            context.waker().wake_by_ref();
            if asked() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        }))
        .await;
    }
    b.charon.release();
    // charon sends every event as often as it was registered (facts 2.2).
    assert_eq!(b.vici.list_sas(None).await.expect("answered"), [sa("cygnet-a", 1)]);
}

#[tokio::test]
async fn a_list_takes_no_other_event_than_its_own() {
    let b = bench(AMPLE);
    b.charon.set_sas([sa("cygnet-a", 1)]);
    let other = vec![("list-conn".into(), sa("x", 8)), ("ike-updown".into(), sa("y", 9))];
    b.charon.once("list-sas", Behaviour::EventsFirst(other));
    assert_eq!(b.vici.list_sas(None).await.expect("answered"), [sa("cygnet-a", 1)]);
}

#[tokio::test]
async fn charons_refusal_reaches_the_caller_in_charons_words() {
    let b = bench(AMPLE);
    let words = "invalid value for: proposals, config discarded";
    b.charon.once("load-conn", Behaviour::Refuse(words.into()));
    let request = requests(&connections::connection(connections::parts(1))).remove(1);
    let error = b.vici.load(&request).await.expect_err("refused");
    assert!(!error.is_absent(), "{error}");
    assert_eq!(error.to_string(), format!("charon refused load-conn cygnet-00000000000000000000000000000001: {words}"));
    b.vici.load(&request).await.expect("the next one is not affected");
    let error = b.vici.unload_connection("cygnet-x").await.expect_err("unknown");
    assert!(error.to_string().ends_with("unload: connection 'cygnet-x' not found") && error.is_absent(), "{error}");
}

#[tokio::test]
async fn an_unknown_command_is_a_refusal_and_not_an_outage() {
    let b = bench(AMPLE);
    b.charon.once("get-algorithms", Behaviour::Unknown);
    assert!(matches!(b.vici.algorithms().await, Err(Error::Refused { .. })));
    assert_eq!(b.vici.algorithms().await.expect("answered").sections().count(), 5);
    assert_eq!(b.charon.requests()[1].socket, 1, "the socket stays in use");
}

#[tokio::test]
async fn what_cannot_be_encoded_is_never_sent() {
    let b = bench(AMPLE);
    for name in ["", "caf\u{e9}", &"n".repeat(256)] {
        let error = b.vici.unload_shared(&"v".repeat(65_536)).await.expect_err("too long");
        assert!(matches!(error, Error::Internal(_)), "{error}");
        let body = Section::new().with(name, Section::new());
        let request = cygnet::strongswan::requests::Request { command: "load-conn", body };
        assert!(matches!(b.vici.load(&request).await, Err(Error::Internal(_))), "{name:?}");
    }
    assert!(b.charon.commands().is_empty());
    b.vici.version().await.expect("the client goes on");
}

/// charon describes thousands of connections in a second or so, and has their names in a millisecond, if they fit one
/// answer: what is too long for that is dropped without a word.
#[tokio::test]
async fn many_names_are_asked_for_in_one_answer_that_has_room_for_them() {
    let b = bench(AMPLE);
    let load = |n: usize, width: usize| b.charon.load(Some((&format!("{n:0width$}"), Section::new())), None);
    let ask = async || {
        b.charon.forget_requests();
        let names = soon(b.vici.many_connections()).await.expect("answered");
        assert_eq!(names, b.charon.connections());
        ["get-conns", "list-conns"].map(|command| b.charon.requests_of(command).len())
    };
    (0..50).for_each(|n| load(n, 40));
    assert_eq!([ask().await, ask().await], [[0, 1], [1, 0]], "how long it is must be known");
    b.charon.once("get-conns", Behaviour::CloseMidAnswer);
    assert_eq!([ask().await, ask().await], [[1, 1], [1, 0]], "without the answer, all are described");
    (0..2100).for_each(|n| load(n, 240));
    assert_eq!([ask().await, ask().await], [[1, 0], [0, 1]], "it may be too long the next time");
}

/// A charon that answers a request when the next one has come as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_together_is_sent_without_a_wait() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("charon.vici");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let charon = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().expect("a client");
        let commands = [(); 2].map(|()| {
            let mut length = [0; 4];
            stream.read_exact(&mut length).expect("a length");
            let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut bytes).expect("a packet");
            match Packet::decode(&bytes) {
                Ok(Packet::Request(command, _)) => command,
                other => panic!("{other:?}"),
            }
        });
        for answer in ["no", "yes"] {
            let body = Section::new().with("success", answer).with("errmsg", "no such type");
            stream.write_all(&crate::fake_charon::frame(&Packet::Response(body))).expect("written");
        }
        commands
    });
    let vici = cygnet::strongswan::vici::Vici::new(&path, AMPLE);
    let all = requests(&connections::connection(connections::parts(1)));
    let error = soon(vici.load_together(&all)).await.expect_err("the first is refused").to_string();
    assert!(error.starts_with("charon refused load-shared") && error.ends_with("no such type"), "{error}");
    assert_eq!(charon.join().expect("it was asked"), ["load-shared", "load-conn"]);
}
