//! Check for names of peers that have no address.

use crate::{
    doctor::{
        Case, Level,
        case::Unresolved,
        finding::{Judged, finding},
    },
    store::Record,
};
use std::sync::Arc;

/// What the records alone say of it, where nobody looks names up.
pub(crate) fn never_resolved(records: &[Arc<Record>]) -> Vec<Unresolved> {
    let of = |record: &Arc<Record>| {
        let name = record.spec.peer.name().filter(|_| record.is_unresolved())?;
        let why = format!("{name} had no address when the agent last looked it up");
        Some(Unresolved { connection: record.spec.names.name.clone(), why, is_new: true })
    };
    records.iter().filter(|record| record.is_wanted()).filter_map(of).collect()
}

/// The name of every peer has an address.
pub fn names(case: &Case) -> Judged {
    if case.unresolved.is_empty() {
        let count = case.records.iter().filter(|record| record.spec.peer.name().is_some()).count();
        return Ok(match count {
            0 => "no peer has a name".into(),
            count => format!("the {count} peers that have names have addresses"),
        });
    }
    let of = |one: &Unresolved| {
        let (level, rest) = if one.is_new {
            (Level::Error, "its tunnel cannot come up")
        } else {
            (Level::Warning, "its tunnel stays at the last address")
        };
        let what = format!("the peer of {} has a name without an address: {rest}", one.connection);
        let fix = "getent ahosts NAME  # shows what this host resolves; correct the name, or the name server in \
                   /etc/resolv.conf";
        finding(level, what, fix).with(one.why.clone())
    };
    Err(case.unresolved.iter().map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::healthy;

    #[test]
    fn a_name_without_an_address_is_named_with_its_connection() {
        let mut case = healthy::case();
        assert!(names(&case).is_ok());
        let one = |is_new| Unresolved { connection: "branch".into(), why: "it does not resolve".into(), is_new };
        case.unresolved = vec![one(true), one(false)];
        let found = names(&case).expect_err("they have none");
        assert_eq!([found[0].level, found[1].level], [Level::Error, Level::Warning]);
        assert!(
            found[0].what.contains("the peer of branch") && found[0].evidence.as_deref() == Some("it does not resolve")
        );
    }
}
