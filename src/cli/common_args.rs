//! The arguments that many subcommands have; as `args.rs`, it may use nothing but clap.

use clap::Args;

/// How the result is printed.
#[derive(Args, Default)]
pub struct Json {
    /// Prints the agent's JSON, for programs; errors too, on standard error.
    #[arg(long)]
    pub json: bool,
}

/// Which connection.
#[derive(Args, Default)]
pub struct Which {
    /// The connection: its uuid, four or more first digits of it, or its name.
    pub connection: String,
}
