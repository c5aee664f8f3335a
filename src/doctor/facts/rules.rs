//! The rules that packets pass: filters, NAT and clamps of the segment size, as nft and iptables-save list them, in one
//! form. What a rule is not understood to say is kept as [`Match::Other`] or [`Action::Unknown`], never dropped.

mod iptables;
mod model;
mod nft;

use super::{probe::Unchecked, tools::Tools};
pub use model::{Action, Base, Chain, Hook, Match, Rule, Rules, Way};
use std::collections::BTreeSet;

/// Asks nft, and iptables-save for the matches that nft cannot print as JSON.
pub async fn gather(tools: &Tools) -> Rules {
    let (list, v4, v6) = tokio::join!(
        tools.output("nft", &["-j", "list", "ruleset"]),
        tools.output("iptables-save", &[]),
        tools.output("ip6tables-save", &[]),
    );
    let mut rules = Rules::default();
    let has_iptables = v4.is_ok() || v6.is_ok();
    for (seen, family) in [(v4, "ip"), (v6, "ip6")] {
        match seen {
            Ok(text) => rules.chains.extend(iptables::chains(&text, family)),
            // Only what is there can have rules; nft shows its tables too.
            Err(Unchecked::Absent(_)) => {}
            Err(why) => rules.unchecked.push(why),
        }
    }
    let listed: BTreeSet<_> = rules.chains.iter().map(|chain| chain.table.clone()).collect();
    match list.and_then(|text| nft::chains(&text)) {
        // The tables of iptables-nft were just read from iptables-save, which knows their matches.
        Ok(chains) => {
            rules.has_nft = true;
            rules.chains.extend(chains.into_iter().filter(|chain| !listed.contains(&chain.table)));
        }
        // With iptables alone there is nothing that only nft could show.
        Err(Unchecked::Absent(_)) if has_iptables => {}
        Err(why) => rules.unchecked.push(why),
    }
    let order =
        |chain: &Chain| chain.base.map_or((true, Hook::Postrouting, 0), |base| (false, base.hook, base.priority));
    rules.chains.sort_by_key(order);
    rules
}
