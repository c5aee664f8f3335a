//! `cygnet init`: from an installed package to settings. It looks at this host, proposes, asks, and writes one file of the
//! settings with the credentials that it names. What is there already is kept: a second run changes nothing.

mod credentials;
mod host;
mod proposal;
mod site;

use super::{
    ask,
    init_args::InitArgs,
    stop::{self, Result, Stop, print},
};
use credentials::Credentials;
use cygnet::{settings::Settings, visible::visible};
use proposal::{Named, Proposal, parse};
use site::Site;
use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The file that it writes, beside the settings file.
const FILE: &str = "conf.d/10-site.toml";

/// Sets the gateway up.
pub fn run(config: &Path, args: &InitArgs) -> ExitCode {
    stop::end(init(config, args), false)
}

fn init(config: &Path, args: &InitArgs) -> Result<()> {
    if !args.yes {
        ask::must_be_possible()?;
    }
    let below = |path: &Path| match &args.root {
        Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
        None => path.to_owned(),
    };
    let config = below(config);
    let before = Settings::read(&config).map_err(|faults| {
        Stop::failed(faults).hint("repair the settings first; `cygnet serve --check` lists their faults")
    })?;
    let file = config.parent().unwrap_or(Path::new("")).join(FILE);
    let wanted = Wanted::new(&before, args)?;
    let made = Credentials::make(&before, &wanted, &below)?;
    // First of all: nobody can read it later.
    made.print()?;
    let is_changed = Site { wanted: &wanted, made: &made }.write(&file)?;
    print(&page(&file, &before, &wanted, is_changed))?;
    host::firewall()?;
    host::forwarding(args, &wanted, &below)?;
    let is_running = args.root.is_none() && host::take_over(args, is_changed)?;
    next(&before, &wanted, is_running)
}

/// What the settings are to have beyond what they have.
pub struct Wanted {
    vips: Vec<Named<IpAddr>>,
    networks: Vec<Named<ipnet::IpNet>>,
    listen: Option<SocketAddr>,
    tls: bool,
}

impl Wanted {
    /// From the options; where they say nothing and the settings have nothing, from this host; then as the operator says.
    fn new(before: &Settings, args: &InitArgs) -> Result<Self> {
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
    Named<T>: proposal::Family,
{
    let shown: Vec<_> = proposed.iter().map(|item| format!("{}={}", item.name, item.value)).collect();
    let shown = if shown.is_empty() { "none".to_owned() } else { shown.join(" ") };
    let answer = ask::line(question, &shown)?;
    let words = answer.split([' ', ',']).filter(|word| !word.is_empty() && *word != "none");
    parse(&words.map(str::to_owned).collect::<Vec<_>>(), base)
}

/// What the settings have now.
fn page(file: &Path, before: &Settings, wanted: &Wanted, is_changed: bool) -> String {
    let word = if is_changed { "wrote" } else { "kept" };
    let mut page = format!("{word} {}\n", visible(&file.display().to_string()));
    if let Some(listen) = wanted.listen.or(before.listen) {
        let scheme = if wanted.tls || before.tls.is_some() { "https" } else { "http" };
        let _ = writeln!(page, "  listen   {scheme}://{listen}");
    }
    let vips = before.gateway.vips.iter().map(|vip| (vip.name.clone(), vip.address.to_string()));
    let networks = before.gateway.l3_networks.iter().map(|network| {
        let cidrs: Vec<_> = network.cidrs.iter().map(ToString::to_string).collect();
        (network.name.clone(), cidrs.join(" "))
    });
    let vips = vips.chain(wanted.vips.iter().map(|vip| (Some(vip.name.clone()), vip.value.to_string())));
    let networks = networks.chain(wanted.networks.iter().map(|net| (Some(net.name.clone()), net.value.to_string())));
    for (kind, items) in [("VIP", vips.collect::<Vec<_>>()), ("network", networks.collect())] {
        for (name, value) in &items {
            let _ = writeln!(page, "  {kind:<8} {:<8} {value}", visible(name.as_deref().unwrap_or("-")));
        }
        if items.is_empty() {
            let _ = writeln!(page, "  {kind:<8} none; add it with `cygnet init --{} ...`", kind.to_lowercase());
        }
    }
    page
}

/// The next command to type.
fn next(before: &Settings, wanted: &Wanted, is_running: bool) -> Result<()> {
    let known = before.gateway.l3_networks.first().map(|network| network.name.clone().unwrap_or(network.uuid.clone()));
    let network = known.or(wanted.networks.first().map(|network| network.name.clone()));
    let network = network.unwrap_or_else(|| "NETWORK".into());
    let first = if is_running { "" } else { "  systemctl restart cygnet\n" };
    print(&format!(
        "\nNext:\n{first}  cygnet create NAME --peer ADDRESS --network {} --peer-cidr CIDR --generate-key\n",
        visible(&network)
    ))
    .map(drop)
}

/// Where a path of the settings is below another root.
type Below<'a> = &'a dyn Fn(&Path) -> PathBuf;
