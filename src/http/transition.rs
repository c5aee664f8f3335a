//! What callers see of a connection in transition.

use crate::{
    agent::View,
    ipsec::{ChildState, IkeState, sa::Suite},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// `transition`, if there is one: until when which earlier proposals are accepted, and what runs.
pub fn member(view: &View) -> Value {
    let Some(transition) = &view.record.transition else { return json!({}) };
    let (all, wanted) = (view.record.connection.accepting(&transition.accepted), &view.record.connection);
    let (own_ike, own_child) = (wanted.ike_proposals(), wanted.child_proposals());
    let ike: Vec<_> = all.ike_proposals().iter().filter(|o| !own_ike.contains(o)).map(ToString::to_string).collect();
    let child: Vec<_> =
        all.child_proposals().iter().filter(|o| !own_child.contains(o)).map(ToString::to_string).collect();
    json!({ "transition": {
        "caller": transition.caller,
        "began": transition.began.to_string(),
        "until": transition.until.to_string(),
        "accept": transition.accept,
        "over": transition.over,
        "ike": ike,
        "child": child,
        "runs": view.running.as_ref().map(|_| runs(view)),
    } })
}

/// The algorithms of the SAs that carry, each set once.
fn runs(view: &View) -> Vec<String> {
    let established = view.running.iter().flatten().filter(|ike| ike.state == IkeState::Established);
    let mut all = BTreeSet::new();
    for ike in established {
        for sa in ike.children.iter().filter(|sa| sa.state == ChildState::Installed) {
            all.insert(format!("IKE {}; CHILD_SA {}", suite(&ike.suite), suite(&sa.suite)));
        }
    }
    all.into_iter().collect()
}

fn suite(suite: &Suite) -> String {
    let cipher = suite.encryption.as_ref().map(|name| match suite.key_bits {
        Some(bits) => format!("{name}_{bits}"),
        None => name.clone(),
    });
    let parts = [&cipher, &suite.integrity, &suite.prf, &suite.group, &suite.additional];
    parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("/")
}
