//! One condition of a query: read once, however many connections it is asked of.

use super::{
    class::Class,
    lens::Lens,
    like::Pattern,
    order::{Datum, List, Operand},
    steps::Steps,
};
use crate::{agent::View, http::error::Failure};
use std::cmp::Ordering;

/// The operators; of those that stand at the same place the longest counts.
const OPERATORS: [(&str, Operator); 12] = [
    ("!?=", Operator::NotIn),
    ("!~=", Operator::NotLike),
    ("!=", Operator::Ne),
    (">=", Operator::Ge),
    ("<=", Operator::Le),
    ("~=", Operator::Like),
    ("?=", Operator::In),
    ("=", Operator::Eq),
    (">", Operator::Gt),
    ("<", Operator::Lt),
    (" is null", Operator::Null),
    (" not null", Operator::NotNull),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    In,
    NotIn,
    Like,
    NotLike,
    Null,
    NotNull,
}

/// The lists that conditions may look into, and the members of their elements. The tags are plain texts; of tag patterns
/// there are none.
const NESTED: [(&str, &[&str]); 7] = [
    ("peerCidrs", &["uuid", "cidr", "connectionUuid", "createDate", "lastOpDate"]),
    ("l3NetworkRefs", &["uuid", "l3NetworkUuid", "connectionUuid", "createDate", "lastOpDate"]),
    ("l3Network", &["uuid", "name", "cidr"]),
    ("vip", &["uuid", "name", "ip"]),
    ("__systemTag__", &[]),
    ("__userTag__", &[]),
    ("__tagUuid__", &[]),
];

/// What may stand before `l3Network`: the networks are reached through their references.
const REFERENCES: &str = "l3NetworkRefs.";

/// The most elements of a list that a condition compares with.
const MAX_LIST: usize = 1000;
/// The longest pattern, in characters.
const MAX_PATTERN: usize = 4096;

/// What it costs to make one element with members of a list that a condition looks into, in steps.
const MAKE_OBJECT: usize = 64;
/// What it costs to make one that is a plain text, in steps.
const MAKE_TEXT: usize = 8;

/// What the values of a member are compared with.
#[derive(Debug)]
enum Wanted {
    Nothing,
    One(Operand),
    List(List),
    Like(Pattern),
}

/// A member, an operator and a value.
#[derive(Debug)]
pub struct Condition {
    /// The member.
    pub field: String,
    operator: Operator,
    wanted: Wanted,
}

/// Splits a condition at its earliest operator.
fn split(text: &str) -> Option<(&str, Operator, &str)> {
    let found = OPERATORS.iter().filter_map(|(name, operator)| Some((text.find(name)?, *name, *operator)));
    let (place, name, operator) = found.min_by_key(|(place, name, _)| (*place, usize::MAX - name.len()))?;
    Some((text[..place].trim(), operator, &text[place + name.len()..]))
}

impl Condition {
    /// The condition in `text`.
    ///
    /// # Errors
    /// 400 when it has no operator, is too long, or has no date where one must be; 503 for a member that does not exist.
    pub fn new(text: &str, class: &Class) -> Result<Self, Failure> {
        let Some((field, operator, value)) = split(text) else {
            let shown: String = text.chars().take(64).collect();
            let valid: Vec<_> = OPERATORS.iter().map(|(name, _)| *name).collect();
            return Err(Failure::bad_request(format!(
                "Invalid query parameter. The '{shown}' in the parameter[q] doesn't contain any query operator. \
                 Valid query operators are [{}]",
                valid.join(", ")
            )));
        };
        let target = field.strip_prefix(REFERENCES).filter(|rest| class.has_lists && rest.starts_with("l3Network."));
        let field = target.unwrap_or(field);
        if !(class.has_lists && nested(field).is_some()) {
            class.member(field)?;
        }
        Ok(Self { field: field.into(), operator, wanted: wanted(field, operator, value)? })
    }

    /// The value that `field` must be equal to, if it must.
    pub fn equals(&self, field: &str) -> Option<&str> {
        match &self.wanted {
            Wanted::One(value) if self.operator == Operator::Eq && self.field == field => Some(&value.text),
            _ => None,
        }
    }

    /// Whether it holds for `view`; of a nested member, for one of the elements.
    ///
    /// # Errors
    /// When the query takes too many steps.
    pub fn holds(&self, view: &View, lens: &Lens, steps: &mut Steps) -> Result<bool, Failure> {
        let Some((list, member)) = nested(&self.field) else {
            return self.holds_for(lens.datum(view, &self.field), steps);
        };
        let items = lens.data(view, list, member);
        let made = if member.is_some() { MAKE_OBJECT } else { MAKE_TEXT };
        steps.take((items.len() * made) as u64)?;
        let all = matches!(self.operator, Operator::Ne | Operator::NotIn | Operator::NotLike);
        if self.operator == Operator::Null {
            steps.take(1)?;
            return Ok(items.is_empty() || items.iter().any(Option::is_none));
        }
        for item in items {
            if self.holds_for(item, steps)? != all {
                return Ok(!all);
            }
        }
        Ok(all)
    }

    /// Whether it holds for a value. As in SQL, a comparison with an absent one never holds.
    ///
    /// # Errors
    /// When the query takes too many steps.
    pub fn holds_for(&self, value: Option<Datum>, steps: &mut Steps) -> Result<bool, Failure> {
        steps.take(1)?;
        let Some(value) = value else { return Ok(self.operator == Operator::Null) };
        let bytes = value.text.len();
        Ok(match &self.wanted {
            Wanted::Nothing => {
                steps.take(bytes as u64)?;
                self.operator == Operator::NotNull
            }
            Wanted::One(wanted) => {
                steps.take(bytes as u64)?;
                self.admits(value.against(wanted))
            }
            Wanted::List(list) => {
                // A search by halves compares with at most so many.
                let looks = u64::from(usize::BITS - list.len().leading_zeros()) + 1;
                steps.take(looks.saturating_mul(bytes.max(1) as u64))?;
                list.holds(&value) == (self.operator == Operator::In)
            }
            Wanted::Like(pattern) => {
                steps.take(pattern.steps(bytes))?;
                pattern.fits(&value.text) == (self.operator == Operator::Like)
            }
        })
    }

    /// Whether a value that compares so is one.
    fn admits(&self, order: Ordering) -> bool {
        match self.operator {
            Operator::Eq => order == Ordering::Equal,
            Operator::Ne => order != Ordering::Equal,
            Operator::Gt => order == Ordering::Greater,
            Operator::Ge => order != Ordering::Less,
            Operator::Lt => order == Ordering::Less,
            Operator::Le => order != Ordering::Greater,
            _ => false,
        }
    }
}

/// What `operator` compares with, of a length that can be afforded.
fn wanted(field: &str, operator: Operator, value: &str) -> Result<Wanted, Failure> {
    let too_long = |most: usize, what: &str, count: usize| {
        Failure::bad_request(format!(
            "Invalid query parameter[q], a condition on [{field}] must have at most {most} {what}, it has {count}"
        ))
    };
    match operator {
        Operator::Null | Operator::NotNull => Ok(Wanted::Nothing),
        Operator::In | Operator::NotIn => match value.split(',').count() {
            count if count > MAX_LIST => Err(too_long(MAX_LIST, "values", count)),
            _ => Ok(Wanted::List(List::new(field, value)?)),
        },
        Operator::Like | Operator::NotLike => match value.chars().count() {
            count if count > MAX_PATTERN => Err(too_long(MAX_PATTERN, "characters in its pattern", count)),
            _ => Ok(Wanted::Like(Pattern::new(value))),
        },
        _ => Ok(Wanted::One(Operand::new(field, value)?)),
    }
}

/// The list that a field looks into, and the member of its elements; none where they are plain texts.
fn nested(field: &str) -> Option<(&str, Option<&str>)> {
    let (list, member) = field.split_once('.').map_or((field, None), |(list, member)| (list, Some(member)));
    let (_, members) = NESTED.iter().find(|(name, _)| *name == list)?;
    let exists = member.map_or(members.is_empty(), |member| members.contains(&member));
    exists.then_some((list, member))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::query::class::CONNECTION;

    #[test]
    fn conditions_split_at_the_earliest_and_longest_operator() {
        assert_eq!(split("name=a>=b"), Some(("name", Operator::Eq, "a>=b")));
        assert_eq!(split("name !~= a=b"), Some(("name", Operator::NotLike, " a=b")));
        assert_eq!(split("lifeTime>=3600"), Some(("lifeTime", Operator::Ge, "3600")));
        assert_eq!(split("localId is null"), Some(("localId", Operator::Null, "")));
        assert_eq!(split("peerCidrs.cidr?=10.0.0.0/8,10.1.0.0/16").map(|parts| parts.1), Some(Operator::In));
        for wrong in ["name", "nosuch=1", "peerCidrs.no=1"] {
            assert!(Condition::new(wrong, &CONNECTION).is_err(), "{wrong}");
        }
    }
}
