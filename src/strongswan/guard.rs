//! A guard: a connection of policies alone, which stands while another one is replaced.
//!
//! charon removes the traps of a connection before it installs those of its new values (facts 20.24). In between, and if
//! the peer closes the SA just then, no policy would cover the packets, and they would leave in the clear. A guard has the
//! same selectors with `mode = drop`, which comes behind all other policies of charon (facts 20.25): it takes what they
//! leave. With the same selectors charon also keeps its route. Pass policies are replaced in the same way, so a guard has those too.

use super::{
    conf, names,
    requests::{self, Loadable, Request, Unplannable},
    section::Section,
};
use std::{collections::BTreeSet, fmt::Write};
use zeroize::Zeroizing;

/// What guards a connection while it is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guard {
    text: String,
    /// The request that loads it.
    pub request: Request,
}

impl Guard {
    /// For `new` in place of `previous`; `None` where no policy waits for packets afterwards.
    ///
    /// # Errors
    /// When the text cannot be read back, which is a fault of this program.
    pub fn new(new: &Loadable, previous: Option<&Loadable>) -> Result<Option<Self>, Unplannable> {
        let wanted = policies(new);
        if wanted.is_empty() {
            return Ok(None);
        }
        let all: BTreeSet<_> = previous.into_iter().flat_map(policies).chain(wanted).collect();
        let text = text(&names::guard(new.id), &all);
        let file = conf::parse(&text).map_err(|_| Unplannable("the text of a guard cannot be read back"))?;
        let request = requests::load(&file, &[])?.pop().ok_or(Unplannable("a guard is not a connection"))?;
        Ok(Some(Self { text, request }))
    }

    /// The text of a file that loads the guard first, and then `connection`.
    pub fn before(&self, connection: &Loadable) -> Zeroizing<String> {
        let rest = connection.conf.expose();
        let mut all = Zeroizing::new(String::with_capacity(self.text.len() + rest.len()));
        all.push_str(&self.text);
        all.push_str(rest);
        all
    }
}

/// Whether `connection` has no policies without an SA: nothing of it needs a guard.
pub(super) fn is_bare(connection: &Loadable) -> bool {
    policies(connection).is_empty()
}

/// A policy of a guard: its mode, and its local and remote selectors.
type Policy = (&'static str, String, String);

/// The policies that `connection` has without an SA. Those of an interface need no guard, because it drops what has no
/// policy; and charon 5.9.8 would give the guard no interface.
fn policies(connection: &Loadable) -> Vec<Policy> {
    let children =
        connection.section(&names::connection(connection.id)).and_then(|section| section.section("children"));
    let policy = |child: &Section| {
        let waits = child.text("start_action") == Some("trap") && child.text("if_id_out").is_none();
        let mode = if child.text("mode") == Some("pass") { "pass" } else { "drop" };
        let selectors = |key| child.items(key).collect::<Vec<_>>().join(", ");
        waits.then(|| (mode, selectors("local_ts"), selectors("remote_ts")))
    };
    children.into_iter().flat_map(Section::sections).filter_map(|(_, child)| policy(child)).collect()
}

/// Its addresses are those of no peer, so that no IKE SA is ever made with it.
fn text(name: &str, policies: &BTreeSet<Policy>) -> String {
    let mut text = format!(
        "connections {{\n  {name} {{\n    local_addrs = 127.0.0.1\n    remote_addrs = 127.0.0.1\n    local {{\n      auth = \
         psk\n    }}\n    remote {{\n      auth = psk\n    }}\n    children {{\n"
    );
    for (number, (mode, local, remote)) in policies.iter().enumerate() {
        let _ = write!(
            text,
            "      {name}-{number} {{\n        mode = {mode}\n        local_ts = {local}\n        remote_ts = {remote}\n        \
             start_action = trap\n      }}\n"
        );
    }
    text + "    }\n  }\n}\n"
}
