//! What this gateway is at this moment: facts for the doctor, each gathered by a function of its own and within a time.
//! Nothing here judges, and nothing here changes anything. What could not be looked at says why.

pub mod charon_answers;
pub mod groups;
pub mod nat;
pub mod network;
pub mod permissions;
pub mod procfs;
pub mod swanctl_files;
pub mod tools;

use crate::{doctor::facts::tools::Tools, settings::Settings, strongswan::StrongSwan};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::Semaphore;

/// A fact, or why it could not be had.
pub type Seen<T> = Result<T, String>;

/// How long one look may take, whatever hangs: a process, a file system, charon.
const PATIENCE: Duration = Duration::from_secs(4);
/// The user of the packaged unit.
const SERVICE: &str = "cygnet";

/// Where to look.
#[derive(Debug, Clone)]
pub struct Places {
    /// What stands before `/proc`, `/run` and `/etc`: `/`, but for tests.
    pub root: PathBuf,
    /// swanctl's directory.
    pub swanctl_dir: PathBuf,
    /// Where the connections' files are.
    pub conf_dir: PathBuf,
    /// Where the records are.
    pub state_dir: PathBuf,
    /// charon's vici socket.
    pub vici: PathBuf,
    /// The settings file, where it is known.
    pub settings: Option<PathBuf>,
    /// The files of tokens, accounts and the TLS key; systemd's credentials are systemd's affair.
    pub secrets: Vec<PathBuf>,
    /// The programs to ask.
    pub tools: Tools,
}

/// What was found.
#[derive(Debug)]
pub struct Facts {
    /// The user that looked.
    pub uid: u32,
    /// The user that the agent runs as where the package made one.
    pub service: Option<u32>,
    /// Where the connections' files are.
    pub conf_dir: PathBuf,
    /// charon's vici socket.
    pub vici: crate::doctor::facts::charon_answers::Socket,
    /// What charon says.
    pub charon: Seen<crate::doctor::facts::charon_answers::Answers>,
    /// The UDP sockets on the ports of IKE in our network namespace.
    pub sockets: Seen<Vec<crate::doctor::facts::procfs::UdpSocket>>,
    /// The kernel's settings.
    pub kernel: Seen<crate::doctor::facts::procfs::Kernel>,
    /// The programs that also do IPsec, in our network namespace.
    pub processes: Seen<Vec<crate::doctor::facts::procfs::Process>>,
    /// The network interfaces.
    pub interfaces: Seen<Vec<crate::doctor::facts::network::Interface>>,
    /// The destinations in routing table 220, which is charon's.
    pub routes: Seen<Vec<crate::doctor::facts::network::Route>>,
    /// The kernel's IPsec policies.
    pub policies: Seen<Vec<crate::doctor::facts::network::Policy>>,
    /// The rules that change source addresses.
    pub nat: nat::Nat,
    /// Whether the clock is synchronised.
    pub synchronised: Seen<bool>,
    /// What swanctl would load.
    pub conf: crate::doctor::facts::swanctl_files::Conf,
    /// The files that matter, with their modes.
    pub files: Seen<Vec<crate::doctor::facts::permissions::File>>,
    /// Groups that are as good as root, and have members.
    pub doors: Seen<Vec<crate::doctor::facts::groups::Door>>,
    /// The names in `conf_dir`.
    pub conf_files: Seen<Vec<String>>,
    /// The connections in ipsec.conf.
    pub ipsec_conf: Seen<Vec<String>>,
    /// The space for records.
    pub space: Seen<crate::doctor::facts::permissions::Space>,
}

impl Places {
    /// The places that `settings` name; `file` is where they stand.
    #[must_use]
    pub fn of(settings: &Settings, file: Option<&Path>) -> Self {
        let auth = [&settings.auth.tokens_file, &settings.auth.accounts_file].into_iter().flatten();
        let secrets = auth.chain(settings.tls.as_ref().map(|tls| &tls.key));
        Self {
            root: "/".into(),
            swanctl_dir: settings.swanctl_dir.clone(),
            conf_dir: settings.conf_dir(),
            state_dir: settings.state_dir.clone(),
            vici: settings.charon.vici.clone(),
            settings: file.map(Into::into),
            secrets: secrets.filter(|path| path.to_string_lossy().contains('/')).cloned().collect(),
            tools: Tools::default(),
        }
    }

    /// The path below the root.
    fn below(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

/// Gathers all facts, at once where they do not need each other.
pub async fn gather(places: &Places, swan: &StrongSwan) -> Facts {
    let (vici, charon, (interfaces, routes, policies), nat, synchronised, conf, disk) = tokio::join!(
        crate::doctor::facts::charon_answers::socket(places),
        crate::doctor::facts::charon_answers::ask(swan),
        crate::doctor::facts::network::look(&places.tools),
        nat::look(&places.tools),
        clock(places),
        crate::doctor::facts::swanctl_files::look(places),
        look(places),
    );
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
        nat,
        synchronised,
        conf,
        files: disk.files,
        doors: disk.doors,
        conf_files: disk.conf_files,
        ipsec_conf: disk.ipsec_conf,
        space: disk.space,
    }
}

/// What is read off files.
struct Read {
    sockets: Seen<Vec<crate::doctor::facts::procfs::UdpSocket>>,
    kernel: Seen<crate::doctor::facts::procfs::Kernel>,
    processes: Seen<Vec<crate::doctor::facts::procfs::Process>>,
    files: Seen<Vec<crate::doctor::facts::permissions::File>>,
    doors: Seen<Vec<crate::doctor::facts::groups::Door>>,
    conf_files: Seen<Vec<String>>,
    ipsec_conf: Seen<Vec<String>>,
    space: Seen<crate::doctor::facts::permissions::Space>,
}

async fn look(places: &Places) -> Read {
    let (sockets, kernel, processes, files, doors, conf_files, ipsec_conf, space) = tokio::join!(
        reading(places, |places| crate::doctor::facts::procfs::udp(&places.root)),
        reading(places, |places| crate::doctor::facts::procfs::kernel(&places.root)),
        reading(places, |places| crate::doctor::facts::procfs::processes(&places.root)),
        reading(places, crate::doctor::facts::permissions::files),
        reading(places, crate::doctor::facts::groups::doors),
        reading(places, |places| crate::disk::list(&places.conf_dir).map_err(|e| e.to_string())),
        reading(places, |places| crate::doctor::facts::permissions::ipsec_conf(&places.below("etc/ipsec.conf"))),
        reading(places, |places| crate::doctor::facts::permissions::space(&places.state_dir)),
    );
    Read { sockets, kernel, processes, files, doors, conf_files, ipsec_conf, space }
}

/// How many reads may hang at once: what hangs holds its thread, however often the doctor is asked.
static READS: Semaphore = Semaphore::const_new(16);

/// Reads files on a thread that may block: a hung file system costs the answer, not the doctor.
async fn reading<T: Send + 'static>(
    places: &Places,
    read: impl FnOnce(&Places) -> Seen<T> + Send + 'static,
) -> Seen<T> {
    let places = places.clone();
    let look = async {
        let permit = READS.acquire().await.map_err(|e| e.to_string())?;
        let read = move || (read(&places), drop(permit)).0;
        tokio::task::spawn_blocking(read).await.map_err(|e| e.to_string())?
    };
    match tokio::time::timeout(PATIENCE, look).await {
        Ok(seen) => seen,
        Err(_) => Err(format!("not read within {} s", PATIENCE.as_secs())),
    }
}

/// Whether the kernel says that somebody keeps its clock right. timedatectl asks adjtimex(2), which safe Rust cannot;
/// where there is no D-Bus to ask through, systemd-timesyncd's own mark counts.
async fn clock(places: &Places) -> Seen<bool> {
    let mark = places.below("run/systemd/timesync/synchronized");
    match places.tools.run("timedatectl", &["show", "--property=NTPSynchronized", "--value"], &[]).await {
        Ok(said) if said.stdout.trim() == "yes" => Ok(true),
        Ok(said) if said.stdout.trim() == "no" => Ok(false),
        _ if mark.exists() => Ok(true),
        Ok(said) => Err(format!("timedatectl: {}", said.complaint())),
        Err(why) => Err(why),
    }
}
