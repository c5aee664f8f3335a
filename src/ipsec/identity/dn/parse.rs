//! The text of a distinguished name, as charon, OpenSSL, RFC 4514 and people write it, taken apart.

use crate::ipsec::Invalid;
use data_encoding::HEXLOWER_PERMISSIVE;

/// An attribute as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    /// Its type: a word, or an object identifier in digits.
    pub(super) word: String,
    /// Its value.
    pub(super) value: Value,
}

/// The value of an attribute.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// What it says.
    Text(String),
    /// Its encoding.
    Encoded(Vec<u8>),
}

/// The attributes of each relative name, in the order of the text.
///
/// # Errors
/// When a part is no attribute, or an escape or a quote has no end.
pub(super) fn names(text: &str) -> Result<Vec<Vec<Attribute>>, Invalid> {
    let text = text.trim();
    if let Some(slashed) = text.strip_prefix('/') {
        return after_slashes(slashed);
    }
    let (mut names, mut rest, mut joins) = (Vec::<Vec<Attribute>>::new(), text, false);
    loop {
        let (word, behind) = rest.split_once('=').ok_or_else(|| no_attribute(rest))?;
        let (value, end) = value(behind)?;
        let attribute = Attribute { word: word_of(word)?, value };
        match names.last_mut().filter(|_| joins) {
            Some(same) => same.push(attribute),
            None => names.push(vec![attribute]),
        }
        let Some(separator) = end.chars().next() else { return Ok(names) };
        joins = separator == '+';
        rest = &end[1..];
    }
}

/// One attribute, in whose value no character has a meaning.
///
/// # Errors
/// When it has no `=`.
pub(super) fn attribute(part: &str) -> Result<Attribute, Invalid> {
    let (word, value) = part.split_once('=').ok_or_else(|| no_attribute(part))?;
    Ok(Attribute { word: word_of(word)?, value: Value::Text(value.trim().to_owned()) })
}

/// `CH/O=Example/CN=gw`: a slash that no attribute follows belongs to the value.
fn after_slashes(text: &str) -> Result<Vec<Vec<Attribute>>, Invalid> {
    let mut parts: Vec<String> = Vec::new();
    for part in text.split('/') {
        match parts.last_mut() {
            Some(last) if !begins_attribute(part) => last.extend(["/", part]),
            _ => parts.push(part.to_owned()),
        }
    }
    parts.iter().map(|part| attribute(part).map(|attribute| vec![attribute])).collect()
}

/// The value at the beginning of `text`, and what stands behind it: nothing, or a separator and more.
fn value(text: &str) -> Result<(Value, &str), Invalid> {
    let text = text.trim_start();
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, rest) = until(quoted, |rest| rest.starts_with('"'))?;
        let rest =
            rest.strip_prefix('"').ok_or_else(|| Invalid::new("has a double quote without an end"))?.trim_start();
        return match rest.chars().next() {
            None | Some(',' | ';' | '+') => Ok((Value::Text(value), rest)),
            Some(_) => Err(Invalid::new(format!("has {rest:?} behind a value in double quotes"))),
        };
    }
    let is_end = |rest: &str| match rest.chars().next() {
        Some(',' | ';' | '+') => {
            let behind = rest[1..].trim_start();
            begins_attribute(behind) || behind.is_empty() || behind.starts_with([',', ';', '+'])
        }
        _ => false,
    };
    let (value, rest) = until(text, is_end)?;
    let value = match value.strip_prefix('#') {
        Some(digits) => Value::Encoded(encoded(digits)?),
        None => Value::Text(value),
    };
    Ok((value, rest))
}

/// What stands before the first place where `is_end`, without escapes and without the blanks at its end.
fn until(text: &str, is_end: impl Fn(&str) -> bool) -> Result<(String, &str), Invalid> {
    let (mut value, mut rest, mut kept) = (Vec::new(), text, 0);
    while !rest.is_empty() && !is_end(rest) {
        let (bytes, taken) = if let Some(escaped) = rest.strip_prefix('\\') {
            unescaped(escaped).map(|(bytes, taken)| (bytes, taken + 1))?
        } else {
            let first = rest.chars().next().map_or(1, char::len_utf8);
            (rest.as_bytes()[..first].to_vec(), first)
        };
        let is_blank = taken == 1 && bytes == b" ";
        value.extend(bytes);
        if !is_blank {
            kept = value.len();
        }
        rest = &rest[taken..];
    }
    value.truncate(kept);
    let value = String::from_utf8(value).map_err(|_| Invalid::new("has escaped bytes that are not UTF-8"))?;
    Ok((value, rest))
}

/// What is behind a backslash (RFC 4514, section 2.4): two hexadecimal digits, or a character. And how long it is.
fn unescaped(text: &str) -> Result<(Vec<u8>, usize), Invalid> {
    let digits = text.get(..2).and_then(|digits| HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok());
    match (digits, text.chars().next()) {
        (Some(byte), _) => Ok((byte, 2)),
        (None, Some(c)) => Ok((c.to_string().into_bytes(), c.len_utf8())),
        (None, None) => Err(Invalid::new("ends with a backslash")),
    }
}

/// The one DER value whose bytes the digits are.
fn encoded(digits: &str) -> Result<Vec<u8>, Invalid> {
    let wrong = || Invalid::new("has a value after # that is not the hexadecimal digits of a DER encoding");
    let der = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| wrong())?;
    match x509_parser::der_parser::parse_der(&der) {
        Ok(([], _)) => Ok(der),
        _ => Err(wrong()),
    }
}

/// Whether an attribute begins here: a word or an object identifier, and `=`.
fn begins_attribute(text: &str) -> bool {
    text.split_once('=').is_some_and(|(word, _)| word_of(word).is_ok())
}

fn word_of(word: &str) -> Result<String, Invalid> {
    let word = word.trim();
    let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
    if is_word { Ok(word.to_owned()) } else { Err(no_attribute(word)) }
}

fn no_attribute(part: &str) -> Invalid {
    Invalid::new(format!("{:?} is not an attribute of a distinguished name, such as CN=gw", part.trim()))
}

#[cfg(test)]
mod tests {
    use super::super::Dn;
    use super::*;

    fn parts(text: &str) -> Vec<Vec<(String, String)>> {
        let shown = |attribute: Attribute| match attribute.value {
            Value::Text(text) => (attribute.word, text),
            Value::Encoded(der) => (attribute.word, format!("{der:02x?}")),
        };
        let names = names(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        names.into_iter().map(|name| name.into_iter().map(shown).collect()).collect()
    }

    /// The one value of O, in a name of three.
    fn organisation(text: &str) -> String {
        let parts = parts(text);
        assert_eq!(parts.len(), 3, "{text}: {parts:?}");
        parts[1][0].1.clone()
    }

    #[test]
    fn a_comma_in_a_value_is_read_in_each_spelling() {
        for text in [
            "C=US, O=Example, Inc., CN=gw",
            "C=US,O=Example\\, Inc.,CN=gw",
            "C=US, O=\"Example, Inc.\", CN=gw",
            "C = US, O = \"Example, Inc.\", CN = gw",
            "C=US,O=Example\\2C Inc.,CN=gw",
            "/C=US/O=Example, Inc./CN=gw",
            "C=US; O=Example, Inc.; CN=gw",
        ] {
            assert_eq!(organisation(text), "Example, Inc.", "{text}");
            assert_eq!(Dn::new(text), Dn::new("C=US, O=Example, Inc., CN=gw"), "{text}");
        }
        assert_eq!(organisation("C=US, O=a\\\\b \\\" c\\ , CN=gw"), "a\\b \" c ");
        assert_eq!(organisation("/C=US/O=a/b/CN=gw"), "a/b");
        assert_eq!(organisation("C=US, O=A + B, CN=gw"), "A + B");
        assert_eq!(organisation("C=US, O=caf\\c3\\a9, CN=gw"), "caf\u{e9}");
    }

    #[test]
    fn several_values_stand_in_one_set() {
        let one = Dn::new("O=x, CN=gw + serialNumber=42").expect("a name");
        assert_eq!(one, Dn { text: one.text.clone(), ..Dn::new("O=x, serialNumber=42+CN=gw").expect("a name") });
        let two = Dn::new("O=x, CN=gw, serialNumber=42").expect("a name");
        assert_ne!(one.der, two.der);
        assert_eq!(one.text, "O=x, CN=gw, serialNumber=42", "as charon prints it");
        // Before, it was a character like others, and it is in older records.
        assert_eq!(Dn::stored("CN=gw+serialNumber=42").expect("a name").text, "CN=gw+serialNumber=42");
    }

    #[test]
    fn a_type_may_be_in_digits_and_a_value_in_der() {
        assert_eq!(Dn::new("2.5.4.3=gw").expect("a name").der, Dn::new("CN=gw").expect("a name").der);
        assert_eq!(Dn::new("OID.2.5.4.3=#0c026777").expect("a name").der, Dn::new("CN=gw").expect("a name").der);
        assert_eq!(Dn::new("E=a@b").expect("a name").der, Dn::new("emailAddress=a@b").expect("a name").der);
        assert_eq!(Dn::new("S=x").expect("a name").der, Dn::new("ST=x").expect("a name").der);
        for word in
            ["unstructuredName", "unstructuredAddress", "dnQualifier", "postalCode", "pseudonym", "1.3.6.1.4.1.311.1"]
        {
            assert!(Dn::new(&format!("{word}=x, CN=gw")).is_ok(), "{word}");
        }
    }
}
