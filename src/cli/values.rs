//! Values of the command line: options by their names in the API, keys from files, networks by their CIDRs.

use super::{
    input,
    stop::{Result, Stop},
    write_args::Values,
};
use cygnet::{
    http::{never, options},
    nearest::nearest,
    settings::Gateway,
    visible::visible,
};
use serde_json::{Map, Value};
use std::{io::IsTerminal, path::Path};
use zeroize::Zeroizing;

/// The longest file that is read as a key, in bytes: a bundle of certificates. More is a mistake.
const LONGEST_KEY: u64 = 256 * 1024;

impl Values {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.auth_key_file.is_none()
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
        Ok(members)
    }
}

/// The option in `NAME=VALUE`. What is wrong is told without the value, which might be a key.
fn option<'a>(text: &'a str, more: &[&'a str]) -> Result<(&'a str, &'a str)> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(Stop::usage("--set needs NAME=VALUE, such as ikeEncryptionAlgorithm=aes-256"));
    };
    if name.eq_ignore_ascii_case("authKey") {
        return Err(Stop::usage("every user of this host can read a key on the command line")
            .hint("use --auth-key-file FILE, or pipe the key in with --auth-key-file -"));
    }
    let known = || options::names().map(|name| -> &'a str { name }).chain(more.iter().copied());
    if let Some(name) = known().find(|known| *known == name) {
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
fn key(file: &Path) -> Result<Zeroizing<String>> {
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

/// The uuid of a network of this gateway: `text` is one, or a CIDR that just one network has. Of what the settings do
/// not know the agent is asked all the same: it may run with others.
pub fn network(gateway: &Gateway, text: &str) -> Result<String> {
    let networks = gateway.l3_networks.iter();
    let found: Vec<_> = networks.filter(|net| net.cidrs.iter().any(|cidr| cidr.to_string() == text)).collect();
    match found.as_slice() {
        [] => Ok(text.to_owned()),
        [one] => Ok(one.uuid.clone()),
        _ => Err(Stop::failed(format!("several networks of the settings have {text}")).hint("give the uuid of one")),
    }
}

/// The uuid of an address of this gateway; of the only one, if nothing is said.
pub fn vip(gateway: &Gateway, text: Option<&str>) -> Result<String> {
    let Some(text) = text else {
        return match gateway.vips.as_slice() {
            [one] => Ok(one.uuid.clone()),
            vips => Err(Stop::usage(format!("the settings have {} addresses: choose one with --vip", vips.len()))),
        };
    };
    let found = gateway.vips.iter().find(|vip| vip.address.to_string() == text);
    Ok(found.map_or_else(|| text.to_owned(), |vip| vip.uuid.clone()))
}
