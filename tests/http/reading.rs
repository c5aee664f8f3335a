//! The role read at the door of the message API: the call behind it decides.

use super::jobs::OTHERS;
use crate::serve::{Bench, Options, TOKEN, params, uuid};
use serde_json::json;

#[test]
fn a_reader_of_messages_reads_and_writes_nothing() {
    let mut b = Bench::idle(&Options::default());
    std::fs::write(b.path("tokens"), format!("test:{TOKEN}\nreader:{}:read\n", OTHERS[0])).expect("tokens");
    b.run();
    b.create(&params(1, &json!({}))).expect(200);
    let ask = |class: &str, mut more: serde_json::Value| {
        more["session"] = json!({ "uuid": OTHERS[0] });
        let body = json!({ class: more }).to_string();
        let answer = b.tcp().request("POST", "/zstack/api", &[], body.as_bytes()).expect("answered").expect(200).json();
        assert_eq!(answer["state"], "Done", "{answer}");
        answer["result"].as_str().expect("a text").to_owned()
    };
    let refused = ask("org.zstack.ipsec.APIDeleteIPsecConnectionMsg", json!({ "uuid": uuid(1) }));
    assert!(refused.contains("has the role read") && refused.contains("\"success\":false"), "{refused}");
    let found = ask("org.zstack.ipsec.APIQueryIPSecConnectionMsg", json!({}));
    assert!(found.contains("\"success\":true") && found.contains("******"), "{found}");
    assert_eq!(b.inventory(&uuid(1))["state"], "Enabled");
}
