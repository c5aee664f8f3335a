//! The archive of `cygnet support` has no secret of this gateway, whatever the programs that it runs print.

use super::needles::Needles;
use crate::{
    certificates::{Ca, Kind},
    executables,
    serve::{Bench, Options, TOKEN, hex, params, uuid},
};
use data_encoding::BASE64;
use serde_json::json;
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Output},
};

const PSK: &str = "test-only-psk-Qx7Zr2-unmistakable";
const PASSWORD: &str = "test-only-password-Vb81kk-unmistakable";
const HOOK: &str = "test-only-hook-token-Wn3pp0-unmistakable";

/// Puts a program before those of this machine.
fn program(b: &Bench, name: &str, script: &str) {
    fs::create_dir_all(b.path("bin")).expect("a directory");
    executables::script(b.path("bin").join(name), script);
}

/// What charon's highest level makes of a secret.
fn dump(secret: &str) -> String {
    let row = |(number, row): (usize, &[u8])| {
        let bytes = row.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ");
        format!("{:>4}: {bytes}  {}\n", 16 * number, String::from_utf8_lossy(row))
    };
    let rows: String = secret.as_bytes().chunks(16).enumerate().map(row).collect();
    format!("secret => {} bytes @ 0x7f0000000000\n{rows}", secret.len())
}

fn support(b: &Bench, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cygnet"));
    command.arg("support").args(more).arg("--config").arg(b.path("cygnet.toml")).current_dir(b.path("here"));
    let path = format!("{}:{}", b.path("bin").display(), std::env::var("PATH").expect("a path"));
    command.env("PATH", path).env_remove("CYGNET_CONFIG").output().expect("it ends")
}

/// The contents of an archive below `to`, as tar unpacks it.
fn unpacked(archive: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    let done = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(to).status().expect("tar runs");
    assert!(done.success(), "{}", archive.display());
}

#[test]
fn an_archive_has_no_secret() {
    let top = "mask_auth_key = false\n# test-only-comment-4711-unmistakable";
    let mut b = Bench::with(&Options { log: "trace", top, ..Options::default() });
    fs::create_dir(b.path("here")).expect("a directory");
    let ca = Ca::new(Kind::Ecdsa, "CN=test-only CA");
    let issued = ca.issue(Kind::Ecdsa, "CN=gw", &["gw.example"]);
    let private: String = issued.key.lines().filter(|line| !line.starts_with("-----")).collect();
    b.create(&params(7, &json!({ "authKey": PSK }))).expect(200);
    let certs =
        json!({ "authMode": "certs", "authKey": issued.bundle(&[&ca]), "idType": "name", "remoteId": "CN=peer" });
    b.create(&params(8, &certs)).expect(200);
    // A call with a secret in its web hook.
    let hook = format!("http://127.0.0.1:9/{HOOK}?token={HOOK}");
    let body = json!({ "updateIPsecConnection": { "description": "x" } }).to_string();
    let token = format!("OAuth {TOKEN}");
    let headers = [("Authorization", token.as_str()), ("X-Web-Hook", hook.as_str()), ("X-Job-UUID", &uuid(99))];
    b.tcp().request("PUT", &format!("/zstack/v1/ipsec/{}", uuid(7)), &headers, body.as_bytes()).expect("answered");
    let forms = |secret: &str| {
        format!(
            "{secret}\n{}\n{}\n0x{}\n",
            hex(secret.as_bytes()),
            BASE64.encode(secret.as_bytes()),
            hex(secret.as_bytes()).to_uppercase()
        )
    };
    let said =
        [PSK, TOKEN].map(|secret| forms(secret) + &dump(secret)).concat() + &issued.key + &dump(HOOK) + &dump(PASSWORD);
    fs::write(b.path("said"), said + &b.logs()).expect("written");
    for name in ["journalctl", "nft", "swanctl"] {
        program(&b, name, &format!("cat {}", b.path("said").display()));
    }
    let keys = format!(
        "echo \"src 192.0.2.1 dst 192.0.2.2 $*\"; echo 'auth-trunc hmac(sha256) 0x{} 128'",
        hex(HOOK.as_bytes())
    );
    program(&b, "ip", &keys);
    program(&b, "ss", "echo ss: not permitted >&2; exit 1");
    let done = support(&b, &[]);
    assert!(done.status.success(), "{done:?}");
    let name = crate::serve::files(&b.path("here")).pop().expect("an archive");
    assert!(name.starts_with("cygnet-support-") && name.ends_with(".tar.gz"), "{name}");
    let archive = b.path("here").join(&name);
    assert_eq!(fs::metadata(&archive).expect("it is there").permissions().mode() & 0o7777, 0o600);
    let to = b.path("unpacked");
    unpacked(&archive, &to);
    let needles = Needles::new(&[PSK, TOKEN, PASSWORD, HOOK, &private[64..90], "test-only-comment-4711-unmistakable"]);
    let leaks = needles.files_below(&to);
    let forms = leaks.iter().map(|file| format!("{file}: {:?}", needles.found_in(&fs::read(file).expect("read"))));
    assert_eq!(leaks, [""; 0], "{:#?}", forms.collect::<Vec<_>>());
    assert!(!needles.found_in(&fs::read(b.path("said")).expect("read")).is_empty(), "the search finds them");
    let read =
        |name: &str| fs::read_to_string(to.join("cygnet-support").join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let index = read("index.txt");
    for said in [
        "journal.txt",
        "net/sockets.txt                              missing: ss: ss: not permitted",
        "net/xfrm-state.txt",
        "never taken",
    ] {
        assert!(index.contains(said), "{said}: {index}");
    }
    assert!(read("net/xfrm-state.txt").contains("xfrm state list nokeys"), "the keys are not asked for");
    assert!(read("journal.txt").contains("(a line that may hold a key)"));
    assert!(read(&format!("connections/{}.json", uuid(7))).contains("\"authKey\": \"******\""));
    assert!(read("settings.json").contains("tokens") && read("doctor.json").contains("findings"));
    assert!(!read(&format!("connections/{}.log", uuid(8))).is_empty() && read("metrics.txt").ends_with("# EOF\n"));

    let again = support(&b, &[archive.to_str().expect("text")]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("nothing is overwritten"), "{again:?}");
    unpacked(&archive, &b.path("the same"));
    symlink(b.path("elsewhere"), b.path("here/link")).expect("a link");
    assert_eq!(support(&b, &["link"]).status.code(), Some(1));
    assert!(!b.path("elsewhere").exists(), "no link is followed");

    // What cannot be had has its reason, and what can be is there.
    b.stop();
    assert!(support(&b, &["away.tar.gz"]).status.success());
    unpacked(&b.path("here/away.tar.gz"), &b.path("away"));
    let index = fs::read_to_string(b.path("away/cygnet-support/index.txt")).expect("read");
    assert!(
        index.contains("missing: cannot reach the agent") && b.path("away/cygnet-support/journal.txt").exists(),
        "{index}"
    );
    assert_eq!(needles.files_below(&b.path("away")), [""; 0]);
    let settings = fs::read_to_string(b.path("cygnet.toml")).expect("settings");
    let faulty = settings.replace("127.0.0.1:0", HOOK).replace("[auth]", &format!("[auth]\npassword = \"{PASSWORD}\""));
    fs::write(b.path("cygnet.toml"), faulty).expect("written");
    assert!(support(&b, &["faulty.tar.gz"]).status.success());
    unpacked(&b.path("here/faulty.tar.gz"), &b.path("faulty"));
    let index = fs::read_to_string(b.path("faulty/cygnet-support/index.txt")).expect("read");
    assert!(index.contains("not those of settings that have faults"), "{index}");
    let settings = fs::read_to_string(b.path("faulty/cygnet-support/settings.json")).expect("read");
    assert!(settings.contains("\"listen\"") && index.contains("settings-faults.txt"), "{settings}");
    assert_eq!(needles.files_below(&b.path("faulty")), [""; 0]);
}
