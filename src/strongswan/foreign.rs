//! Connections in charon that are not ours, as its `list-conn` messages describe them.

use super::section::Section;

/// A foreign connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Foreign {
    /// Its name.
    pub name: String,
    /// The addresses of its peer, as they were configured: `%any` too.
    pub remotes: Vec<String>,
    /// The selectors of each of its children, ours and the peer's, as charon writes them: `dynamic` too.
    pub children: Vec<(Vec<String>, Vec<String>)>,
}

/// The connections in a `list-conn` message.
#[must_use]
pub fn read(message: &Section) -> Vec<Foreign> {
    let texts = |section: &Section, key| section.items(key).map(Into::into).collect();
    let one = |(name, connection): (&str, &Section)| Foreign {
        name: name.into(),
        remotes: texts(connection, "remote_addrs"),
        children: connection
            .section("children")
            .into_iter()
            .flat_map(Section::sections)
            .map(|(_, child)| (texts(child, "local-ts"), texts(child, "remote-ts")))
            .collect(),
    };
    message.sections().map(one).collect()
}
