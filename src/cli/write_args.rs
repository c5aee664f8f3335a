//! The arguments of the subcommands that write; as `args.rs`, it may use nothing but clap.

use super::common_args::{Json, Which};
use clap::Args;
use std::path::PathBuf;

/// How a write is done.
#[derive(Args)]
pub struct WriteOptions {
    /// Takes the write back if the tunnel is not up in TIME (1s to 10m; 60s if there is none).
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "60s")]
    pub confirm: Option<String>,
    /// Closes the old SA at once, even if the new one is not up: for a key that leaked.
    #[arg(long)]
    pub immediate: bool,
    /// Rekeys each new CHILD_SA once when the tunnel is up, to show whether the peer has the same PFS.
    #[arg(long)]
    pub rehearse: bool,
    /// Gives the key to all connections that share it, in one step.
    #[arg(long, conflicts_with = "confirm")]
    pub together: bool,
    /// Waits until the tunnel is up, at most TIME (60s if there is none).
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "60s")]
    pub wait: Option<String>,
    /// How the result is printed.
    #[command(flatten)]
    pub json: Json,
}

/// A write to a connection.
#[derive(Args)]
pub struct WriteArgs {
    /// Which connection.
    #[command(flatten)]
    pub which: Which,
    /// How it is done.
    #[command(flatten)]
    pub how: WriteOptions,
}

/// The arguments of `cygnet reconnect`.
#[derive(Args)]
pub struct ReconnectArgs {
    /// The connection: its name, its uuid, or four or more first digits of the uuid.
    #[arg(required_unless_present = "all_changed")]
    pub connection: Option<String>,
    /// Reconnects all connections whose VIP or networks have changed in the settings, with the new SA beside the old one.
    /// It waits for no tunnel.
    #[arg(long, conflicts_with_all = ["connection", "confirm", "immediate", "rehearse", "wait"])]
    pub all_changed: bool,
    /// How it is done.
    #[command(flatten)]
    pub how: WriteOptions,
}

/// The arguments of `cygnet disable`.
#[derive(Args)]
pub struct DisableArgs {
    /// Which connection.
    #[command(flatten)]
    pub which: Which,
    /// Does not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// How the result is printed.
    #[command(flatten)]
    pub json: Json,
}

/// A write that takes networks away.
#[derive(Args)]
pub struct CutArgs {
    /// Does not show what is cut and does not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// Which networks, of which connection.
    #[command(flatten)]
    pub networks: NetworksArgs,
}

/// A write about networks.
#[derive(Args)]
pub struct NetworksArgs {
    /// Which connection.
    #[command(flatten)]
    pub which: Which,
    /// The networks, as CIDRs. A network of this gateway may be named by its name or uuid in the settings.
    #[arg(required = true)]
    pub networks: Vec<String>,
    /// How it is done.
    #[command(flatten)]
    pub how: WriteOptions,
}

/// New values.
#[derive(Args)]
pub struct Values {
    /// Sets an option by its name in the API, such as ikeEncryptionAlgorithm=aes-256; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Reads the key from a file of at most 256 KiB, or from standard input with `-`. Line ends at its end are ignored.
    #[arg(long, value_name = "FILE")]
    pub auth_key_file: Option<PathBuf>,
    /// Reads the post-quantum pre-shared key from a file, or from standard input with `-`: text, or `0x` and hexadecimal
    /// digits.
    #[arg(long, value_name = "FILE")]
    pub ppk_file: Option<PathBuf>,
}

/// The arguments of `cygnet create`.
#[derive(Args)]
pub struct CreateArgs {
    /// The connection's name. A terminal asks for it, and for all else that is missing.
    pub name: Option<String>,
    /// The peer: its address (a link-local one with a percent sign and its interface behind it), a host name that follows
    /// a changing address, or %any for a peer that calls from anywhere (with --set remoteId=NAME).
    #[arg(long, value_name = "PEER")]
    pub peer: Option<String>,
    /// This gateway's VIP: its name, address or uuid in the settings. It is not needed if only one fits the peer.
    #[arg(long, value_name = "VIP")]
    pub vip: Option<String>,
    /// The network behind this gateway: its name, CIDR or uuid in the settings. More can be attached later.
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,
    /// A network behind the peer; may be repeated.
    #[arg(long, value_name = "CIDR")]
    pub peer_cidr: Vec<String>,
    /// Creates it even if it has no network at one side: it does not come up until it has.
    #[arg(long)]
    pub no_networks: bool,
    /// Makes a strong pre-shared key and prints it, once.
    #[arg(long, conflicts_with = "auth_key_file")]
    pub generate_key: bool,
    /// A description.
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// The connection's uuid. By default it is random.
    #[arg(long)]
    pub uuid: Option<String>,
    /// What is set.
    #[command(flatten)]
    pub values: Values,
    /// How it is done.
    #[command(flatten)]
    pub how: WriteOptions,
}

/// The arguments of `cygnet change`.
#[derive(Args)]
pub struct ChangeArgs {
    /// Which connection.
    #[command(flatten)]
    pub which: Which,
    /// What is set.
    #[command(flatten)]
    pub values: Values,
    /// Takes an identity away: the default one counts again, such as the address. May be repeated.
    #[arg(long, value_name = "NAME", value_parser = ["localId", "remoteId"])]
    pub unset: Vec<String>,
    /// Does not show the plan and does not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// In which time the other end is changed.
    #[command(flatten)]
    pub transition: TransitionArgs,
    /// How it is done.
    #[command(flatten)]
    pub how: WriteOptions,
}

/// A change in transition.
#[derive(Args)]
pub struct TransitionArgs {
    /// Accepts the proposals of before for TIME, too (1m to 30d): the tunnel goes on, and moves when the peer has the new
    /// ones. 0s ends a transition.
    #[arg(long, value_name = "TIME")]
    pub transition: Option<String>,
    /// Takes a tunnel by the proposals of before for Ready meanwhile.
    #[arg(long, requires = "transition")]
    pub accept: bool,
}

/// The arguments of `cygnet revert`.
#[derive(Args)]
pub struct RevertArgs {
    /// Which connection.
    #[command(flatten)]
    pub which: Which,
    /// The number of the revision, as `cygnet history` shows it.
    pub revision: u32,
    /// Does not show the plan and does not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// Keeps the revert even if the tunnel does not come up: as when the peer is changed later.
    #[arg(long, conflicts_with = "confirm")]
    pub no_confirm: bool,
    /// How long the tunnel may take to come up before the revert is taken back (1s to 10m; 60s if there is none).
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "60s")]
    pub confirm: Option<String>,
    /// Closes the old SA at once, even if the new one is not up.
    #[arg(long)]
    pub immediate: bool,
    /// In which time the other end is changed.
    #[command(flatten)]
    pub transition: TransitionArgs,
    /// How the result is printed.
    #[command(flatten)]
    pub json: Json,
}

/// The arguments of `cygnet backup`.
#[derive(Args)]
pub struct BackupArgs {
    /// The backup, which must not exist; only its owner may read it.
    pub file: PathBuf,
    /// Reads the passphrase from the first line of a file, or of standard input with `-`. Without it, it is
    /// `CYGNET_PASSPHRASE` in the environment, or systemd's credential `backup-passphrase`, or a terminal asks for it.
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Does not seal it: whoever reads it has all keys.
    #[arg(long, conflicts_with = "passphrase_file")]
    pub plain: bool,
}

/// The arguments of `cygnet restore`.
#[derive(Args)]
pub struct RestoreArgs {
    /// The backup.
    pub file: PathBuf,
    /// Reads the passphrase from the first line of a file, or of standard input with `-`. Without it, it is
    /// `CYGNET_PASSPHRASE` in the environment, or systemd's credential `backup-passphrase`, or a terminal asks for it.
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Shows what is here in the place of what is in the backup. Nothing is done.
    #[arg(long)]
    pub plan: bool,
    /// What becomes of connections that differ.
    #[command(flatten)]
    pub differing: Differing,
    /// Does not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// How the result is printed.
    #[command(flatten)]
    pub json: Json,
}

/// What becomes of connections that say something else here than in a backup.
#[derive(Args)]
pub struct Differing {
    /// Connections that say something else here become what the backup says, keys included.
    #[arg(long)]
    pub replace: bool,
    /// Connections that say something else here stay as they are.
    #[arg(long, conflicts_with = "replace")]
    pub only_missing: bool,
}

/// The arguments of `cygnet update`.
#[derive(Args)]
pub struct UpdateArgs {
    /// Which connection.
    #[command(flatten)]
    pub which: Which,
    /// The new name.
    #[arg(long, required_unless_present = "description")]
    pub name: Option<String>,
    /// The new description.
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// How the result is printed.
    #[command(flatten)]
    pub json: Json,
}

/// The arguments of `cygnet delete`.
#[derive(Args)]
pub struct DeleteArgs {
    /// Which connection.
    #[command(flatten)]
    pub which: Which,
    /// Does not show what is cut and does not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// Deletes it even if charon is unreachable.
    #[arg(long)]
    pub enforce: bool,
    /// How the result is printed.
    #[command(flatten)]
    pub json: Json,
}
