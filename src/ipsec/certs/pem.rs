//! PEM text (RFC 7468), as strictly as a bundle of credentials deserves. Errors name a block, never its contents.

use crate::ipsec::Invalid;
use data_encoding::BASE64;
use zeroize::Zeroizing;

/// One block.
pub struct Block {
    /// What stands between `BEGIN` and the dashes.
    pub label: &'static str,
    /// What it encodes.
    pub der: Zeroizing<Vec<u8>>,
}

impl Block {
    /// That of `der`.
    pub(super) fn new(label: &'static str, der: Vec<u8>) -> Self {
        Self { label, der: Zeroizing::new(der) }
    }
}

/// The labels that a bundle may have, and those that are refused with a reason of their own.
const LABELS: [&str; 11] = [
    CERTIFICATE,
    CRL,
    PKCS8,
    PKCS1,
    SEC1,
    ENCRYPTED,
    PKCS7,
    "EC PARAMETERS",
    "PUBLIC KEY",
    "TRUSTED CERTIFICATE",
    "CERTIFICATE REQUEST",
];
/// A certificate.
pub const CERTIFICATE: &str = "CERTIFICATE";
/// A certificate revocation list.
pub const CRL: &str = "X509 CRL";
/// A private key in PKCS #8 (RFC 5208, RFC 5958).
pub const PKCS8: &str = "PRIVATE KEY";
/// An RSA private key in PKCS #1 (RFC 8017).
pub const PKCS1: &str = "RSA PRIVATE KEY";
/// An EC private key in SEC 1 (RFC 5915).
pub const SEC1: &str = "EC PRIVATE KEY";
/// A private key under a passphrase.
pub const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
/// Certificates in a PKCS #7 message (RFC 2315).
pub const PKCS7: &str = "PKCS7";
/// What stands before an EC key of some programs; the key says it too.
pub const EC_PARAMETERS: &str = "EC PARAMETERS";

/// The blocks of `text`, in their order; what stands around them is commentary.
///
/// # Errors
/// When a block does not end, has an unknown label, is encrypted, or is not base64.
pub fn blocks(text: &str) -> Result<Vec<Block>, Invalid> {
    let mut found = Vec::new();
    let text = by_lines(text);
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) else {
            if line.starts_with("-----") {
                return Err(Invalid::new("has a line of dashes that begins no PEM block"));
            }
            continue;
        };
        let number = found.len() + 1;
        let label = LABELS.into_iter().find(|known| *known == label).ok_or_else(|| unknown(number))?;
        let end = format!("-----END {label}-----");
        let mut body = Zeroizing::new(String::with_capacity(text.len()));
        loop {
            let line = lines.next().ok_or_else(|| Invalid::new(format!("ends within its block {number} ({label})")))?;
            if line == end {
                break;
            }
            check_line(line, number, label)?;
            body.extend(line.split_whitespace());
        }
        let der = BASE64.decode(body.as_bytes()).map(Zeroizing::new);
        let der = der.map_err(|_| Invalid::new(format!("has a block {number} ({label}) that is not base64")))?;
        found.push(Block { label, der });
    }
    Ok(found)
}

/// `text` with each first and last line of a block on a line of its own. Files that are joined without a line end, that
/// begin with a byte order mark, or whose line ends became `\n` in words or blanks, have one meaning only.
fn by_lines(text: &str) -> Zeroizing<String> {
    // Its final size at once: what grows leaves copies behind. A line end goes to each side of 11 characters at least.
    let mut lines = Zeroizing::new(String::with_capacity(2 * text.len()));
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let marker = ["-----BEGIN ", "-----END "].into_iter().find(|marker| rest.starts_with(marker));
        let whole = marker.and_then(|marker| {
            let line = rest.lines().next()?;
            Some(marker.len() + line[marker.len()..].find("-----")? + 5)
        });
        let length = if let Some(length) = whole {
            lines.extend(["\n", &rest[..length], "\n"]);
            length
        } else if rest.starts_with("\\n") || rest.starts_with("\\r") {
            lines.push('\n');
            2
        } else {
            lines.extend(Some(next).filter(|next| *next != '\u{feff}'));
            next.len_utf8()
        };
        rest = &rest[length..];
    }
    lines
}

fn unknown(number: usize) -> Invalid {
    Invalid::new(format!(
        "has a block {number} of an unknown kind: a private key, certificates and X509 CRLs are what it may hold"
    ))
}

fn check_line(line: &str, number: usize, label: &str) -> Result<(), Invalid> {
    if line.starts_with("Proc-Type:") && line.contains("ENCRYPTED") {
        return Err(Invalid::new(
            "has a private key under a passphrase, in OpenSSL's old form: openssl pkcs8 -topk8 writes it anew, and cygnet \
             bundle opens that",
        ));
    }
    if line.contains('*') {
        return Err(Invalid::new(
            "has the mask of a hidden private key in place of the key: give the whole bundle, the key included",
        ));
    }
    if line.starts_with("-----") || line.contains(':') {
        return Err(Invalid::new(format!("has a block {number} ({label}) with a line that is not base64")));
    }
    Ok(())
}

/// The refusal of an encrypted key.
pub fn encrypted() -> Invalid {
    Invalid::new("has a private key under a passphrase, which this agent cannot know: cygnet bundle opens it")
}

/// `der` as a PEM block.
pub fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let digits = Zeroizing::new(BASE64.encode(der));
    // Its final size at once: what grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(digits.len() + digits.len() / 64 + 80 + 2 * label.len()));
    text.extend(["-----BEGIN ", label, "-----\n"]);
    for start in (0..digits.len()).step_by(64) {
        text.push_str(&digits[start..digits.len().min(start + 64)]);
        text.push('\n');
    }
    text.extend(["-----END ", label, "-----\n"]);
    text
}
