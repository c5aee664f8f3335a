//! Each call beside the plain Change that `transition` can be given to: by a job it is the same, and where nothing can be in
//! transition it is refused by name, or said to change nothing.

use super::{
    jobs::{JOB, PATH, call, outcome},
    transition::{bench, details, native, new, old, proposals, put, send},
};
use crate::serve::{Bench, change, params, uuid};
use serde_json::{Value, json};
use std::fs;

fn job(b: &Bench, id: &str, query: &str) -> (u16, String) {
    let body = json!({ "changeIPsecConnection": change(7, &new()) });
    call(b, "PUT", &format!("{PATH}/config/{}?{query}", uuid(7)), &[("X-Job-UUID", id)], &body)
}

#[test]
fn a_job_is_in_transition_as_a_plain_call_is() {
    let mut b = bench();
    let (sa, before) = (native(&b)["ike_sas"][0]["id"].clone(), proposals(&b));
    // What is no value is found by the job; what is there twice, at once.
    let wrong = "f".repeat(32);
    assert_eq!(job(&b, &wrong, "transition=soon").0, 202);
    let (status, answer) = outcome(&b, &wrong);
    assert!(status == 503 && answer.to_string().contains("query parameter transition"), "{answer:#}");
    let (status, text) = job(&b, &"e".repeat(32), "transition=1h&transition=2h");
    assert!(status == 400 && text.contains("[transition], only one value"), "{status} {text}");
    assert_eq!(proposals(&b), before);

    let (status, text) = job(&b, JOB, "transition=24h");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((status, &answer["location"]), (202, &json!(format!("http://cygnet.test/zstack/v1/api-jobs/{JOB}"))));
    let (status, answer) = outcome(&b, JOB);
    assert_eq!((status, &answer["inventory"]["status"]), (200, &json!("Connecting")), "{answer:#}");
    assert_eq!(answer["inventory"]["authKey"], "******", "anybody may poll");
    assert_eq!(answer["warnings"].to_string().matches("IN_TRANSITION").count(), 1, "{answer:#}");
    let view = native(&b);
    assert_eq!((&view["transition"]["caller"], &view["transition"]["over"]), (&json!("token test"), &json!(false)));
    assert_eq!((&view["ike_sas"][0]["id"], &view["carrying"]), (&sa, &json!(true)), "{view:#}");
    assert!(proposals(&b).iter().zip(&before).all(|(now, was)| now.ends_with(&format!(", {was}"))));
    // The result is kept, and it is in transition for as long.
    b.stop();
    b.run();
    assert_eq!(outcome(&b, JOB), (200, answer));
    assert_eq!(native(&b)["transition"]["until"], view["transition"]["until"]);
}

#[test]
fn what_has_no_proposals_of_before_is_refused_by_name() {
    let b = bench();
    let before = fs::read(b.record(&uuid(7))).expect("the record");
    let own = format!("{PATH}/{}", uuid(7));
    let declared = format!("/cygnet/v1/connections/{}", uuid(7));
    let fresh = json!({ "params": params(8, &json!({})) });
    let again = json!({ "reconnectIPsecConnection": {} });
    for value in ["24h", "0s", "soon"] {
        for (method, path, body) in [
            ("POST", PATH, &fresh),
            ("DELETE", own.as_str(), &Value::Null),
            ("DELETE", declared.as_str(), &Value::Null),
            ("POST", "/cygnet/v1/plan", &json!({ "connections": [] })),
        ] {
            let told = details(send(b.tcp(), method, &format!("{path}?transition={value}"), body));
            assert!(told.contains("query parameter transition"), "{method} {path} {value}: {told}");
        }
    }
    for body in [again, json!({ "changeIPSecConnectionState": { "stateEvent": "disable" } })] {
        let told = details(send(b.tcp(), "PUT", &format!("{own}/actions?transition=24h"), &body));
        assert!(told.contains("query parameter transition needs a change of proposals"), "{told}");
    }
    for (method, path) in [("POST", PATH), ("DELETE", &own), ("PUT", &format!("{PATH}/config/{}", uuid(7)))] {
        let answer = send(b.tcp(), method, &format!("{path}?transition=24h&transition=24h"), &fresh).expect(400);
        assert!(answer.text().contains("query parameter[transition]"), "{method}: {}", answer.text());
    }
    assert_eq!(fs::read(b.record(&uuid(7))).expect("the record"), before);
    assert!(!b.record(&uuid(8)).exists());
    // Where there is none, nothing ends.
    put(&b, "transition=0s", &old()).expect(200);
    assert_eq!(fs::read(b.record(&uuid(7))).expect("the record"), before);
}

/// Only a list has elements in the query: the contract ignores what it does not know, and the caller is told.
#[test]
fn an_element_of_no_list_is_told() {
    let b = bench();
    let same = json!({ "changeIPsecConnection": change(7, &old()) });
    for name in ["transition.0", "transition[]", "Transition", "confirm.0", "accept.1", "unset.0", "keep."] {
        let path = format!("{PATH}/config/{}?{name}=24h", uuid(7));
        let answer = send(b.tcp(), "PUT", &path, &same).expect(200).json();
        let told = answer["warnings"].to_string();
        assert!(told.contains("UNKNOWN_MEMBER") && told.contains(name), "{name}: {answer:#}");
    }
}
