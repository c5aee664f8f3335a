//! What `cygnet init` adds to the settings: from its options, from this host, and as the operator says.

use super::proposal::{Family, Named, Proposal, parse};
use crate::cli::{
    ask,
    init_args::InitArgs,
    stop::{Result, Stop},
};
use cygnet::settings::Settings;
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

/// Where a path of the settings is below another root.
pub type Below<'a> = &'a dyn Fn(&Path) -> PathBuf;

/// What the settings are to have beyond what they have.
pub struct Wanted {
    /// Public addresses.
    pub vips: Vec<Named<IpAddr>>,
    /// Networks behind the gateway.
    pub networks: Vec<Named<IpNet>>,
    /// Where a management plane gets in.
    pub listen: Option<SocketAddr>,
    /// Whether a certificate is to be made.
    pub tls: bool,
}

impl Wanted {
    /// From the options; where they say nothing and the settings have nothing, from this host; then as the operator says.
    pub fn new(before: &Settings, args: &InitArgs) -> Result<Self> {
        let gateway = &before.gateway;
        let (has_vips, has_networks) = (!gateway.vips.is_empty(), !gateway.l3_networks.is_empty());
        let mut found = Proposal::of_host()?;
        if !args.vip.is_empty() {
            found.vips = parse(&args.vip, "wan")?;
        } else if has_vips {
            found.vips.clear();
        }
        if !args.network.is_empty() {
            found.networks = parse(&args.network, "lan")?;
        } else if has_networks {
            found.networks.clear();
        }
        let mut wanted = Self { vips: found.vips, networks: found.networks, listen: args.listen, tls: args.tls };
        if !args.yes {
            wanted.ask(before, args)?;
        }
        // Keys never cross a network in clear.
        wanted.tls |= wanted.listen.is_some_and(|listen| !listen.ip().is_loopback() && !before.insecure_http);
        wanted.tls &= before.tls.is_none();
        wanted.listen = wanted.listen.filter(|_| before.listen.is_none());
        wanted.without(before)?;
        if wanted.vips.is_empty() && !has_vips {
            return Err(Stop::usage("no address of this host looks like the public one of a gateway")
                .hint("name it: cygnet init --vip ADDRESS"));
        }
        Ok(wanted)
    }

    /// Shows what was found, and takes what the operator says instead.
    fn ask(&mut self, before: &Settings, args: &InitArgs) -> Result<()> {
        if args.vip.is_empty() && before.gateway.vips.is_empty() {
            self.vips = asked("Public addresses of this gateway", &self.vips, "wan")?;
        }
        if args.network.is_empty() && before.gateway.l3_networks.is_empty() {
            self.networks = asked("Networks behind this gateway", &self.networks, "lan")?;
        }
        if args.listen.is_none() && before.listen.is_none() {
            let answer = ask::line("Address and port for a management plane over HTTP", "none")?;
            let address = Some(answer).filter(|answer| answer != "none");
            let wrong = |e| Stop::usage(format!("this is no address with a port: {e}")).hint("such as 192.0.2.1:8443");
            self.listen = address.map(|address| address.parse().map_err(wrong)).transpose()?;
        }
        Ok(())
    }

    /// Leaves out what the settings have; a name that they give to something else is refused.
    fn without(&mut self, before: &Settings) -> Result<()> {
        let gateway = &before.gateway;
        self.vips.retain(|vip| gateway.vips.iter().all(|known| known.address != vip.value));
        self.networks.retain(|network| gateway.l3_networks.iter().all(|known| !known.cidrs.contains(&network.value)));
        let taken = |known: Option<&str>, name: &str| known == Some(name);
        let vip = self.vips.iter().find(|vip| gateway.vips.iter().any(|known| taken(known.name.as_deref(), &vip.name)));
        let of_networks = |name: &str| gateway.l3_networks.iter().any(|known| taken(known.name.as_deref(), name));
        let network = self.networks.iter().find(|network| of_networks(&network.name));
        match vip.map(|vip| &vip.name).or(network.map(|network| &network.name)) {
            Some(name) => Err(Stop::failed(format!("the settings have another {name}"))
                .hint("choose another name, as in --vip NAME=ADDRESS, or edit the settings")),
            None => Ok(()),
        }
    }
}

/// The values that are proposed, or what is typed instead; `none` for none.
fn asked<T: std::str::FromStr + std::fmt::Display>(
    question: &str,
    proposed: &[Named<T>],
    base: &str,
) -> Result<Vec<Named<T>>>
where
    Named<T>: Family,
{
    let shown: Vec<_> = proposed.iter().map(|item| format!("{}={}", item.name, item.value)).collect();
    let shown = if shown.is_empty() { "none".to_owned() } else { shown.join(" ") };
    let answer = ask::line(question, &shown)?;
    let words = answer.split([' ', ',']).filter(|word| !word.is_empty() && *word != "none");
    parse(&words.map(str::to_owned).collect::<Vec<_>>(), base)
}
