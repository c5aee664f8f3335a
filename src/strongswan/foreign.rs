//! Connections in charon that are not ours, as its `list-conn` messages describe them.

use super::section::Section;

/// A foreign connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Foreign {
    /// Its name.
    pub name: String,
    /// The version of IKE, in charon's words: `IKEv2`, `IKEv1/2`.
    pub version: String,
    /// This end's addresses, as they were configured: `%any` too.
    pub locals: Vec<String>,
    /// The addresses of its peer, likewise.
    pub remotes: Vec<String>,
    /// Its children.
    pub children: Vec<ForeignChild>,
}

/// A child of a connection of somebody else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForeignChild {
    /// Its name.
    pub name: String,
    /// This end's selectors as charon writes them: `dynamic` too.
    pub local: Vec<String>,
    /// The peer's.
    pub remote: Vec<String>,
}

/// The connections in a `list-conn` message.
#[must_use]
pub fn read(message: &Section) -> Vec<Foreign> {
    let texts = |section: &Section, key| section.items(key).map(Into::into).collect();
    let child = |(name, child): (&str, &Section)| ForeignChild {
        name: name.into(),
        local: texts(child, "local-ts"),
        remote: texts(child, "remote-ts"),
    };
    let one = |(name, connection): (&str, &Section)| Foreign {
        name: name.into(),
        version: connection.text("version").unwrap_or_default().into(),
        locals: texts(connection, "local_addrs"),
        remotes: texts(connection, "remote_addrs"),
        children: connection.section("children").into_iter().flat_map(Section::sections).map(child).collect(),
    };
    message.sections().map(one).collect()
}
