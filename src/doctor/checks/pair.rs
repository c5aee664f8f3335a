//! Check that the other gateway of a pair has the same connections, and other addresses.

use crate::doctor::{
    Case, Level,
    finding::{Judged, finding, judged, some},
    shell::noted,
};
use serde_json::Value;

/// Both gateways have the same connections, keys included.
pub fn pair(case: &Case) -> Judged {
    let Some(paired) = &case.pair else { return Ok("no other gateway is named (ha.peer)".into()) };
    let with = &paired.with;
    let found = match &paired.outcome {
        Ok(found) => found,
        Err(why) => {
            let fix =
                noted("cygnet compare", "shows the same; see that the other agent runs, and ha.peer in the settings");
            return Err(vec![finding(Level::Warning, format!("not compared with {with}: {why}"), fix)]);
        }
    };
    let mut findings = Vec::new();
    let [here, there] = ["here", "there"].map(|side| found["versions"][side].as_str().unwrap_or_default());
    if here != there {
        let what = format!("{with} runs cygnet {there}, and this gateway {here}");
        findings.push(finding(Level::Info, what, "apt install cygnet  # the same version on both"));
    }
    let both = found["active_on_both"].as_array().map_or(&[][..], Vec::as_slice);
    if let Some(vips) = Some(some(both.iter().filter_map(Value::as_str))).filter(|_| !both.is_empty()) {
        let what = format!("{vips} is here and on {with} as well: the peers' packets reach either, and both negotiate");
        let fix =
            noted("systemctl status keepalived", "on both: they do not hear each other; one may have the address");
        findings.push(finding(Level::Error, what, fix));
    }
    if found["same"] == false {
        let (count, all) = (&found["differing"], &found["compared"]);
        let what =
            format!("{count} of {all} connections are not the same as on {with}: after a takeover they count as there");
        let fix = "cygnet compare  # shows each field; then write the same to both";
        findings.push(finding(Level::Warning, what, fix).with(some(differing(found))));
    }
    if let Some(why) = found["keys"]["why_not"].as_str() {
        let what = format!("keys were not compared with {with}: {why}");
        let fix =
            noted("cygnet doctor", "after ha.peer_token_file has a token with the role write, to compare keys too");
        findings.push(finding(Level::Info, what, fix));
    }
    judged(findings, format!("{} connections are the same as on {with}, keys included", found["compared"]))
}

/// Each connection that differs, with the names of the fields.
fn differing(found: &Value) -> impl Iterator<Item = String> {
    found["connections"].as_array().into_iter().flatten().map(|connection| {
        let name = connection["name"].as_str().unwrap_or_default();
        let fields = connection["fields"].as_array().into_iter().flatten();
        let fields: Vec<_> = fields.filter_map(|field| field["field"].as_str()).collect();
        match connection["what"].as_str() {
            Some("only_here") => format!("{name} (only here)"),
            Some("only_there") => format!("{name} (only there)"),
            _ => format!("{name} ({})", fields.join(", ")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Paired, checks::healthy};
    use serde_json::json;

    fn judge(outcome: Result<Value, String>) -> Judged {
        let mut case = healthy::case();
        case.pair = Some(Paired { with: "https://gw2.example:8443".into(), outcome });
        pair(&case)
    }

    #[test]
    fn what_differs_is_named() {
        assert!(pair(&healthy::case()).is_ok_and(|seen| seen.contains("no other gateway")));
        let versions = json!({ "here": "1.0", "there": "1.0" });
        let found = json!({ "same": true, "compared": 2, "differing": 0, "versions": versions, "keys": { "compared": true },
                            "connections": [] });
        assert!(judge(Ok(found.clone())).is_ok_and(|seen| seen.contains("2 connections are the same")));
        let unreachable = judge(Err("cannot reach it".into())).expect_err("a finding");
        assert_eq!((unreachable.len(), unreachable[0].level), (1, Level::Warning));
        let mut other = found;
        other["active_on_both"] = json!(["192.0.2.1"]);
        other["same"] = false.into();
        other["differing"] = 2.into();
        other["versions"]["there"] = "1.1".into();
        other["keys"] = json!({ "compared": false, "why_not": "the role read" });
        other["connections"] = json!([
            { "name": "a", "what": "differs", "fields": [{ "field": "ikeDhGroup" }, { "field": "authKey" }] },
            { "name": "b", "what": "only_there", "fields": [] },
        ]);
        let found = judge(Ok(other)).expect_err("findings");
        assert_eq!(
            found.iter().map(|f| f.level).collect::<Vec<_>>(),
            [Level::Info, Level::Error, Level::Warning, Level::Info]
        );
        assert!(found[1].what.starts_with("192.0.2.1 is here and on https://gw2.example:8443"), "{}", found[1].what);
        assert_eq!(found[2].evidence.as_deref(), Some("a (ikeDhGroup, authKey), b (only there)"));
    }
}
