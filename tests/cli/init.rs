//! `cygnet init`: what it writes below another root, that a second run changes nothing, and what it asks on a terminal.

use super::tty::Terminal;
use crate::serve::{Bench, Options};
use cygnet::{
    http::tls::Tls,
    settings::{self, Settings},
};
use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

const CONFIG: &str = "etc/cygnet/cygnet.toml";
const SITE: &str = "etc/cygnet/conf.d/10-site.toml";
const TOKENS: &str = "etc/cygnet/credentials/tokens";

/// Runs it below `root`: the exit code, and what it says.
fn init(root: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cygnet"));
    command
        .arg("init")
        .args(arguments)
        .arg("--root")
        .arg(root)
        .env_remove("CYGNET_CONFIG")
        .stdin(std::process::Stdio::null());
    let output = command.output().expect("it runs");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8")).concat();
    (output.status.code().expect("no signal"), text)
}

fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn mode(root: &Path, path: &str) -> u32 {
    fs::metadata(root.join(path)).expect("there").permissions().mode() & 0o7777
}

/// All files below `root`.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut all, mut left) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else {
                all.insert(path.clone(), fs::read(path).expect("read"));
            }
        }
    }
    all
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn a_script_sets_a_gateway_up_and_a_second_run_changes_nothing() {
    let root = directory();
    let root = root.path();
    let arguments = ["--yes", "--vip", "192.0.2.1", "--network", "office=10.1.0.0/24", "--network", "10.2.0.0/16"];
    let (code, said) = init(root, &arguments);
    assert_eq!(code, 0, "{said}");
    let settings = Settings::read(&root.join(CONFIG)).expect("valid without a main file");
    let vip = &settings.gateway.vips[0];
    assert_eq!(
        (vip.name.as_deref(), vip.address, vip.uuid.len()),
        (Some("wan"), "192.0.2.1".parse::<IpAddr>().expect("one"), 32)
    );
    let names: Vec<_> = settings.gateway.l3_networks.iter().map(|net| net.name.as_deref().expect("a name")).collect();
    assert_eq!((names, settings.listen), (vec!["office", "lan"], None), "nothing is opened");
    assert_eq!(settings.auth.tokens_file.as_deref(), Some(Path::new("/etc/cygnet/credentials/tokens")));
    let tokens = read(root, TOKENS);
    let token = tokens.trim_end().strip_prefix("plane:").expect("its name");
    assert!(token.len() == 64 && said.matches(token).count() == 1, "it is shown once: {said}");
    assert!(!read(root, SITE).contains(token));
    assert_eq!((mode(root, SITE), mode(root, TOKENS), mode(root, "etc/cygnet/credentials")), (0o644, 0o600, 0o700));
    for words in ["UDP 500, UDP 4500, ESP", "orwarding"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let next = "Next:\n  systemctl restart cygnet\n  cygnet create NAME --peer ADDRESS --network office --peer-cidr CIDR --generate-key\n";
    assert!(said.ends_with(next), "{said}");
    assert!(cygnet::http::Tokens::read(&root.join(TOKENS)).is_ok());

    let before = files(root);
    for again in [&arguments[..], &["--yes"]] {
        let (code, said) = init(root, again);
        assert!(code == 0 && said.contains("kept ") && !said.contains(token) && said.contains("office"), "{said}");
        assert_eq!(files(root), before);
    }
}

#[test]
fn beyond_loopback_it_makes_a_certificate() {
    let root = directory();
    let root = root.path();
    let (code, said) =
        init(root, &["--yes", "--vip", "192.0.2.1", "--network", "10.1.0.0/24", "--listen", "192.0.2.1:8443"]);
    assert!(
        code == 0 && said.contains("SHA-256 of the certificate: ") && said.contains("https://192.0.2.1:8443"),
        "{said}"
    );
    let settings = Settings::read(&root.join(CONFIG)).expect("valid");
    let below = |path: &Path| root.join(path.strip_prefix("/").expect("absolute"));
    let tls = settings.tls.expect("tls");
    let here = settings::Tls { cert: below(&tls.cert), key: below(&tls.key), client_ca: None };
    Tls::new(&here).map(drop).expect("a certificate and its key");
    assert_eq!(mode(root, "etc/cygnet/credentials/tls.key"), 0o600);
    let shown =
        Command::new("openssl").args(["x509", "-noout", "-ext", "subjectAltName", "-in"]).arg(&here.cert).output();
    if let Ok(shown) = shown.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()) {
        assert!(shown.contains("IP Address:192.0.2.1") && shown.contains("DNS:localhost"), "{shown}");
    }
    let before = files(root);
    assert_eq!(init(root, &["--yes", "--tls"]).0, 0);
    assert_eq!(files(root), before, "the certificate is kept");
}

#[test]
fn what_is_there_is_kept_and_added_to() {
    let root = directory();
    let root = root.path();
    let own = "# an operator's\nmask_auth_key = true\n\n[charon]\nwait = \"9s\"\n[[gateway.vips]]\nuuid = \"mine\"\naddress = \"192.0.2.1\"\n";
    fs::create_dir_all(root.join("etc/cygnet/conf.d")).expect("made");
    fs::write(root.join(SITE), own).expect("written");
    fs::set_permissions(root.join(SITE), fs::Permissions::from_mode(0o640)).expect("a mode");
    let more = [
        "--yes",
        "--vip",
        "dsl=192.0.2.9",
        "--vip",
        "192.0.2.1",
        "--network",
        "10.1.0.0/24",
        "--listen",
        "127.0.0.1:8080",
    ];
    let (code, said) = init(root, &more);
    assert_eq!(code, 0, "{said}");
    assert!(read(root, SITE).contains(own) && mode(root, SITE) == 0o640, "{}", read(root, SITE));
    let settings = Settings::read(&root.join(CONFIG)).expect("valid");
    let vips: Vec<_> = settings.gateway.vips.iter().map(|vip| (vip.uuid.len(), vip.name.as_deref())).collect();
    assert_eq!(vips, [(4, None), (32, Some("dsl"))]);
    assert!(settings.mask_auth_key && settings.listen.is_some() && settings.tls.is_none());
    let (code, said) = init(root, &["--yes", "--vip", "dsl=192.0.2.10"]);
    assert!(code == 1 && said.contains("another dsl"), "{said}");
    for wrong in [&["--yes", "--vip", "here"][..], &["--yes", "--network", "10.1.0.0"], &[]] {
        assert_eq!(init(root, wrong).0, 2, "{wrong:?}");
    }
    fs::write(root.join(CONFIG), "\nnosuch = 1\n").expect("written");
    let (code, said) = init(root, &["--yes"]);
    assert!(code == 1 && said.contains("cygnet.toml:2: ") && said.contains("serve --check"), "{said}");
}

#[test]
fn a_terminal_is_asked() {
    let (b, root) = (Bench::idle(&Options::default()), directory());
    let config = root.path().join(b.path("cygnet.toml").strip_prefix("/").expect("absolute"));
    fs::create_dir_all(config.parent().expect("a directory")).expect("made");
    fs::write(&config, "").expect("written");
    let mut terminal = Terminal::start(&b, &["init", "--root", root.path().to_str().expect("UTF-8")], &[]);
    terminal.until("Public addresses of this gateway");
    terminal.types("192.0.2.1 six=2001:db8::1");
    terminal.until("Networks behind this gateway");
    terminal.types("lab=10.1.0.0/24");
    terminal.until("management plane over HTTP [none]: ");
    terminal.types("");
    // Whether it asks about forwarding depends on the machine.
    terminal.until("orwarding");
    terminal.types("n");
    let (code, shown) = terminal.end();
    assert!(code == 0 && shown.contains("--network lab"), "{shown}");
    let settings = Settings::read(&config).expect("valid");
    let names: Vec<_> = settings.gateway.vips.iter().map(|vip| vip.name.as_deref().expect("a name")).collect();
    assert_eq!((names, settings.listen), (vec!["wan", "six"], None));
    assert!(!root.path().join("etc/sysctl.d").exists());
}
