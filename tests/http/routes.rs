//! Which path and method mean what, and the texts when they mean nothing (contract 1.1, 1.2).

use super::transcript::Transcript;
use crate::serve::{Bench, params, uuid};
use serde_json::json;

#[test]
fn unknown_paths() {
    let b = Bench::start();
    let mut t = Transcript::default();
    for path in [
        "/zstack",
        "/zstack/v1/nothing",
        "/zstack/v1/ipsec/",
        "/zstack/v1/ipsec/a/b/c",
        "/v1/ipsec",
        "/cygnet/v1/nothing",
    ] {
        t.ask(&b, "GET", path, "").expect(404);
    }
    t.note("a path that is not UTF-8");
    t.ask(&b, "GET", "/zstack/v1/%ff%fe", "").expect(404);
    t.check("routes_unknown_paths");
}

#[test]
fn methods_that_a_path_has_no_api_for() {
    let b = Bench::start();
    let item = format!("/zstack/v1/ipsec/{}", uuid(7));
    let config = format!("/zstack/v1/ipsec/config/{}", uuid(7));
    let mut t = Transcript::default();
    for (method, path) in [
        ("DELETE", "/zstack/v1/ipsec"),
        ("PUT", "/zstack/v1/ipsec"),
        ("PATCH", "/zstack/v1/ipsec"),
        ("OPTIONS", "/zstack/v1/ipsec"),
        ("POST", &item),
        ("PUT", &item),
        ("TRACE", &item),
        ("GET", &config),
        ("DELETE", &config),
        ("PATCH", &config),
    ] {
        t.ask(&b, method, path, "");
    }
    t.check("routes_methods");
}

#[test]
fn health_and_our_own_view() {
    let mut b = Bench::start();
    b.create(&params(7, &json!({ "ikeVersion": "ikev2" }))).expect(200);
    let mut t = Transcript::default();
    t.ask(&b, "GET", "/healthz", "").expect(200);
    t.ask(&b, "GET", "/readyz", "").expect(200);
    t.ask(&b, "GET", &format!("/cygnet/v1/connections/{}", uuid(7)), "").expect(200);
    t.ask(&b, "GET", &format!("/cygnet/v1/connections/{}", uuid(9)), "").expect(503);
    t.check("routes_native");
    b.charon.kill();
    crate::serve::wait_until("readyz says that charon is gone", || {
        (b.ask("GET", "/readyz", b"").status == 503).then_some(())
    });
    b.ask("GET", "/healthz", b"").expect(200);
}

#[test]
fn a_connection_is_kept_over_many_requests() {
    let b = Bench::start();
    let mut client = b.unix();
    for _ in 0..50 {
        client.request("GET", "/zstack/v1/ipsec", &[], b"").expect("answered").expect(200);
        client.request("GET", "/nothing", &[], b"").expect("answered").expect(404);
    }
    assert_eq!(client.connections(), 1);
}
