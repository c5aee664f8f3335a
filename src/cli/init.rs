//! `cygnet init`: from an installed package to settings. It looks at this host, proposes, asks, and writes one file of the
//! settings with the credentials that it names. What is there already is kept: a second run changes nothing.

mod credentials;
mod host;
mod proposal;
mod site;
mod wanted;

use super::{
    ask,
    init_args::InitArgs,
    stop::{self, Result, Stop, print},
};
use credentials::Credentials;
use cygnet::{settings::Settings, visible::visible};
use site::Site;
use std::{fmt::Write as _, path::Path, process::ExitCode};
use wanted::Wanted;

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
