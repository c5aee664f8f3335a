//! Finds files that import each other in a circle. A file imports another when it names what is defined there: what is
//! taken from a parent that only re-exports it belongs to the file that has it, and a parent that names its children for
//! others (`mod`, `pub use`) imports nothing.

use super::paths::{Source, mentions, named, resolve, without_strings};
use std::collections::{BTreeMap, BTreeSet};

/// What each module imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// The circles among `sources`: the modules of each, sorted.
pub fn circles(sources: &[Source]) -> BTreeSet<Vec<String>> {
    let imports = imports(sources);
    let reach: BTreeMap<_, _> = imports.keys().map(|module| (module, reachable(&imports, module))).collect();
    let circle = |module: &String| {
        let others = reach[module].iter().filter(|other| reach.get(other).is_some_and(|back| back.contains(module)));
        others.cloned().collect::<Vec<_>>()
    };
    imports.keys().map(circle).filter(|circle| !circle.is_empty()).collect()
}

/// The edges of a circle, for the message.
pub fn edges(sources: &[Source], circle: &[String]) -> String {
    let imports = imports(sources);
    let line = |module: &String| {
        let others: Vec<_> =
            imports[module].iter().filter(|other| circle.contains(other)).map(String::as_str).collect();
        format!("    {module} imports {}\n", others.join(", "))
    };
    circle.iter().map(line).collect()
}

/// All that can be reached from `module` over one import or more.
fn reachable(imports: &Imports, module: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![module];
    while let Some(module) = left.pop() {
        for other in imports.get(module).into_iter().flatten() {
            if found.insert(other.clone()) {
                left.push(other);
            }
        }
    }
    found
}

fn imports(sources: &[Source]) -> Imports {
    // The root of the library has names only, and nobody imports the program's.
    let sources = || sources.iter().filter(|source| !["lib", "main"].contains(&source.module.as_str()));
    let modules: BTreeSet<_> = sources().map(|source| source.module.as_str()).collect();
    let aliases: BTreeMap<_, _> = sources().flat_map(aliases).collect();
    let owner = |path: String| {
        let path = followed(path, &aliases);
        prefixes(&path).find(|prefix| modules.contains(prefix)).map(str::to_owned)
    };
    let of = |source: &Source| {
        let found = used(source).into_iter().filter_map(owner).filter(|other| *other != source.module);
        (source.module.clone(), found.collect())
    };
    sources().map(of).collect()
}

/// `a::b::c`, `a::b` and `a`.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices("::").map(|(at, _)| at).collect::<Vec<_>>().into_iter().rev();
    std::iter::once(path.len()).chain(ends).map(|end| &path[..end])
}

/// The path to the definition of what `path` names.
fn followed(mut path: String, aliases: &BTreeMap<String, String>) -> String {
    // No name is handed on more often; two that name each other would have no end.
    for _ in 0..8 {
        let known = prefixes(&path).find_map(|prefix| Some((prefix.len(), aliases.get(prefix)?)));
        match known {
            Some((length, target)) => path = format!("{target}{}", &path[length..]),
            None => break,
        }
    }
    path
}

/// The names that `source` has from elsewhere by `use`, public or not, and what they stand for.
fn aliases(source: &Source) -> Vec<(String, String)> {
    let starts = starts(source);
    let starts: Vec<_> = starts.iter().map(String::as_str).collect();
    let found = statements(&source.code).into_iter().flat_map(|statement| named(&statement.text, &starts));
    let alias = |(path, name): (String, String)| {
        let target = absolute(source, &path)?;
        let own = format!("{}::{name}", source.module);
        (own != target).then_some((own, target))
    };
    found.filter_map(alias).collect()
}

/// The paths that `source` uses, beyond those that it only hands on.
fn used(source: &Source) -> Vec<String> {
    let mut code = without_strings(&source.code).replace("(in crate::", "(in ");
    for statement in statements(&code.clone()).iter().filter(|statement| statement.is_public) {
        code = code.replacen(&statement.text, "", 1);
    }
    let starts = starts(source);
    let starts: Vec<_> = starts.iter().map(String::as_str).collect();
    mentions(&code, &starts).iter().filter_map(|path| absolute(source, path)).collect()
}

/// What the paths begin with that lead into the crate: its words for that, and the modules within `source`.
fn starts(source: &Source) -> Vec<String> {
    let words = ["crate::", "super::", "self::", "cygnet::"].map(str::to_owned);
    words.into_iter().chain(children(source).map(|child| format!("{child}::"))).collect()
}

fn children(source: &Source) -> impl Iterator<Item = &str> {
    source
        .code
        .split("mod ")
        .skip(1)
        .filter_map(|rest| rest.split_once(';'))
        .map(|(name, _)| name)
        .filter(|name| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_'))
}

fn absolute(source: &Source, path: &str) -> Option<String> {
    let first = path.split("::").next()?;
    if children(source).any(|child| child == first) {
        return Some(format!("{}::{path}", source.module));
    }
    resolve(path, &source.module).filter(|path| !path.is_empty())
}

/// A `use`.
struct Statement {
    text: String,
    is_public: bool,
}

fn statements(code: &str) -> Vec<Statement> {
    let of = |part: &str| {
        let begins =
            |at: usize| part[..at].chars().next_back().is_none_or(|before| before.is_whitespace() || before == '}');
        let (at, _) = part.match_indices("use ").filter(|(at, _)| begins(*at)).last()?;
        let before = part[..at].trim_end();
        let is_public = before.ends_with("pub") || before.rsplit("pub(").next().is_some_and(is_restriction);
        Some(Statement { text: part[at..].to_owned(), is_public })
    };
    code.split(';').filter_map(of).collect()
}

/// Whether this is what follows on `pub(`, up to the end.
fn is_restriction(text: &str) -> bool {
    text.strip_suffix(')').is_some_and(|inner| inner.chars().all(|c| c.is_alphanumeric() || ": _".contains(c)))
}
