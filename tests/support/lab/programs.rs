//! Which strongSwan the lab runs: this machine's, or the one of another Debian suite, from a root that `make roots`
//! has made. It only finds and prepares the programs; it may not run them.
//!
//! `CYGNET_STRONGSWAN` names the suite (`trixie`), looked for in `CYGNET_ROOTS`, or the root's whole path. A program of
//! a root runs in a mount namespace of its own, where the root's /usr lies over the machine's: its libraries, its
//! plugins and its loader are then the suite's, while /tmp, /run, /dev and the network stay those of the lab. The
//! namespace ends with its last process, so nothing stays mounted, however that process ends.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{Lab, Side};
use crate::support::{executables, run};

/// strongSwan's daemon, as Debian has it.
pub const CHARON: &str = "/usr/sbin/charon-systemd";

/// The program that loads it, as Debian has it.
pub const SWANCTL: &str = "/usr/sbin/swanctl";

/// What of strongSwan the lab runs, each with the Debian package that brings it.
const STRONGSWAN: [(&str, &str); 2] = [(CHARON, "charon-systemd"), (SWANCTL, "strongswan-swanctl")];

/// Where `make roots` makes the roots unless `CYGNET_ROOTS` says otherwise.
const ROOTS: &str = "/var/cache/cygnet/roots";

/// The root of the wanted strongSwan, `None` for this machine's own.
pub fn root() -> Option<PathBuf> {
    let wanted = std::env::var_os("CYGNET_STRONGSWAN").filter(|wanted| !wanted.is_empty())?;
    Some(roots().join(wanted))
}

/// The directory of the roots; a whole path that is joined to it replaces it.
fn roots() -> PathBuf {
    std::env::var_os("CYGNET_ROOTS").unwrap_or_else(|| ROOTS.into()).into()
}

/// The root of `suite` for one gateway of a lab, `None` for this machine's own; or why there is none.
pub fn root_of(suite: &str) -> Result<Option<PathBuf>, String> {
    if suite.is_empty() {
        return available_in(None).map(|()| None);
    }
    let root = roots().join(suite);
    available_in(Some(&root)).map(|()| Some(root))
}

/// Why the wanted strongSwan cannot be run; `Ok` when it can.
pub fn available() -> Result<(), String> {
    available_in(root().as_deref())
}

fn available_in(root: Option<&Path>) -> Result<(), String> {
    for (program, package) in STRONGSWAN {
        let path = within(root, program);
        if !path.exists() {
            let path = path.display();
            return Err(match root {
                Some(_) => format!("needs {path} (make roots)"),
                None => format!("needs {path} (package {package})"),
            });
        }
    }
    Ok(())
}

/// The numbers of the version of the strongSwan that labs run, such as `[5, 9, 8]`, as Debian's package has it.
pub fn version() -> [u32; 3] {
    static VERSION: OnceLock<[u32; 3]> = OnceLock::new();
    *VERSION.get_or_init(|| {
        let packages = within(root().as_deref(), "/var/lib/dpkg");
        let mut query = Command::new("dpkg-query");
        query.arg("--admindir").arg(packages).args(["--show", "--showformat=${Version}", "charon-systemd"]);
        let said = String::from_utf8_lossy(&run(&mut query).stdout).into_owned();
        let mut numbers = said.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
        std::array::from_fn(|_| numbers.next().unwrap_or_else(|| panic!("charon-systemd has the version {said:?}")))
    })
}

/// Where a program of the machine lies in a root.
fn within(root: Option<&Path>, program: &str) -> PathBuf {
    root.map_or_else(|| program.into(), |root| root.join(program.trim_start_matches('/')))
}

impl Lab {
    /// Puts the gateway's strongSwan programs into its directory. The machine's own are copied: an `AppArmor` profile
    /// attached to the path of the original would keep it out of the lab's directory.
    pub(super) fn prepare_programs(&self, side: Side) {
        let root = &self.inner.roots[side as usize];
        for (program, _) in STRONGSWAN {
            let place = self.place(side, program);
            match root {
                None => executables::copy(program, &place),
                Some(root) => executables::script(&place, &entrance(root, program)),
            }
        }
    }

    /// A strongSwan program for the gateway, or the original where the copy may not be run (a /tmp mounted noexec).
    pub(super) fn program(&self, side: Side, program: &str) -> PathBuf {
        let place = self.place(side, program);
        match nix::unistd::access(&place, nix::unistd::AccessFlags::X_OK) {
            Err(_) if self.inner.roots[side as usize].is_none() => program.into(),
            _ => place,
        }
    }

    fn place(&self, side: Side, program: &str) -> PathBuf {
        let name = Path::new(program).file_name().unwrap_or_default();
        self.side_directory(side).join("bin").join(name)
    }
}

/// A script that becomes the program of the root. Each step replaces the one before, so the pid is the program's.
fn entrance(root: &Path, program: &str) -> String {
    let (root, program) = (root.display(), within(Some(root), program));
    format!(
        "exec unshare --mount --propagation private \
         sh -c 'mount --bind \"$0\" /usr && exec \"$@\"' '{root}/usr' '{}' \"$@\"",
        program.display()
    )
}
