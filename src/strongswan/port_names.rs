//! The selectors that charon lists, with numbers in place of names. charon prints a protocol or port by the name that the
//! host's `/etc/protocols` or `/etc/services` has for it (`[udp/l2f]` for port 1701 in Debian), so the same files tell what
//! it means.

use super::{observe, section::Section};
use crate::{
    disk::open::{self, Kind},
    ipsec::{
        IkeSa,
        next_layer::{protocol_name, protocol_number},
    },
};
use std::{
    borrow::Cow,
    collections::HashMap,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// What the files say; none before the first name was met.
static NAMES: Mutex<Option<Names>> = Mutex::new(None);

/// The numbers of names.
#[derive(Debug, Default)]
struct Names {
    protocols: HashMap<String, u8>,
    /// By name and protocol.
    services: HashMap<(String, String), u16>,
}

/// The IKE SAs of a list, with numbers in their selectors.
pub fn ike_sas(item: &Section) -> Vec<IkeSa> {
    let mut found = observe::ike_sas(item);
    for child in found.iter_mut().flat_map(|ike| &mut ike.children) {
        for side in [&mut child.local, &mut child.remote] {
            if side.iter().any(|selector| selector.ends_with(']')) {
                *side = side.iter().map(|selector| numbered(selector).into_owned()).collect();
            }
        }
    }
    found
}

/// `selector` as charon lists it, with the number of its port and the model's spelling of its protocol. A name that is in no
/// file stays.
fn numbered(selector: &str) -> Cow<'_, str> {
    let Some((network, layer)) = selector.strip_suffix(']').and_then(|text| text.split_once('[')) else {
        return Cow::Borrowed(selector);
    };
    let (protocol, port) = layer.split_once('/').map_or((layer, None), |(protocol, port)| (protocol, Some(port)));
    let number = protocol_number(protocol).or_else(|| look_up(|names| names.protocols.get(protocol).copied()));
    let spelt = number.map_or_else(|| protocol.to_owned(), protocol_name);
    let Some(port) = port else { return Cow::Owned(format!("{network}[{spelt}]")) };
    let is_number = port.starts_with(|c: char| c.is_ascii_digit()) || port == "OPAQUE";
    let key = (port.to_owned(), protocol.to_owned());
    let number = if is_number { None } else { look_up(|names| names.services.get(&key).copied()) };
    let port = number.map_or_else(|| port.to_owned(), |number| number.to_string());
    Cow::Owned(format!("{network}[{spelt}/{port}]"))
}

/// What `look` finds; the files are read again for a name that was not in them, since charon reads them each time.
fn look_up<T>(look: impl Fn(&Names) -> Option<T>) -> Option<T> {
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    names.as_ref().and_then(&look).or_else(|| look(names.insert(Names::read())))
}

impl Names {
    fn read() -> Self {
        let text = |path: &str| {
            open::read_to_string(Path::new(path), Kind::Operator).unwrap_or_else(|error| {
                tracing::debug!(path, %error, "names of protocols and ports are unknown");
                String::new()
            })
        };
        Self::parse(&text("/etc/protocols"), &text("/etc/services"))
    }

    /// The first of several lines with one name counts, as for the C library.
    fn parse(protocols: &str, services: &str) -> Self {
        let mut names = Self::default();
        for (name, number) in lines(protocols) {
            if let Ok(number) = number.parse() {
                names.protocols.entry(name.to_owned()).or_insert(number);
            }
        }
        for (name, what) in lines(services) {
            if let Some((port, protocol)) = what.split_once('/')
                && let Ok(port) = port.parse()
            {
                names.services.entry((name.to_owned(), protocol.to_owned())).or_insert(port);
            }
        }
        names
    }
}

/// The first two words of each line.
fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        words.next().zip(words.next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_numbers() {
        let names = Names::parse(
            "# a comment\nip 0 IP\nospf\t89 OSPFIGP # routing\nbroken\nhuge 300\n",
            "l2f\t\t1701/udp\tl2tp\nhttps 443/tcp\nhttps 443/udp\nhttps 8443/tcp\nhuge 70000/tcp\nodd\n",
        );
        let mut protocols: Vec<_> = names.protocols.iter().map(|(name, number)| (name.as_str(), *number)).collect();
        protocols.sort_unstable();
        assert_eq!(protocols, [("ip", 0), ("ospf", 89)]);
        let port = |name: &str, protocol: &str| names.services.get(&(name.into(), protocol.into())).copied();
        assert_eq!(
            [port("l2f", "udp"), port("https", "tcp"), port("https", "udp")],
            [Some(1701), Some(443), Some(443)]
        );
        assert_eq!([port("l2f", "tcp"), port("huge", "tcp"), port("odd", "tcp")], [None; 3]);
    }

    #[test]
    fn selectors_are_spelt_as_the_model_has_them() {
        for text in ["10.1.0.0/24", "10.1.0.0..10.1.0.9", "10.1.0.0/24[gre]", "10.1.0.0/24[udp/1701]", "10.1.0.0/24["] {
            assert_eq!(numbered(text), text);
        }
        assert_eq!(numbered("10.1.0.0/24[47]"), "10.1.0.0/24[gre]");
        assert_eq!(numbered("10.1.0.0/24[17/1000-2000]"), "10.1.0.0/24[udp/1000-2000]");
        assert_eq!(numbered("10.1.0.0/24[icmp/8(0)]"), "10.1.0.0/24[icmp/8(0)]");
        assert_eq!(numbered("10.1.0.0/24[udp/no-such-name]"), "10.1.0.0/24[udp/no-such-name]");
    }
}
