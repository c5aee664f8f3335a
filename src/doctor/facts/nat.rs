//! The rules that give packets another source address on their way out, as nft and iptables-save list them, in one
//! form. What a rule is not understood to say is kept as [`Match::Other`], never dropped.

mod iptables;
mod nft;

use super::tools::Tools;
use ipnet::IpNet;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nat {
    /// The chains of NAT behind routing, in the order in which packets pass, and those they jump to.
    pub chains: Vec<Chain>,
    /// What could not be looked at: why.
    pub unseen: Vec<String>,
}

/// A chain of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its table: family and name.
    pub table: String,
    /// Its name.
    pub name: String,
    /// The priority of its hook, if packets come to it by themselves.
    pub priority: Option<i64>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// A rule: all matches must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What must hold.
    pub matches: Vec<Match>,
    /// What is done then.
    pub action: Action,
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// The source is in one of these networks, or (`false`) in none.
    Source(Vec<IpNet>, bool),
    /// The destination is.
    Destination(Vec<IpNet>, bool),
    /// The packet leaves by an interface of such a name (`+` or `*` at its end: any ending), or does not.
    Out(String, bool),
    /// An IPsec policy of the kernel applies to it, or none does.
    Ipsec(bool),
    /// The packet is IPv4 (or, `false`, IPv6).
    V4(bool),
    /// Something else.
    Other,
}

/// What is done with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Its source is changed; the rule's word for it.
    Translate(&'static str),
    /// The chain ends.
    Accept,
    /// The rules of that chain come next.
    Jump(String),
    /// Back to where the packet came from.
    Return,
    /// Nothing that ends the chain.
    Other,
}

/// Asks nft, and iptables-save for what nft cannot say in JSON.
pub async fn look(tools: &Tools) -> Nat {
    let (list, v4, v6) = tokio::join!(
        tools.output("nft", &["-j", "list", "ruleset"]),
        tools.output("iptables-save", &["-t", "nat"]),
        tools.output("ip6tables-save", &["-t", "nat"]),
    );
    let mut nat = Nat::default();
    let has_iptables = v4.is_ok() || v6.is_ok();
    for (seen, family) in [(v4, "ip"), (v6, "ip6")] {
        match seen {
            Ok(text) => nat.chains.extend(iptables::chains(&text, family)),
            // Only what is there can have rules; nft shows its tables too.
            Err(why) if why.ends_with("is not installed") => {}
            Err(why) => nat.unseen.push(why),
        }
    }
    match list.and_then(|text| nft::chains(&text)) {
        // The tables of iptables-nft were just read from iptables-save, which knows their matches.
        Ok(chains) => nat.chains.extend(chains.into_iter().filter(|chain| !has_iptables || !is_of_iptables(chain))),
        // With iptables alone there is nothing that only nft could show.
        Err(why) if has_iptables && why.ends_with("is not installed") => {}
        Err(why) => nat.unseen.push(why),
    }
    nat.chains.sort_by_key(|chain| chain.priority.unwrap_or(i64::MAX));
    nat
}

fn is_of_iptables(chain: &Chain) -> bool {
    chain.table == "ip nat" || chain.table == "ip6 nat"
}
