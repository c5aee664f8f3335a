//! The keys in etcd:
//!
//! ```text
//! /cygnet/<gateway>/spec/<uuid>             what is wanted: written by planes, read by the gateway
//! /cygnet/<gateway>/status/<uuid>           what runs: written by the gateway under its lease
//! /cygnet/<gateway>/guard/ends/<vip>/<peer> which connection has these two ends    } written by planes,
//! /cygnet/<gateway>/guard/identity/<id>     which key an identity has, and where   } read by planes
//! ```

pub use cygnet::http::fleet::check_gateway;

/// What all keys begin with.
pub const ROOT: &str = "/cygnet/";

/// The beginning of the keys of a gateway's specs.
pub fn specs(gateway: &str) -> String {
    format!("{ROOT}{gateway}/spec/")
}

/// The beginning of the keys of a gateway's statuses.
pub fn statuses(gateway: &str) -> String {
    format!("{ROOT}{gateway}/status/")
}

/// The key of a spec.
pub fn spec(gateway: &str, part: &str) -> String {
    specs(gateway) + part
}

/// The key of a status.
pub fn status(gateway: &str, part: &str) -> String {
    statuses(gateway) + part
}

/// The key of the guard of two ends. A peer without an address of its own is told apart by its identity.
pub fn ends(gateway: &str, vip: &str, peer: &str, identity: Option<&str>) -> String {
    let of = identity.map_or_else(String::new, |identity| format!("/{}", escaped(identity)));
    format!("{ROOT}{gateway}/guard/ends/{}/{}{of}", escaped(vip), escaped(peer))
}

/// The key of the guard of an identity.
pub fn identity(gateway: &str, identity: &str) -> String {
    format!("{ROOT}{gateway}/guard/identity/{}", escaped(identity))
}

/// The gateway, the kind and the last part of a key.
pub fn split(key: &[u8]) -> Option<(&str, &str, &str)> {
    let rest = std::str::from_utf8(key).ok()?.strip_prefix(ROOT)?;
    let (gateway, rest) = rest.split_once('/')?;
    let (kind, part) = rest.split_once('/')?;
    Some((gateway, kind, part))
}

/// The end of the range of all keys that begin with `prefix`.
pub fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    // No prefix here ends with 0xff: all are ASCII.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// `text` as one part of a key.
fn escaped(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b':').remove(b'@');
    utf8_percent_encode(text, PLAIN).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_and_read() {
        assert_eq!(spec("g1", "aa"), "/cygnet/g1/spec/aa");
        assert_eq!(split(b"/cygnet/g1/status/aa"), Some(("g1", "status", "aa")));
        assert_eq!(split(b"/cygnet/g1"), None);
        assert_eq!(end_of("/cygnet/"), b"/cygnet0");
        assert_eq!(ends("g1", "v", "a/b", None), "/cygnet/g1/guard/ends/v/a%2Fb");
        assert_eq!(ends("g1", "v", "%any", Some("x")), "/cygnet/g1/guard/ends/v/%25any/x");
        for name in ["", "a/b", "ü", &"x".repeat(65)] {
            assert!(check_gateway(name).is_err(), "{name}");
        }
    }
}
