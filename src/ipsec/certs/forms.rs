//! Private keys that charon can use and the library here cannot: RSA keys for RSA-PSS alone (RFC 4055), and keys on P-521.
//! They are read where they lie, so that nothing of them is copied.

use super::{ber, pem, signature::PSS};
use x509_parser::asn1_rs::{Any, FromBer, Oid, oid};

/// What such a key holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form<'a> {
    /// The same in PKCS #1.
    Pss(&'a [u8]),
    /// The bits of the public key, if it has them.
    P521(Option<&'a [u8]>),
}

const EC: Oid<'static> = oid!(1.2.840.10045.2.1);
const P521: Oid<'static> = oid!(1.3.132.0.35);

/// The form of the key in `der`, if it is one of them.
pub(super) fn of<'a>(label: &str, der: &'a [u8]) -> Option<Form<'a>> {
    let key = ber::members(der)?;
    if label == pem::SEC1 {
        let (_, curve) = Any::from_ber(ber::tagged(&key, 0)?).ok()?;
        return (ber::oid(&curve)? == P521).then(|| Form::P521(public(&key)));
    }
    let [_version, algorithm, private, ..] = key.as_slice() else { return None };
    let algorithm = ber::values(algorithm.data)?;
    let (kind, parameters) = algorithm.split_first()?;
    match ber::oid(kind)? {
        pss if pss == PSS => Some(Form::Pss(private.data)),
        ec if ec == EC && ber::oid(parameters.first()?)? == P521 => {
            Some(Form::P521(public(&ber::members(private.data)?)))
        }
        _ => None,
    }
}

/// The public key within an EC key (RFC 5915): a bit string of whole bytes.
fn public<'a>(key: &[Any<'a>]) -> Option<&'a [u8]> {
    let (_, bits) = Any::from_ber(ber::tagged(key, 1)?).ok()?;
    bits.data.split_first().filter(|(unused, _)| **unused == 0).map(|(_, bits)| bits)
}
