//! The options of our own in a request: as members, or as system tags `cygnet::<member>::<value>` of callers whose library
//! has no such members. A member counts more than a tag. The PPK is a member alone: tags are shown.

use super::{
    check::{invalid_choice, text},
    keys::text_key,
    limits,
};
use crate::{
    error::{Error, Result},
    http::{
        envelope::Params,
        error::Failure,
        wire::{long, not_an_integer},
    },
    ipsec::{
        NativeOptions, Psk,
        native::{Kind, NATIVE, NativeOption},
        post_quantum::MAX_PPK_ID,
    },
    nearest::nearest,
    visible::visible,
};
use serde_json::Value;

/// What a request says of the options of our own; each value has the JSON type of its option.
#[derive(Clone)]
pub struct Native {
    options: Vec<(&'static NativeOption, Value)>,
    ppk: Option<Psk>,
}

/// The member of the PPK.
const PPK: &str = "ppk";

impl Native {
    /// Reads them from a request.
    ///
    /// # Errors
    /// 400 for a text that is not a number. An argument error for a value of a wrong type, a tag that names no option, and
    /// for two that say different things.
    pub fn read(params: &Params) -> Result<Self, Failure> {
        let mut given: Vec<(&'static NativeOption, Value)> = Vec::new();
        for option in &NATIVE {
            if let Some(value) = params.members.get(option.name).filter(|value| !value.is_null()) {
                given.push((option, typed(option, value)?));
            }
        }
        let members = given.len();
        for (name, value) in params.tags.native() {
            let option = NativeOption::named(name).ok_or_else(|| unknown(name))?;
            let value = typed(option, &value.into())?;
            match given.iter().position(|(other, _)| other.name == option.name) {
                None => given.push((option, value)),
                Some(place) if place < members || given[place].1 == value => {}
                Some(_) => return Err(twice(option.name).into()),
            }
        }
        Ok(Self { options: given, ppk: params.members.get(PPK).and_then(Value::as_str).map(ppk).transpose()? })
    }

    /// Whether it says something of the option `name`.
    pub fn names(&self, name: &str) -> bool {
        (name == PPK && self.ppk.is_some()) || self.options.iter().any(|(option, _)| option.name == name)
    }

    /// Puts them into `options`, which keep the rest.
    ///
    /// # Errors
    /// The first value that is out of its option's range.
    pub fn apply(&self, options: &mut NativeOptions) -> Result<()> {
        let named_before = options.ppk_id.clone();
        for (option, value) in &self.options {
            if let (Kind::Word(words), Some(word)) = (option.kind, value.as_str())
                && !words.contains(&word)
            {
                return Err(invalid_choice(
                    option.name,
                    &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(),
                    word,
                ));
            }
            option.put(options, value).map_err(|e| Error::rule(option.name, e.to_string()))?;
        }
        // A PPK is kept with its name only.
        if self.ppk.is_some() || options.ppk_id != named_before {
            options.ppk.clone_from(&self.ppk);
        }
        options.settle(|name| self.names(name));
        Ok(())
    }
}

/// The PPK that `given` means: hexadecimal digits behind `0x`, or the text itself.
fn ppk(given: &str) -> Result<Psk> {
    let given = given.trim();
    let key = match given.strip_prefix("0x").or_else(|| given.strip_prefix("0X")) {
        Some(digits) => {
            Psk::from_hex(digits).map_err(|_| Error::rule(PPK, "must have pairs of hexadecimal digits behind 0x"))?
        }
        None => text_key(PPK, given)?,
    };
    limits::key(PPK, &key)?;
    Ok(key)
}

/// `value` as the JSON type of `option`: a number may be written as text, as all numbers of the API.
fn typed(option: &NativeOption, value: &Value) -> Result<Value, Failure> {
    let name = option.name;
    match option.kind {
        Kind::Word(_) => {
            let word = value.as_str().ok_or_else(|| Error::rule(name, "must be a string"))?;
            Ok(text(name, Some(word.to_owned()), 32)?.into())
        }
        Kind::PpkId => {
            let id = value.as_str().ok_or_else(|| Error::rule(name, "must be a string"))?;
            Ok(text(name, Some(id.to_owned()), MAX_PPK_ID)?.into())
        }
        Kind::Protocol => {
            let word = value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|number| number.to_string()));
            let word = word.ok_or_else(|| Error::rule(name, "must be a string"))?;
            Ok(text(name, Some(word), 32)?.into())
        }
        Kind::Switch => match (value.as_bool(), value.as_str().map(str::trim)) {
            (Some(is_on), _) => Ok(is_on.into()),
            (None, Some("true")) => Ok(true.into()),
            (None, Some("false")) => Ok(false.into()),
            _ => Err(Error::rule(name, "must be true or false").into()),
        },
        Kind::Number(..) => match long(value) {
            Some(number) => Ok(number.into()),
            None => Err(not_an_integer(name, value.to_string().trim_matches('"'))),
        },
    }
}

fn unknown(name: &str) -> Error {
    // However it is misspelled, there may be a key in it.
    if name.trim().get(..PPK.len()).is_some_and(|start| start.eq_ignore_ascii_case(PPK)) {
        return Error::rule(
            "systemTags",
            "cannot have a PPK, as tags are shown: give it as ppk, and its name as ppkId",
        );
    }
    let shown: String = name.chars().take(64).collect();
    let near = nearest(name, NATIVE.iter().map(|option| option.name));
    let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
    let rule = "names no option of cygnet, which is cygnet::<name>::<value>";
    Error::rule("systemTags", format!("the tag cygnet::{} {rule}{near}", visible(&shown)))
}

fn twice(name: &str) -> Error {
    Error::rule("systemTags", format!("two tags cygnet::{name} say different things: leave one of them out"))
}
