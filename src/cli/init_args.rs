//! The arguments of `cygnet init`; as `args.rs`, it may use nothing but clap.

use clap::Args;
use std::{net::SocketAddr, path::PathBuf};

/// The arguments of `cygnet init`.
#[derive(Args)]
pub struct InitArgs {
    /// A public address of this gateway; may be repeated. By default those of the interfaces with a default route.
    #[arg(long, value_name = "[NAME=]ADDRESS")]
    pub vip: Vec<String>,
    /// A network behind this gateway; may be repeated. By default the connected networks of the other interfaces.
    #[arg(long, value_name = "[NAME=]CIDR")]
    pub network: Vec<String>,
    /// Lets a management plane in over HTTP at this address. By default the agent is reached over its Unix socket only.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Makes a self-signed TLS certificate for `listen`. Beyond loopback it is needed, and made without being asked for.
    #[arg(long)]
    pub tls: bool,
    /// Switches the kernel's forwarding on, now and at each boot.
    #[arg(long)]
    pub forwarding: bool,
    /// Asks nothing.
    #[arg(long, short)]
    pub yes: bool,
    /// Writes below this directory, of an image for example, and touches nothing that runs.
    #[arg(long, value_name = "DIRECTORY")]
    pub root: Option<PathBuf>,
}
