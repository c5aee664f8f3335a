//! Check for CAs that charon keeps although no connection uses them.

use crate::{
    doctor::{
        Case, Level,
        finding::{Judged, finding, some},
    },
    store::{
        Record,
        dropped::{DroppedCa, cas},
    },
};
use std::{collections::BTreeSet, sync::Arc};

/// Those of `all` that this start of charon was given and no record uses.
pub(crate) fn kept(records: &[Arc<Record>], all: Vec<DroppedCa>, charon: Option<&str>) -> Vec<DroppedCa> {
    let used: BTreeSet<_> = records.iter().flat_map(|record| cas(record)).map(|(sha256, _)| sha256).collect();
    all.into_iter().filter(|ca| Some(ca.charon.as_str()) == charon && !used.contains(&ca.sha256)).collect()
}

/// charon keeps no CA that connections dropped.
pub fn dropped(case: &Case) -> Judged {
    let all = &case.dropped_cas;
    if all.is_empty() {
        return Ok("charon keeps no CA that a connection dropped".into());
    }
    let count = all.iter().map(|ca| &ca.sha256).collect::<BTreeSet<_>>().len();
    let what = format!(
        "charon keeps {count} CAs that no connection uses: it cannot unload a CA, and accepts peers whose certificates \
         chain through one"
    );
    let fix = "systemctl restart strongswan  # only if they must not be trusted: it interrupts all tunnels";
    let of = |ca: &DroppedCa| format!("'{}' of {} ({})", ca.subject, ca.name, ca.connection);
    Err(vec![finding(Level::Warning, what, fix).with(some(all.iter().map(of)))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::healthy;

    #[test]
    fn what_charon_keeps_is_named_with_who_had_it() {
        let mut case = healthy::case();
        assert!(dropped(&case).is_ok());
        let text = |text: &str| text.to_owned();
        let ca = DroppedCa {
            sha256: text("00"),
            subject: text("CN=old"),
            connection: text("c0"),
            name: text("branch"),
            charon: text("1"),
        };
        assert_eq!(kept(&case.records, vec![ca.clone()], Some("2")), []);
        assert_eq!(kept(&case.records, vec![ca.clone()], None), []);
        case.dropped_cas = kept(&case.records, vec![ca], Some("1"));
        let found = dropped(&case).expect_err("it is kept");
        assert_eq!(found[0].evidence.as_deref(), Some("'CN=old' of branch (c0)"));
    }
}
