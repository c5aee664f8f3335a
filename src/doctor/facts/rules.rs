//! The rules that packets pass: filters, NAT and clamps of the segment size, as nft and iptables-save list them, in one
//! form. What a rule is not understood to say is kept as [`Match::Other`] or [`Action::Unknown`], never dropped.

mod iptables;
mod model;
mod nft;

use super::{
    probe::{Probe, Unchecked},
    tools::Tools,
};
pub(crate) use iptables::LEGACY;
pub use model::{Action, Base, Chain, Hook, Match, Rule, Rules, Way};
use std::collections::BTreeSet;

/// The programs that print the rules of iptables, by family. What `iptables` means, the operator chooses; the rules of the
/// other kind count too.
const SAVES: [(&str, [&str; 3]); 2] = [
    ("ip", ["iptables-save", "iptables-legacy-save", "iptables-nft-save"]),
    ("ip6", ["ip6tables-save", "ip6tables-legacy-save", "ip6tables-nft-save"]),
];

/// Asks nft, and the programs of iptables for the matches that nft cannot print as JSON.
pub async fn gather(tools: &Tools) -> Rules {
    let saves = |(family, [chosen, legacy, nft]): (&'static str, [&'static str; 3])| async move {
        let outputs = tokio::join!(tools.output(chosen, &[]), tools.output(legacy, &[]), tools.output(nft, &[]));
        (family, outputs)
    };
    let (list, v4, v6) =
        tokio::join!(tools.output("nft", &["-j", "list", "ruleset"]), saves(SAVES[0]), saves(SAVES[1]));
    let mut rules = Rules::default();
    let mut has_iptables = false;
    for (family, (chosen, legacy, nft)) in [v4, v6] {
        has_iptables |= [&chosen, &legacy, &nft].iter().any(|output| output.is_ok());
        let own = |output: Probe<String>, more| output.map(|text| iptables::chains(&text, family, more));
        let of_legacy = own(legacy, iptables::LEGACY);
        // The one that was chosen is one of the others, where they are installed.
        let is_legacy = |text: &String| {
            let tagged = iptables::chains(text, family, iptables::LEGACY);
            of_legacy.as_ref().is_ok_and(|legacy| !legacy.is_empty() && *legacy == tagged)
        };
        let chosen = if chosen.as_ref().is_ok_and(is_legacy) { Ok(Vec::new()) } else { own(chosen, "") };
        let of_nft = own(nft, "").map(|nft| if chosen.as_ref() == Ok(&nft) { Vec::new() } else { nft });
        for seen in [chosen, of_legacy, of_nft] {
            match seen {
                Ok(chains) => rules.chains.extend(chains),
                // Only what is there can have rules; nft shows its tables too.
                Err(Unchecked::Absent(_)) => {}
                Err(why) => rules.unchecked.push(why),
            }
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
