//! Values of the command line: options by their names in the API, keys from files, networks by their CIDRs.

use super::{
    input,
    stop::{Result, Stop},
    write_args::Values,
};
use cygnet::{
    http::{
        never,
        options::{self, Json},
    },
    nearest::nearest,
    settings::{Gateway, Vip},
    visible::visible,
};
use data_encoding::HEXLOWER;
use serde_json::{Map, Value};
use std::{io::IsTerminal, net::IpAddr, path::Path};
use zeroize::Zeroizing;

/// The longest file that is read as a key, in bytes: a bundle of certificates. More is a mistake.
const LONGEST_KEY: u64 = 256 * 1024;

impl Values {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.auth_key_file.is_none() && self.ppk_file.is_none()
    }

    /// The members that they are in a body; `more` are names beside those of the options.
    pub fn members(&self, more: &[&str]) -> Result<Map<String, Value>> {
        let mut members = Map::new();
        for text in &self.set {
            let (name, value) = option(text, more)?;
            if members.insert(name.to_owned(), value.into()).is_some() {
                return Err(Stop::usage(format!("--set names {name} twice")));
            }
        }
        if let Some(file) = &self.auth_key_file {
            members.insert("authKey".into(), key(file)?.as_str().into());
        }
        if let Some(file) = &self.ppk_file {
            members.insert("ppk".into(), key(file)?.as_str().into());
        }
        Ok(members)
    }
}

/// The option in `NAME=VALUE`. What is wrong is told without the value, which might be a key.
fn option<'a>(text: &'a str, more: &[&'a str]) -> Result<(&'a str, &'a str)> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(Stop::usage("--set needs NAME=VALUE, such as ikeEncryptionAlgorithm=aes-256"));
    };
    for (secret, option) in [("authKey", "--auth-key-file"), ("ppk", "--ppk-file")] {
        if name.eq_ignore_ascii_case(secret) {
            return Err(Stop::usage("every user of this host can read a key on the command line")
                .hint(format!("use {option} FILE, or pipe the key in with {option} -")));
        }
    }
    let known = || options::names().map(|name| -> &'a str { name }).chain(more.iter().copied());
    if let Some(name) = known().find(|known| *known == name) {
        let row = options::OPTIONS.iter().find(|row| row.name == name);
        let is_number = row.is_some_and(|row| matches!(row.json, Json::Number | Json::Range(..)));
        if is_number && value.trim().parse::<f64>().is_err() {
            return Err(Stop::usage(format!("{name} must be a whole number")));
        }
        return Ok((name, value));
    }
    let shown: String = name.chars().take(64).collect();
    if let Some(why) = never::way(name) {
        return Err(Stop::usage(format!("there is no option {}", visible(&shown))).hint(why));
    }
    let hint = match nearest(name, known()) {
        Some(known) if known.eq_ignore_ascii_case(name) => format!("its spelling is {known}"),
        Some(known) => format!("did you mean {known}?"),
        None => format!("the options are {}", known().collect::<Vec<_>>().join(", ")),
    };
    Err(Stop::usage(format!("there is no option {}", visible(&shown))).hint(hint))
}

/// The key in a file. Line ends at its end do not belong to it; all else does.
pub fn key(file: &Path) -> Result<Zeroizing<String>> {
    if file == Path::new("-") && std::io::stdin().is_terminal() {
        return Err(Stop::usage("a terminal would show the key").hint("pipe the key in, or name a file"));
    }
    let text = input::text(file, LONGEST_KEY);
    let text = text.map_err(|e| Stop::failed(format!("cannot read the key from {}: {e}", file.display())))?;
    let key = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    if key.is_empty() {
        return Err(Stop::failed(format!("{} contains no key", file.display())));
    }
    Ok(key)
}

/// A secret of 256 random bits, in hexadecimal digits.
pub fn random_hex() -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|e| Stop::failed(format!("there are no random bytes: {e}")))?;
    Ok(Zeroizing::new(HEXLOWER.encode(bytes.as_slice())))
}

/// The VIP for a connection to `peer`, if nothing is said: the only one of the settings, or of the peer's family.
pub fn vip(gateway: &Gateway, peer: &str) -> Result<String> {
    let peer: Option<IpAddr> = peer.split('%').next().and_then(|peer| peer.parse().ok());
    let all = gateway.vips.iter();
    let of_family: Vec<_> = all.filter(|vip| peer.is_none_or(|peer| peer.is_ipv4() == vip.address.is_ipv4())).collect();
    match (of_family.as_slice(), gateway.vips.as_slice()) {
        ([one], _) => Ok(one.uuid.clone()),
        // The agent says what is wrong with it.
        ([], [one]) => Ok(one.uuid.clone()),
        (_, []) => Err(Stop::usage("the settings have no VIP").hint("run `cygnet init`")),
        ([], all) => Err(choose("no VIP of the settings has the family of the peer", all.iter().collect())),
        (several, _) => {
            Err(choose(&format!("the settings have {} VIPs for this peer", several.len()), several.to_vec()))
        }
    }
}

fn choose(text: &str, vips: Vec<&Vip>) -> Stop {
    let vips: Vec<_> = vips.into_iter().map(Vip::described).collect();
    Stop::usage(text).hint(format!("choose one with --vip: {}", vips.join(", ")))
}
