//! The command line: `args.rs` defines it, the other files run it.

mod accounts;
mod apply;
mod apply_args;
mod args;
mod ask;
mod backup;
mod bundle;
mod check;
mod client;
mod common_args;
mod compare;
mod compare_args;
mod complete;
mod create;
mod credentials;
mod cut;
mod doctor;
mod export;
mod file_args;
mod follow;
mod foreign;
mod history;
mod init;
mod init_args;
mod input;
mod list;
mod live;
mod logging;
mod look;
mod moments;
mod own_files;
mod passphrase;
mod ping;
mod plan;
mod progress;
mod refusal;
mod reload;
mod render;
mod restore;
mod role;
mod row;
mod select;
mod serve;
mod show;
mod show_sas;
mod status;
mod stop;
mod stream;
mod support;
mod times;
mod up;
mod values;
mod width;
mod write;
mod write_args;

use crate::cli::{
    args::{Cli, Command},
    client::Client,
    write::{LOCAL, REMOTE},
};
use clap::Parser;
use std::process::ExitCode;

/// Runs the command that the arguments name; `cygnet help` lists the exit codes.
pub fn run() -> ExitCode {
    let Cli { config, command } = match Cli::try_parse_from(times::joined(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return told(&error),
    };
    match command {
        Command::Init(args) => init::run(&config, &args),
        Command::Reload(args) => reload::run(&config, &args),
        Command::Serve(args) if args.check => check::run(&config),
        Command::Serve(_) => serve::run(&config),
        Command::Render(args) => render::run(&config, &args),
        Command::Bundle(args) => bundle::run(&args),
        Command::Backup(args) => stop::end(backup::run(&config, &args), false),
        Command::Restore(args) => stop::end(restore::run(&config, &args), args.json.json),
        Command::Compare(args) => stop::end(compare::run(&config, &args), args.json.json),
        Command::Doctor(args) => doctor::run(&config, &args),
        Command::Support { file } => stop::end(support::run(&config, file.as_deref()), false),
        Command::Complete(args) => complete::run(&config, &args),
        Command::Passwd(args) => accounts::passwd(&config, &args),
        Command::Accesskey(args) => accounts::access_key(&config, &args),
        Command::Token(args) => accounts::token(&config, &args),
        command => {
            let result = Client::new(&config).and_then(|client| ask(&client, &command));
            stop::end(result, command.is_json())
        }
    }
}

/// Prints a help text, folded to the width of the output, or what is wrong with the command line.
fn told(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        error.exit();
    }
    let text = error.render();
    let text = if look::Look::of_stdout().is_coloured() { text.ansi().to_string() } else { text.to_string() };
    stop::end(stop::print(&width::fold(&text, width::of_stdout())).map(drop), false)
}

/// The commands that ask the agent.
fn ask(client: &Client, command: &Command) -> stop::Result<()> {
    match command {
        Command::Status(args) => status::overview(client, args),
        Command::List(args) => list::list(client, args),
        Command::Show(args) => show::run(client, args),
        Command::Create(args) => create::create(client, args),
        Command::Change(args) => plan::change(client, args),
        Command::Plan(args) => plan::plan(client, args),
        Command::Update(args) => write::update(client, args),
        Command::History(args) => history::history(client, args),
        Command::Revert(args) => history::revert(client, args),
        Command::Delete(args) => cut::delete(client, args),
        Command::Reconnect(args) => write::reconnect(client, args),
        Command::Enable(args) => write::enable(client, args),
        Command::Disable(args) => cut::disable(client, args),
        Command::AddCidr(args) => write::add(client, args, &REMOTE),
        Command::RemoveCidr(args) => cut::remove(client, args, &REMOTE),
        Command::Attach(args) => write::add(client, args, &LOCAL),
        Command::Detach(args) => cut::remove(client, args, &LOCAL),
        Command::Apply(args) => apply::run(client, args),
        Command::Export(args) => export::run(client, args),
        Command::Ping(args) => ping::run(client, args),
        Command::Log(args) => follow::log(client, args),
        Command::Events(args) => follow::events(client, args),
        Command::Standby(args) => role::standby(client, args),
        Command::Active(args) => role::active(client, args),
        Command::Init(_)
        | Command::Reload(_)
        | Command::Serve(_)
        | Command::Render(_)
        | Command::Bundle(_)
        | Command::Compare(_)
        | Command::Backup(_)
        | Command::Restore(_)
        | Command::Doctor(_)
        | Command::Complete(_)
        | Command::Support { .. }
        | Command::Passwd(_)
        | Command::Accesskey(_)
        | Command::Token(_) => Err(stop::Stop::failed("this command does not ask the agent")),
    }
}

impl Command {
    /// Whether the result is printed as JSON.
    fn is_json(&self) -> bool {
        match self {
            Self::Status(args) | Self::Reload(args) | Self::Standby(args) | Self::Active(args) => args.json,
            Self::List(args) => args.json.json || args.output == Some(args::Output::Json),
            Self::Show(args) => args.json.json,
            Self::Disable(args) => args.json.json,
            Self::Create(args) => args.how.json.json,
            Self::Change(args) => args.how.json.json,
            Self::Plan(args) => args.json.json,
            Self::Update(args) => args.json.json,
            Self::History(args) => args.json.json || args.output == Some(args::Form::Json),
            Self::Revert(args) => args.json.json,
            Self::Delete(args) => args.json.json,
            Self::Reconnect(args) => args.how.json.json,
            Self::Enable(args) => args.how.json.json,
            Self::AddCidr(args) | Self::Attach(args) => args.how.json.json,
            Self::RemoveCidr(args) | Self::Detach(args) => args.networks.how.json.json,
            Self::Apply(args) => args.is_json(),
            Self::Export(args) => args.output == apply_args::ExportOutput::Json,
            Self::Ping(args) => args.json.json,
            Self::Compare(args) => args.json.json,
            Self::Log(args) => args.json.json,
            Self::Events(args) => args.json.json,
            Self::Init(_)
            | Self::Serve(_)
            | Self::Render(_)
            | Self::Bundle(_)
            | Self::Backup(_)
            | Self::Restore(_)
            | Self::Doctor(_)
            | Self::Complete(_)
            | Self::Support { .. }
            | Self::Passwd(_)
            | Self::Accesskey(_)
            | Self::Token(_) => false,
        }
    }
}
