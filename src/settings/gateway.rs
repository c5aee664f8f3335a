//! `[gateway]`: the VIPs and local networks of this gateway, and how people and programs name them.

use super::files::Step;
use data_encoding::HEXLOWER;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, net::IpAddr};

/// The most VIPs or networks that an error lists.
const LISTED: usize = 20;
/// The bytes of a uuid.
const UUID: usize = 16;

/// The addresses and networks of this gateway, with the management plane's uuids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Public addresses.
    #[serde(default)]
    pub vips: Vec<Vip>,
    /// Networks behind this gateway.
    #[serde(default)]
    pub l3_networks: Vec<L3Network>,
}

/// A public address of this gateway.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vip {
    /// Its uuid in the management plane. One that the settings leave out follows from the name, else from the address.
    #[serde(default, deserialize_with = "filled")]
    pub uuid: String,
    /// What people call it.
    #[serde(default)]
    pub name: Option<String>,
    /// The address.
    pub address: IpAddr,
}

/// A network behind this gateway.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct L3Network {
    /// Its uuid in the management plane. One that the settings leave out follows from the name, else from the prefixes.
    #[serde(default, deserialize_with = "filled")]
    pub uuid: String,
    /// What people call it.
    #[serde(default)]
    pub name: Option<String>,
    /// Its prefixes.
    pub cidrs: Vec<IpNet>,
}

/// A text that is not empty.
fn filled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Err(D::Error::custom("the uuid is empty: leave it out, or give one")) } else { Ok(text) }
}

impl Vip {
    /// Its name as answers show it; of one without a name, the address.
    #[must_use]
    pub fn shown_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.address.to_string())
    }

    /// Its name, address and uuid, for a list of what there is.
    #[must_use]
    pub fn described(&self) -> String {
        described(self.name.as_deref(), &self.address.to_string(), &self.uuid)
    }
}

impl L3Network {
    /// Its name as answers show it; of one without a name, the prefixes.
    #[must_use]
    pub fn shown_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.cidr_list())
    }

    /// Its name, prefixes and uuid, for a list of what there is.
    #[must_use]
    pub fn described(&self) -> String {
        described(self.name.as_deref(), &self.cidr_list(), &self.uuid)
    }

    fn cidr_list(&self) -> String {
        self.cidrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }
}

fn described(name: Option<&str>, value: &str, uuid: &str) -> String {
    name.map_or_else(|| format!("{value} ({uuid})"), |name| format!("{name} ({value}, {uuid})"))
}

impl Gateway {
    /// The public address with this uuid.
    #[must_use]
    pub fn vip(&self, uuid: &str) -> Option<&Vip> {
        self.vips.iter().find(|vip| vip.uuid == uuid)
    }

    /// The local network with this uuid.
    #[must_use]
    pub fn l3_network(&self, uuid: &str) -> Option<&L3Network> {
        self.l3_networks.iter().find(|network| network.uuid == uuid)
    }

    /// The public address that `text` names: by its uuid, else its name, else its address.
    ///
    /// # Errors
    /// If none or several are meant: those that there are.
    pub fn find_vip(&self, text: &str) -> Result<&Vip, String> {
        let address: Option<IpAddr> = text.parse().ok();
        let found = self.vip(text).map_or_else(
            || one(&self.vips, |vip| vip.name.as_deref() == Some(text), |vip| Some(vip.address) == address),
            Some,
        );
        found.ok_or_else(|| known("VIPs", self.vips.iter().map(Vip::described)))
    }

    /// The local network that `text` names: by its uuid, else its name, else one of its prefixes.
    ///
    /// # Errors
    /// If none or several are meant: those that there are.
    pub fn find_l3_network(&self, text: &str) -> Result<&L3Network, String> {
        let cidr: Option<IpNet> = text.parse().ok();
        let has = |network: &L3Network| cidr.is_some_and(|cidr| network.cidrs.contains(&cidr));
        let found = self
            .l3_network(text)
            .map_or_else(|| one(&self.l3_networks, |network| network.name.as_deref() == Some(text), has), Some);
        found.ok_or_else(|| known("local networks", self.l3_networks.iter().map(L3Network::described)))
    }

    /// Gives those without a uuid one that stays the same as long as their name, else their value, does.
    pub(super) fn fill_uuids(&mut self) {
        for vip in self.vips.iter_mut().filter(|vip| vip.uuid.is_empty()) {
            vip.uuid = uuid_of("vip", &vip.shown_name());
        }
        for network in self.l3_networks.iter_mut().filter(|network| network.uuid.is_empty()) {
            network.uuid = uuid_of("network", &network.shown_name());
        }
    }

    /// What is wrong, and where.
    pub(super) fn wrong(&self) -> Vec<(Vec<Step>, String)> {
        let vips = self.vips.iter().map(|vip| (vip.uuid.as_str(), vip.name.as_deref()));
        let networks = self.l3_networks.iter().map(|network| (network.uuid.as_str(), network.name.as_deref()));
        let mut wrong = names("vips", vips);
        wrong.extend(names("l3_networks", networks));
        for (at, network) in self.l3_networks.iter().enumerate() {
            for net in network.cidrs.iter().filter(|net| net.addr() != net.network()) {
                let text = format!("gateway.l3_networks: {net} has host bits set, the network is {}", net.trunc());
                wrong.push((place("l3_networks", at, "cidrs"), text));
            }
        }
        wrong
    }
}

/// The uuid of something that the settings give none; it follows from the kind and the name.
#[must_use]
pub fn uuid_of(kind: &str, what: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(format!("cygnet {kind} {what}"))[..UUID])
}

/// The only item for which `first` holds; if it holds for none, the only one for which `second` does.
fn one<T>(items: &[T], first: impl Fn(&T) -> bool, second: impl Fn(&T) -> bool) -> Option<&T> {
    let only = |test: &dyn Fn(&T) -> bool| {
        let mut found = items.iter().filter(|item| test(item));
        found.next().filter(|_| found.next().is_none())
    };
    if items.iter().any(&first) { only(&first) } else { only(&second) }
}

fn known(what: &str, items: impl Iterator<Item = String>) -> String {
    match items.collect::<Vec<_>>() {
        none if none.is_empty() => format!("the settings have no {what}: run `cygnet init`"),
        mut all => {
            let more = if all.len() > LISTED { ", ..." } else { "" };
            all.truncate(LISTED);
            format!("the {what} of the settings are: {}{more}", all.join(", "))
        }
    }
}

fn place(list: &str, at: usize, member: &str) -> Vec<Step> {
    vec!["gateway".into(), list.into(), Step::Item(at), member.into()]
}

/// Uuids and names that are duplicated, or that would be taken for something else.
fn names<'a>(list: &str, items: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Vec<(Vec<Step>, String)> {
    let (mut wrong, mut uuids, mut seen) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for (at, (uuid, name)) in items.enumerate() {
        if !uuids.insert(uuid) {
            let text = format!("gateway.{list}: the uuid \"{uuid}\" is duplicated");
            wrong.push((place(list, at, "uuid"), text));
        }
        let Some(name) = name else { continue };
        let is_value = name.parse::<IpAddr>().is_ok() || name.parse::<IpNet>().is_ok();
        let why = match name {
            _ if !seen.insert(name) => "is duplicated",
            _ if name.trim().is_empty() || name.trim() != name => "is empty, or begins or ends with a blank",
            _ if is_value => "is an address or a CIDR; choose another name",
            _ if name.contains(char::is_control) => "has a control character",
            _ => continue,
        };
        wrong.push((place(list, at, "name"), format!("gateway.{list}: the name {name:?} {why}")));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway() -> Gateway {
        let mut gateway: Gateway = toml::from_str(
            "vips = [{ name = \"wan\", address = \"192.0.2.1\" }, { uuid = \"wan\", address = \"192.0.2.2\" },\n\
             { uuid = \"u3\", address = \"192.0.2.2\" }]\n\
             l3_networks = [{ name = \"lan\", cidrs = [\"10.1.0.0/24\", \"10.2.0.0/24\"] }, { cidrs = [\"10.2.0.0/24\"] }]",
        )
        .expect("valid");
        gateway.fill_uuids();
        gateway
    }

    #[test]
    fn they_are_found_by_uuid_name_and_value() {
        let gateway = gateway();
        let vip = |text: &str| gateway.find_vip(text).map(|vip| vip.address.to_string());
        assert_eq!(vip("192.0.2.1"), Ok("192.0.2.1".into()));
        assert_eq!(vip("wan"), Ok("192.0.2.2".into()), "a uuid wins over a name");
        let list = vip("192.0.2.2").expect_err("two have it");
        assert!(list.contains("wan (192.0.2.1, ") && list.contains("192.0.2.2 (u3)"), "{list}");
        let net = |text: &str| gateway.find_l3_network(text).map(|net| net.name.clone());
        assert_eq!((net("lan"), net("10.1.0.0/24")), (Ok(Some("lan".into())), Ok(Some("lan".into()))));
        assert!(net("10.2.0.0/24").is_err() && net("10.9.0.0/24").is_err());
        assert!(Gateway::default().find_vip("x").expect_err("none").contains("cygnet init"));
    }

    #[test]
    fn a_uuid_that_is_left_out_follows_from_the_name_or_the_value() {
        let (one, again) = (gateway(), gateway());
        assert_eq!(one.vips, again.vips);
        let uuids: BTreeSet<_> = one.l3_networks.iter().map(|network| network.uuid.clone()).collect();
        assert!(uuids.len() == 2 && uuids.iter().all(|uuid| uuid.len() == 32), "{uuids:?}");
    }
}
