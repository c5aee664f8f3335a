//! Which characters the names in identities have.

/// Letters, digits, `-`, `_` and `.`: nothing that strongSwan's identity parser gives a meaning to.
pub(super) fn is_host_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// What is a host name and cannot be meant as an address: its last label is no number (RFC 1123, section 2.1).
pub(super) fn is_known_as_host(text: &str) -> bool {
    let name = text.strip_prefix('@').unwrap_or(text);
    let labels: Vec<_> = name.split('.').collect();
    let is_number = |label: &str| {
        let hexadecimal = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
        label.bytes().all(|b| b.is_ascii_digit())
            || hexadecimal.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    is_host_name(name)
        && labels.iter().all(|label| label.starts_with(|c: char| c.is_ascii_alphanumeric()))
        && !labels.last().is_none_or(|last| is_number(last))
}

/// What peers send as `ID_FQDN` though it is no host name: a mail address, a path.
pub(super) fn is_domain_like(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.@+/".contains(&b))
}

/// A mail address: a user and a host name.
pub(super) fn is_mail_address(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(user, domain)| is_mail_user(user) && is_host_name(domain))
}

/// The printable characters of a mail address's local part, without quotes and the leading `@` or `#` of key ids.
fn is_mail_user(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b))
}
