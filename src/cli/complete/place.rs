//! Where the cursor is in the command line: what the definitions of `args.rs` say about what may stand there.

use clap::{Arg, Command, builder::PossibleValue};
use std::{any::TypeId, path::PathBuf};

/// What may stand at a place.
#[derive(Debug, PartialEq, Eq)]
pub enum Value {
    /// One of these words; each with what it is.
    Words(Vec<(String, String)>),
    /// A connection.
    Connection,
    /// A network of this gateway.
    Network,
    /// A VIP of this gateway.
    Vip,
    /// A file.
    File,
    /// Nobody knows.
    Unknown,
}

/// A place in the command line.
pub struct Place {
    /// What may stand there.
    pub value: Value,
    /// What is before the value in the word at the cursor (`--vip=`).
    pub prefix: String,
    /// The settings file that the line names.
    pub config: Option<PathBuf>,
}

/// How far the words before the cursor have been read.
struct Reader<'a> {
    command: &'a Command,
    /// The option whose value is next.
    option: Option<&'a Arg>,
    /// How many arguments without an option came.
    positionals: usize,
    /// Behind `--` there are no options.
    is_over: bool,
    config: Option<PathBuf>,
}

/// The place behind the words `before`, in the word `current`.
pub fn at(command: &Command, before: &[String], current: &str) -> Place {
    let mut reader = Reader { command, option: None, positionals: 0, is_over: false, config: None };
    for word in before {
        reader.read(word);
    }
    let (value, prefix) = reader.place(current);
    Place { value, prefix, config: reader.config }
}

impl<'a> Reader<'a> {
    fn read(&mut self, word: &str) {
        if let Some(option) = self.option.take() {
            self.take_in(option, word);
        } else if word == "--" {
            self.is_over = true;
        } else if let Some(name) = word.strip_prefix("--").filter(|_| !self.is_over) {
            let (name, value) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value)));
            match (self.long(name), value) {
                (Some(option), Some(value)) => self.take_in(option, value),
                (option, _) => self.option = option.filter(|option| takes_next(option)),
            }
        } else if let Some(flags) = word.strip_prefix('-').filter(|flags| !self.is_over && !flags.is_empty()) {
            let short = |flag| self.command.get_arguments().find(|argument| argument.get_short() == Some(flag));
            // A value may follow its flag in the same word.
            self.option = flags.chars().next_back().and_then(short).filter(|option| takes_next(option));
        } else if let Some(subcommand) = self.command.find_subcommand(word).filter(|_| self.positionals == 0) {
            self.command = subcommand;
        } else {
            self.positionals += 1;
        }
    }

    fn long(&self, name: &str) -> Option<&'a Arg> {
        self.command.get_arguments().find(|argument| argument.get_long() == Some(name))
    }

    fn take_in(&mut self, option: &Arg, value: &str) {
        if option.get_id() == "config" {
            self.config = Some(value.into());
        }
    }

    fn place(&self, current: &str) -> (Value, String) {
        if let Some(option) = self.option {
            return (self.value_of(option), String::new());
        }
        if !self.is_over && current.starts_with('-') {
            return match current.split_once('=') {
                Some((name, _)) => {
                    let option = name.strip_prefix("--").and_then(|name| self.long(name));
                    (option.map_or(Value::Unknown, |option| self.value_of(option)), format!("{name}="))
                }
                None => (self.options(), String::new()),
            };
        }
        if self.command.has_subcommands() && self.positionals == 0 {
            return (self.subcommands(), String::new());
        }
        let mut positionals = self.command.get_positionals();
        let last = self.command.get_positionals().last().filter(|last| is_repeated(last));
        let argument = positionals.nth(self.positionals).or(last);
        (argument.map_or(Value::Unknown, |argument| self.value_of(argument)), String::new())
    }

    fn value_of(&self, argument: &Arg) -> Value {
        let values = argument.get_possible_values();
        if !values.is_empty() {
            let word = |value: PossibleValue| {
                (value.get_name().to_owned(), value.get_help().map(ToString::to_string).unwrap_or_default())
            };
            return Value::Words(values.into_iter().filter(|value| !value.is_hide_set()).map(word).collect());
        }
        if argument.get_value_parser().type_id() == TypeId::of::<PathBuf>() {
            return Value::File;
        }
        match (argument.get_id().as_str(), self.command.get_name()) {
            ("connection", _) | ("connections", "export") => Value::Connection,
            ("network", _) | ("networks", "attach" | "detach") => Value::Network,
            ("vip", "create") => Value::Vip,
            _ => Value::Unknown,
        }
    }

    fn options(&self) -> Value {
        let shown = self.command.get_arguments().filter(|argument| !argument.is_hide_set());
        let about = |argument: &Arg| argument.get_help().map(ToString::to_string).unwrap_or_default();
        Value::Words(
            shown.filter_map(|argument| Some((format!("--{}", argument.get_long()?), about(argument)))).collect(),
        )
    }

    fn subcommands(&self) -> Value {
        let shown = self.command.get_subcommands().filter(|command| !command.is_hide_set());
        let about = |command: &Command| command.get_about().map(ToString::to_string).unwrap_or_default();
        Value::Words(shown.map(|command| (command.get_name().to_owned(), about(command))).collect())
    }
}

/// Whether the value of an option is the next word.
fn takes_next(option: &Arg) -> bool {
    option.get_action().takes_values() && !option.is_require_equals_set()
}

/// Whether a positional argument takes several words.
fn is_repeated(argument: &Arg) -> bool {
    argument.get_num_args().is_some_and(|count| count.max_values() > 1)
}
