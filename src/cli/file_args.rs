//! The arguments of `cygnet render` and `cygnet bundle`, which work on files; as `args.rs`, it may use nothing but clap.

use clap::Args;
use std::{net::IpAddr, path::PathBuf};

/// The arguments of `cygnet render`.
#[derive(Args)]
pub struct RenderArgs {
    /// The request body: a file, or `-` for standard input.
    #[arg(default_value = "-")]
    pub body: PathBuf,
    /// The stored record that a Change starts from (`connections/<uuid>.json` of a state directory).
    #[arg(long, value_name = "RECORD.json")]
    pub given: Option<PathBuf>,
    /// The gateway's public address, if neither the settings nor the record have it.
    #[arg(long, value_name = "ADDRESS")]
    pub vip: Option<IpAddr>,
    /// The address of the peer's name, for a peer that has one: nobody is asked for it.
    #[arg(long, value_name = "ADDRESS")]
    pub peer_address: Option<IpAddr>,
    /// A network behind this gateway; may be repeated.
    #[arg(long, value_name = "CIDR")]
    pub local_cidr: Vec<String>,
    /// A network behind the peer; may be repeated.
    #[arg(long, value_name = "CIDR")]
    pub peer_cidr: Vec<String>,
    /// For a kernel interface without trap policies: render `start_action = none`.
    #[arg(long)]
    pub no_traps: bool,
}

/// The arguments of `cygnet bundle`.
#[derive(Args)]
pub struct BundleArgs {
    /// The files, in any order: the private key, the gateway's certificate, intermediates, the CAs or the peer's own
    /// certificate, and X509 CRLs; as PKCS #12 (.p12, .pfx), PKCS #7 (.p7b), PEM or DER. `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where the bundle is written; only its owner may read it. `-` is standard output, unless that is a file that others
    /// may use.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Reads the passphrase from the first line of a file, or of standard input with `-`. Without it, a terminal asks.
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Replaces the output file if it exists.
    #[arg(long)]
    pub force: bool,
}
