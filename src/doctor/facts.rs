//! Facts about this gateway for the doctor. One function with a time limit gathers each of them.
//! Nothing here judges or changes anything. A fact that cannot be had says why.

pub(super) mod charon_answers;
pub(super) mod groups;
pub(super) mod network;
pub(crate) mod path;
pub(super) mod permissions;
mod places;
mod probe;
pub(super) mod procfs;
pub(super) mod rules;
pub(super) mod swanctl_files;
pub mod tools;

use crate::{
    ipsec::{ChildSa, IkeSa, PacketSize},
    strongswan::StrongSwan,
};
pub use places::Places;
use places::{SERVICE, reading};
pub use probe::{Probe, Unchecked};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
};

/// The facts that the checks judge.
#[derive(Debug)]
pub struct Facts {
    /// The user that gathered them.
    pub uid: u32,
    /// The agent's user, where the package created it.
    pub service: Option<u32>,
    /// Where the connections' files are.
    pub conf_dir: PathBuf,
    /// charon's vici socket.
    pub vici: charon_answers::Socket,
    /// What charon says.
    pub charon: Probe<charon_answers::Answers>,
    /// The UDP sockets on the ports of IKE in our network namespace.
    pub sockets: Probe<Vec<procfs::UdpSocket>>,
    /// The kernel's settings.
    pub kernel: Probe<procfs::Kernel>,
    /// The programs that also do IPsec, in our network namespace.
    pub processes: Probe<Vec<procfs::Process>>,
    /// The network interfaces.
    pub interfaces: Probe<Vec<network::Interface>>,
    /// The destinations in routing table 220, which is charon's.
    pub routes: Probe<Vec<network::Route>>,
    /// The kernel's IPsec policies.
    pub policies: Probe<Vec<network::Policy>>,
    /// The rules of nft and iptables.
    pub rules: rules::Rules,
    /// The routes to the addresses that were asked for, or why there is none.
    pub ways: Probe<BTreeMap<IpAddr, Probe<path::Path>>>,
    /// The packet sizes that fit through the installed CHILD_SAs, where they are known.
    pub sizes: Vec<PacketSize>,
    /// Whether the clock is synchronised.
    pub synchronised: Probe<bool>,
    /// What swanctl would load.
    pub conf: swanctl_files::Conf,
    /// The files that matter, with their modes.
    pub files: Probe<Vec<permissions::File>>,
    /// Groups with members whose rights amount to those of root.
    pub doors: Probe<Vec<groups::Door>>,
    /// The names in `conf_dir`.
    pub conf_files: Probe<Vec<String>>,
    /// The connections in ipsec.conf.
    pub ipsec_conf: Probe<Vec<String>>,
    /// The space for records.
    pub space: Probe<permissions::Space>,
}

/// Gathers all facts concurrently; `ends` are the addresses that packets must reach, `cut` the names of the
/// children whose hash is cut.
pub(super) async fn gather(
    places: &Places,
    strongswan: &StrongSwan,
    ends: BTreeSet<IpAddr>,
    cut: BTreeSet<String>,
) -> Facts {
    let (vici, charon, (interfaces, routes, policies), rules, synchronised, conf, disk, ways) = tokio::join!(
        charon_answers::socket(places),
        charon_answers::ask(strongswan),
        network::gather(&places.tools),
        rules::gather(&places.tools),
        clock(places),
        swanctl_files::gather(places),
        read_files(places),
        reading(places, move |places| self::ways(places, ends)),
    );
    let running = charon.as_ref().map(|answers| answers.running.clone()).unwrap_or_default();
    let sizes = reading(places, move |_| Ok(sizes(&running, &cut))).await.unwrap_or_default();
    Facts {
        uid: nix::unistd::Uid::effective().as_raw(),
        service: nix::unistd::User::from_name(SERVICE).ok().flatten().map(|user| user.uid.as_raw()),
        conf_dir: places.conf_dir.clone(),
        vici,
        charon,
        sockets: disk.sockets,
        kernel: disk.kernel,
        processes: disk.processes,
        interfaces,
        routes,
        policies,
        rules,
        ways,
        sizes,
        synchronised,
        conf,
        files: disk.files,
        doors: disk.doors,
        conf_files: disk.conf_files,
        ipsec_conf: disk.ipsec_conf,
        space: disk.space,
    }
}

/// The routes to these addresses. The kernel answers for this host alone, not for another root directory.
fn ways(places: &Places, ends: BTreeSet<IpAddr>) -> Probe<BTreeMap<IpAddr, Probe<path::Path>>> {
    if places.root != Path::new("/") {
        return Err(format!("the kernel has no routes for {}", places.root.display()).into());
    }
    Ok(ends.into_iter().map(|end| (end, path::path(end, None).map_err(|e| e.desc().into()))).collect())
}

fn sizes(running: &[IkeSa], cut: &BTreeSet<String>) -> Vec<PacketSize> {
    let of = |ike, sa: &ChildSa| path::fitting(ike, sa, cut.contains(&sa.name));
    running.iter().flat_map(|ike| ike.children.iter().filter_map(move |sa| of(ike, sa))).collect()
}

/// The facts that are read from files.
struct FromFiles {
    sockets: Probe<Vec<procfs::UdpSocket>>,
    kernel: Probe<procfs::Kernel>,
    processes: Probe<Vec<procfs::Process>>,
    files: Probe<Vec<permissions::File>>,
    doors: Probe<Vec<groups::Door>>,
    conf_files: Probe<Vec<String>>,
    ipsec_conf: Probe<Vec<String>>,
    space: Probe<permissions::Space>,
}

async fn read_files(places: &Places) -> FromFiles {
    let (sockets, kernel, processes, files, doors, conf_files, ipsec_conf, space) = tokio::join!(
        reading(places, |places| procfs::udp(&places.root)),
        reading(places, |places| procfs::kernel(&places.root)),
        reading(places, |places| procfs::processes(&places.root)),
        reading(places, permissions::files),
        reading(places, groups::doors),
        reading(places, |places| Ok(crate::disk::list(&places.conf_dir)?)),
        reading(places, |places| permissions::ipsec_conf(&places.below("etc/ipsec.conf"))),
        reading(places, |places| permissions::space(&places.state_dir)),
    );
    FromFiles { sockets, kernel, processes, files, doors, conf_files, ipsec_conf, space }
}

/// Whether the kernel's clock is synchronised. timedatectl calls adjtimex(2), which safe Rust cannot.
/// Without D-Bus, the mark of systemd-timesyncd counts.
async fn clock(places: &Places) -> Probe<bool> {
    let mark = places.below("run/systemd/timesync/synchronized");
    match places.tools.run("timedatectl", &["show", "--property=NTPSynchronized", "--value"], &[]).await {
        Ok(said) if said.stdout.trim() == "yes" => Ok(true),
        Ok(said) if said.stdout.trim() == "no" => Ok(false),
        _ if mark.exists() => Ok(true),
        Ok(said) => Err(said.failed("timedatectl")),
        Err(why) => Err(why),
    }
}
