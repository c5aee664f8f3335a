//! The arguments of `cygnet compare`; as `args.rs`, it may use nothing but clap.

use super::common_args::Json;
use clap::Args;
use std::path::PathBuf;

/// The arguments of `cygnet compare`.
#[derive(Args, Default)]
pub struct CompareArgs {
    /// The agent of the other gateway: `https://HOST:PORT`, `http://` on loopback, or `unix:/PATH` of a socket, such as ssh
    /// forwards. Without it, `ha.peer` of the settings, with the files that they name.
    #[arg(long, value_name = "URL")]
    pub with: Option<String>,
    /// A file with a token of the other gateway in its first line. With the role read, keys are not compared.
    #[arg(long, value_name = "FILE", requires = "with")]
    pub token_file: Option<PathBuf>,
    /// The CA of the other gateway's certificate in PEM, or the certificate itself if it is self-signed. Without it, the
    /// CAs that this host trusts.
    #[arg(long, value_name = "FILE", requires = "with")]
    pub ca: Option<PathBuf>,
    /// A certificate in PEM for a gateway that asks for one.
    #[arg(long, value_name = "FILE", requires_all = ["with", "key"])]
    pub cert: Option<PathBuf>,
    /// Its private key in PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// How the result is printed.
    #[command(flatten)]
    pub json: Json,
}
