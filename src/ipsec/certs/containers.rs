//! Files that hold several parts of a bundle: PKCS #12 (RFC 7292), the certificates of a PKCS #7 message (RFC 2315), and
//! an encrypted key in PKCS #8 (RFC 5958). As other programs write BER there, it is read.

use super::{
    ber,
    passphrase::{self, Passphrase, Shut},
    pem::{self, Block},
};
use data_encoding::BASE64;
use std::borrow::Cow;
use x509_parser::asn1_rs::{Any, Oid, oid};
use zeroize::Zeroizing;

const DATA: Oid<'static> = oid!(1.2.840.113549.1.7.1);
const SIGNED_DATA: Oid<'static> = oid!(1.2.840.113549.1.7.2);
const ENCRYPTED_DATA: Oid<'static> = oid!(1.2.840.113549.1.7.6);
const KEY_BAG: Oid<'static> = oid!(1.2.840.113549.1.12.10.1.1);
const SHROUDED_KEY_BAG: Oid<'static> = oid!(1.2.840.113549.1.12.10.1.2);
const CERT_BAG: Oid<'static> = oid!(1.2.840.113549.1.12.10.1.3);
const CRL_BAG: Oid<'static> = oid!(1.2.840.113549.1.12.10.1.4);
const CONTENTS_BAG: Oid<'static> = oid!(1.2.840.113549.1.12.10.1.6);

/// Bags within bags are no deeper.
const MOST_DEPTH: u8 = 4;

type Parts = Result<Vec<Block>, Shut>;

/// The parts of the PKCS #12 file in `bytes`; `None` if it is none. An empty passphrase is also none at all.
pub(super) fn pkcs12(bytes: &[u8], passphrase: &Passphrase) -> Option<Parts> {
    let members = envelope(bytes)?;
    let (safe, mac) = (members.get(1)?, members.get(2));
    let opened = |passphrase| opened(safe, mac, passphrase);
    let first = opened(passphrase);
    if passphrase.is_empty() && first.as_ref().err() == Some(&Shut::Passphrase) {
        return Some(opened(&Passphrase::none()));
    }
    Some(first)
}

/// What `text` is in base64, as such files are sent by mail.
pub(super) fn binary(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut digits = Zeroizing::new(String::with_capacity(text.len()));
    digits.extend(text.split_ascii_whitespace());
    BASE64.decode(digits.as_bytes()).ok().filter(|der| !der.is_empty()).map(Zeroizing::new)
}

/// Whether that is the beginning of a PKCS #12 file.
pub(super) fn is_pkcs12(bytes: &[u8]) -> bool {
    envelope(bytes).is_some()
}

/// The version, the contents and the MAC of a PKCS #12 file.
fn envelope(bytes: &[u8]) -> Option<Vec<Any<'_>>> {
    let members = ber::members(bytes)?;
    let version = members.first()?.clone().u32().ok()?;
    (version == 3 && ber::first_oid(members.get(1)?)? == DATA).then_some(members)
}

fn opened(safe: &Any<'_>, mac: Option<&Any<'_>>, passphrase: &Passphrase) -> Parts {
    let content = content(safe)?;
    if let Some(mac) = mac
        && !passphrase::is_sealed(mac, passphrase, &content)?
    {
        return Err(Shut::Passphrase);
    }
    let mut found = Vec::new();
    for info in ber::members(&content).ok_or(Shut::Damaged)? {
        match ber::first_oid(&info) {
            Some(data) if data == DATA => bags(&self::content(&info)?, passphrase, MOST_DEPTH, &mut found)?,
            Some(data) if data == ENCRYPTED_DATA => {
                bags(&decrypted(&info, passphrase)?, passphrase, MOST_DEPTH, &mut found)?;
            }
            Some(other) => return Err(Shut::Unknown(other.to_id_string())),
            None => return Err(Shut::Damaged),
        }
    }
    Ok(found)
}

/// What a content info of the type `data` holds.
fn content<'a>(info: &Any<'a>) -> Result<Cow<'a, [u8]>, Shut> {
    let members = ber::values(info.data).ok_or(Shut::Damaged)?;
    let inner = ber::tagged(&members, 0).and_then(ber::values).ok_or(Shut::Damaged)?;
    inner.first().map(ber::octets).ok_or(Shut::Damaged)
}

/// What one of the type `encryptedData` holds (RFC 2315, section 13).
fn decrypted(info: &Any<'_>, passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, Shut> {
    let members = ber::values(info.data).ok_or(Shut::Damaged)?;
    let data = ber::tagged(&members, 0).and_then(ber::members).ok_or(Shut::Damaged)?;
    let content = data.get(1).and_then(|content| ber::values(content.data)).ok_or(Shut::Damaged)?;
    let [_kind, algorithm, cipher] = content.as_slice() else { return Err(Shut::Damaged) };
    passphrase::open(algorithm, passphrase, &ber::octets(cipher))
}

fn bags(bytes: &[u8], passphrase: &Passphrase, depth: u8, found: &mut Vec<Block>) -> Result<(), Shut> {
    for bag in ber::members(bytes).ok_or(Shut::Damaged)? {
        let members = ber::values(bag.data).ok_or(Shut::Damaged)?;
        let kind = members.first().and_then(ber::oid).ok_or(Shut::Damaged)?;
        let value = ber::tagged(&members, 0).ok_or(Shut::Damaged)?;
        // The value of a certificate's or list's bag: an identifier, and it as octets.
        let octets = || {
            let members = ber::members(value)?;
            let inner = ber::tagged(&members, 0).and_then(ber::values)?;
            inner.first().map(|octets| ber::octets(octets).into_owned())
        };
        match kind {
            kind if kind == KEY_BAG => found.push(Block::new(pem::PKCS8, value.to_vec())),
            kind if kind == SHROUDED_KEY_BAG => {
                found.push(encrypted_key(value, passphrase).unwrap_or(Err(Shut::Damaged))?);
            }
            kind if kind == CERT_BAG => found.push(Block::new(pem::CERTIFICATE, octets().ok_or(Shut::Damaged)?)),
            kind if kind == CRL_BAG => found.push(Block::new(pem::CRL, octets().ok_or(Shut::Damaged)?)),
            kind if kind == CONTENTS_BAG && depth > 0 => bags(value, passphrase, depth - 1, found)?,
            // Other secrets are of no use here.
            _ => {}
        }
    }
    Ok(())
}

/// The encrypted key in `bytes`; `None` if it is none.
pub(super) fn encrypted_key(bytes: &[u8], passphrase: &Passphrase) -> Option<Result<Block, Shut>> {
    let members = ber::members(bytes)?;
    let [algorithm, cipher] = members.as_slice() else { return None };
    passphrase::is_scheme(algorithm).then(|| {
        let key = passphrase::open(algorithm, passphrase, &ber::octets(cipher))?;
        // By chance a wrong passphrase fills the last block up as the right one does.
        ber::members(&key).filter(|members| members.len() >= 3).ok_or(Shut::Passphrase)?;
        Ok(Block { label: pem::PKCS8, der: key })
    })
}

/// The certificates and lists of the PKCS #7 message in `bytes`; `None` if it is none.
pub(super) fn pkcs7(bytes: &[u8]) -> Option<Vec<Block>> {
    let info = ber::members(bytes)?;
    if ber::oid(info.first()?)? != SIGNED_DATA {
        return None;
    }
    let signed = ber::tagged(&info, 0).and_then(ber::members)?;
    let of = |number, label: &'static str| {
        let whole = ber::tagged(&signed, number).map_or(Some(Vec::new()), ber::wholes)?;
        Some(whole.into_iter().map(move |der| Block::new(label, der.to_vec())).collect::<Vec<_>>())
    };
    Some([of(0, pem::CERTIFICATE)?, of(1, pem::CRL)?].into_iter().flatten().collect())
}
