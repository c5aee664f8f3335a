//! A rehearsed rekeying: asked for by the write or by the settings, its outcome in the answer if the write waits, else in
//! our own view and in the log.

use crate::serve::{Bench, Options, change, params, uuid, wait_until};
use serde_json::{Value, json};

const OFF: &str = "[policy]\ndefault = \"off\"";

fn bench(wait: &'static str, policy: &'static str, refuse: bool) -> Bench {
    let b = Bench::with(&Options { wait, policy, ..Options::default() });
    b.charon.establish(true);
    b.charon.refuse_rekeys(refuse);
    b
}

fn connection() -> Value {
    json!({ "ikeVersion": "ikev2", "ikeDhGroup": 19, "pfs": "dh-group19" })
}

/// Creates the connection 7.
fn create(b: &Bench, how: &str, more: &Value) -> Value {
    let body = json!({ "params": params(7, more) }).to_string();
    b.ask("POST", &format!("/zstack/v1/ipsec{how}"), body.as_bytes()).expect(200).json()
}

fn native(b: &Bench) -> Value {
    b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").expect(200).json()
}

fn rekeys(b: &Bench) -> usize {
    b.charon.commands().iter().filter(|command| *command == "rekey").count()
}

#[test]
fn a_rekeying_that_works_leaves_no_warning() {
    let b = bench("5s", "[policy]\nno-local-address = \"off\"\nguessable-key = \"off\"", false);
    let answer = create(&b, "?rehearse=true", &connection());
    assert_eq!(answer["inventory"]["status"], "Ready");
    assert_eq!(answer.get("warnings"), None, "PFS is tested now: {answer}");
    let view = native(&b);
    assert_eq!(view["rehearsal"]["outcome"], "passed", "{view}");
    assert_eq!(view["children"][0]["sas"][0]["group"], "ECP_256", "{view}");
    assert_eq!(rekeys(&b), 1);
}

#[test]
fn a_refused_rekeying_is_in_the_answer_and_the_tunnel_stays() {
    let b = bench("5s", OFF, true);
    let answer = create(&b, "?rehearse=true", &connection());
    assert_eq!(answer["inventory"]["status"], "Ready", "the old SA carries on");
    assert_eq!(answer["warnings"][0]["code"], "REKEY_FAILED", "{answer}");
    let message = answer["warnings"][0]["message"].as_str().expect("a text");
    assert!(message.contains("ours is group 19") && message.contains("3600 s"), "{message}");
    assert!(b.logs().contains("the rekey test failed"), "{}", b.logs());
    // Another change makes it a matter of the past.
    b.charon.refuse_rekeys(false);
    let body = json!({ "changeIPsecConnection": change(7, &json!({ "ikeVersion": "ikev2", "pfs": "dh-group20" })) });
    let path = format!("/zstack/v1/ipsec/config/{}", uuid(7));
    let answer = b.ask("PUT", &path, body.to_string().as_bytes()).expect(200).json();
    assert_eq!(answer.get("warnings"), None, "{answer}");
    assert_eq!((&native(&b)["rehearsal"], rekeys(&b)), (&Value::Null, 1));
}

#[test]
fn who_does_not_wait_finds_it_in_our_own_view() {
    let b = bench("0s", OFF, true);
    let answer = create(&b, "?rehearse=true", &connection());
    assert_eq!(answer.get("warnings"), None, "{answer}");
    let view = wait_until("the rehearsal is over", || Some(native(&b)).filter(|view| !view["rehearsal"].is_null()));
    assert_eq!(view["rehearsal"]["outcome"], "failed", "{view}");
    assert_eq!(view["warnings"][0]["code"], "REKEY_FAILED", "{view}");
}

#[test]
fn the_settings_rehearse_every_change_and_a_write_may_say_no() {
    let b = bench("5s", OFF, false);
    create(&b, "", &connection());
    assert_eq!(rekeys(&b), 0, "the default");
    let mut b = b;
    b.stop();
    let path = b.path("cygnet.toml");
    let text = std::fs::read_to_string(&path).expect("settings");
    std::fs::write(&path, text.replace("[charon]", "[charon]\nrehearse_rekey = true")).expect("written");
    b.run();
    let change = |how: &str, life: u32| {
        let options = json!({ "ikeVersion": "ikev2", "ikeDhGroup": 19, "pfs": "dh-group19", "lifeTime": life });
        let body = json!({ "changeIPsecConnection": change(7, &options) }).to_string();
        b.ask("PUT", &format!("/zstack/v1/ipsec/config/{}{how}", uuid(7)), body.as_bytes()).expect(200);
    };
    change("?rehearse=false", 1000);
    assert_eq!(rekeys(&b), 0);
    change("", 2000);
    assert_eq!(rekeys(&b), 1);
    // Nothing is new, so there is nothing to rehearse, unless somebody asks for it.
    change("", 2000);
    assert_eq!(rekeys(&b), 1);
    change("?rehearse=true", 2000);
    assert_eq!(rekeys(&b), 2);
    let wrong = json!({ "params": params(8, &json!({})) }).to_string();
    b.ask("POST", "/zstack/v1/ipsec?rehearse=maybe", wrong.as_bytes()).expect(503);
}

#[test]
fn ikev1_needs_no_rehearsal() {
    let b = bench("5s", OFF, true);
    create(&b, "?rehearse=true", &json!({ "ikeVersion": "ikev1", "pfs": "dh-group19" }));
    assert_eq!((&native(&b)["rehearsal"]["outcome"], rekeys(&b)), (&json!("passed"), 0));
}
