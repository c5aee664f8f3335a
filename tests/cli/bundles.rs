//! `cygnet bundle`: files as other programs write them become one text, which the agent takes; the private key is in that
//! file alone.

use super::tty::Terminal;
use crate::{
    certificates::{Ca, Kind},
    odd_cas::{ODD, OddCa, P521, openssl, self_signed},
    serve::{Bench, params, uuid},
};
use cygnet::ipsec::Certs;
use serde_json::json;
use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// Of several scripts, so that its two encodings differ.
const PASSPHRASE: &str = "test-only pässwörd €";

/// A folder with a private key, its certificate and its CA, and a file with the passphrase.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = Ca::new(Kind::Ecdsa, "CN=test-only CA");
    let issued = ca.issue(Kind::Ecdsa, "CN=gw", &["gw.example"]);
    for (name, text) in
        [("key", issued.key.as_str()), ("own", &issued.pem), ("ca", ca.pem()), ("pass", &format!("{PASSPHRASE}\n"))]
    {
        fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

fn ssl(folder: &Path, args: &[&str]) {
    let output = Command::new("openssl").args(args).current_dir(folder).output().expect("openssl runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).expect(name)
}

/// How `cygnet bundle` ends with these arguments: its exit code, and what it prints.
fn bundle(folder: &Path, args: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cygnet"));
    let output = command.arg("bundle").args(args).current_dir(folder).stdin(Stdio::null()).output().expect("started");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().expect("it ended"), String::from_utf8_lossy(&said).into_owned())
}

/// The bundle of these files, which must be the same as that of the three plain ones.
#[track_caller]
fn is_the_same(folder: &Path, what: &str, args: &[&str]) {
    let (code, said) = bundle(folder, &[args, &["--output", "out", "--force"]].concat());
    assert_eq!(code, 0, "{what}: {said}");
    assert!(!said.contains("BEGIN") && said.contains("gateway       CN=gw, until"), "{what}: {said}");
    let made = Certs::new(&read(folder, "out")).expect("a bundle");
    let plain = ["key", "own", "ca"].map(|name| read(folder, name)).concat();
    assert!(made == Certs::new(&plain).expect("a bundle"), "{what}");
    assert_eq!(fs::metadata(folder.join("out")).expect("written").permissions().mode() & 0o777, 0o600, "{what}");
}

#[track_caller]
fn is_refused(folder: &Path, args: &[&str], code: i32, words: &str) {
    let _ = fs::remove_file(folder.join("none"));
    let (ended, said) = bundle(folder, &[args, &["--output", "none"]].concat());
    assert!(ended == code && said.contains(words), "{args:?}: {ended} {said}");
    assert!(!folder.join("none").exists() && !said.contains(PASSPHRASE), "{args:?}: {said}");
}

/// Makes `p12` of the three files.
fn export(folder: &Path, passphrase: &str, more: &[&str]) {
    let pass = format!("pass:{passphrase}");
    let args =
        ["pkcs12", "-export", "-inkey", "key", "-in", "own", "-certfile", "ca", "-out", "p12", "-passout", &pass];
    ssl(folder, &[&args, more].concat());
}

#[test]
fn pkcs12_in_each_encoding() {
    let folder = folder();
    let folder = folder.path();
    for more in [
        &[][..],
        &["-legacy"],
        &["-legacy", "-descert"],
        &["-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"],
        &["-legacy", "-certpbe", "PBE-SHA1-RC2-128", "-keypbe", "PBE-SHA1-2DES"],
        &["-certpbe", "AES-128-CBC", "-keypbe", "AES-192-CBC", "-macalg", "sha512"],
        &["-certpbe", "DES-EDE3-CBC", "-keypbe", "DES-EDE3-CBC", "-macalg", "sha384"],
        &["-certpbe", "NONE", "-keypbe", "NONE"],
        &["-nomac"],
        &["-nomaciter", "-noiter"],
    ] {
        export(folder, PASSPHRASE, more);
        is_the_same(folder, &more.join(" "), &["p12", "--passphrase-file", "pass"]);
        fs::write(folder.join("wrong"), "wrong").expect("written");
        is_refused(
            folder,
            &["p12", "--passphrase-file", "wrong"],
            1,
            "cannot read p12: the passphrase does not open it",
        );
        is_refused(folder, &["p12"], 2, "p12 is under a passphrase");
    }
    // An empty passphrase needs none, in both readings of that.
    for more in [&[][..], &["-legacy"]] {
        export(folder, "", more);
        is_the_same(folder, "no passphrase", &["p12"]);
    }
    let digits = data_encoding::BASE64.encode(&fs::read(folder.join("p12")).expect("made"));
    fs::write(folder.join("digits"), digits).expect("written");
    is_the_same(folder, "base64", &["digits"]);
    let refused = Certs::new(&read(folder, "digits")).expect_err("no PEM").to_string();
    assert!(refused.contains("PKCS #12") && refused.contains("cygnet bundle"), "{refused}");
    // One that nobody should use any more is told by its identifier.
    export(folder, PASSPHRASE, &["-legacy", "-certpbe", "PBE-SHA1-RC4-128"]);
    is_refused(folder, &["p12", "--passphrase-file", "pass"], 1, "1.2.840.113549.1.12.1.1, which is not known here");
}

/// Other programs write lengths that end by a mark, and strings in pieces (X.690, section 8).
fn in_pieces(der: &[u8]) -> Vec<u8> {
    let mut made = Vec::new();
    let mut rest = der;
    while let [tag, first, ..] = rest {
        let (head, length) = match first {
            0x81 => (3, usize::from(rest[2])),
            0x82 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
            length => (2, usize::from(*length)),
        };
        let (whole, after) = rest.split_at(head + length);
        let content = &whole[head..];
        match tag {
            constructed if constructed & 0x20 != 0 => {
                made.extend([&[*tag, 0x80], in_pieces(content).as_slice(), &[0, 0]].concat());
            }
            0x04 | 0x80 if length > 100 => {
                made.extend([tag | 0x20, 0x80]);
                for piece in content.chunks(64) {
                    made.extend([0x04, u8::try_from(piece.len()).expect("short")]);
                    made.extend(piece);
                }
                made.extend([0, 0]);
            }
            _ => made.extend(whole),
        }
        rest = after;
    }
    made
}

#[test]
fn pkcs12_in_pieces_and_cut() {
    let folder = folder();
    let folder = folder.path();
    export(folder, PASSPHRASE, &[]);
    let der = fs::read(folder.join("p12")).expect("made");
    fs::write(folder.join("pieces"), in_pieces(&der)).expect("written");
    is_the_same(folder, "in pieces", &["pieces", "--passphrase-file", "pass"]);
    // Whatever is missing or altered, it is refused, unless nothing depends on it.
    let plain = Certs::new(&["key", "own", "ca"].map(|name| read(folder, name)).concat()).expect("a bundle");
    for step in 0..40 {
        let at = der.len() * step / 40;
        let mut altered = der.clone();
        altered[at] ^= 0x55;
        for bytes in [&der[..at], &altered] {
            fs::write(folder.join("bad"), bytes).expect("written");
            let (code, said) = bundle(folder, &["bad", "--passphrase-file", "pass", "--output", "none", "--force"]);
            let is_whole = || Certs::new(&read(folder, "none")).is_ok_and(|made| made == plain);
            assert!(
                if code == 0 { is_whole() } else { code == 1 && said.starts_with("cygnet: ") },
                "{at}: {code} {said}"
            );
        }
    }
}

#[test]
fn files_of_one_part_each() {
    let folder = folder();
    let folder = folder.path();
    let file = |name: &str, args: &[&str]| ssl(folder, &[args, &["-out", name]].concat());
    let pass = format!("pass:{PASSPHRASE}");
    is_the_same(folder, "PEM, and one of them twice", &["ca", "key", "own", "ca"]);
    file("own.der", &["x509", "-in", "own", "-outform", "der"]);
    file("ca.der", &["x509", "-in", "ca", "-outform", "der"]);
    file("key.der", &["pkcs8", "-topk8", "-nocrypt", "-in", "key", "-outform", "der"]);
    is_the_same(folder, "DER", &["own.der", "ca.der", "key.der"]);
    file("enc", &["pkcs8", "-topk8", "-in", "key", "-passout", &pass]);
    file("enc.der", &["pkcs8", "-topk8", "-in", "key", "-passout", &pass, "-outform", "der"]);
    for key in ["enc", "enc.der"] {
        is_the_same(folder, key, &[key, "own", "ca", "--passphrase-file", "pass"]);
        is_refused(folder, &[key, "own", "ca"], 2, "is under a passphrase");
    }
    file("p7", &["crl2pkcs7", "-nocrl", "-certfile", "own", "-certfile", "ca"]);
    file("p7.der", &["crl2pkcs7", "-nocrl", "-certfile", "own", "-certfile", "ca", "-outform", "der"]);
    is_the_same(folder, "PKCS #7", &["p7", "key"]);
    is_the_same(folder, "PKCS #7 in DER", &["key", "p7.der"]);
    file("old", &["ec", "-in", "key", "-aes128", "-passout", &pass]);
    is_refused(folder, &["old", "own", "ca", "--passphrase-file", "pass"], 1, "openssl pkcs8 -topk8 writes it anew");
    is_refused(folder, &["key", "own"], 1, "the bundle has no CA");
    is_refused(folder, &["own", "ca"], 1, "the bundle has no private key");
    is_refused(folder, &["pass"], 1, "it is none of these: PKCS #12, PKCS #7");
    is_refused(folder, &["nowhere"], 1, "cannot read nowhere");
    is_refused(folder, &["-", "own", "--passphrase-file", "-"], 2, "standard input can be one of the files");
}

#[test]
fn other_keys_lists_and_the_peers_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let ca = OddCa::new(&ODD[0]);
    let (issued, peer) = (ca.issue_to(P521, "gw.example", ""), self_signed("peer.example", false));
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("written");
    for (name, text) in
        [("key", &issued.key), ("own", &issued.pem), ("ca", &ca.pem()), ("crl", &ca.crl()), ("peer", &peer.pem)]
    {
        write(name, text);
    }
    write("sec1", &openssl(&["ec"], &issued.key));
    ssl(folder, &["ec", "-in", "sec1", "-outform", "der", "-out", "sec1.der"]);
    ssl(folder, &["crl", "-in", "crl", "-outform", "der", "-out", "crl.der"]);
    let (code, said) = bundle(folder, &["sec1.der", "own", "ca", "crl.der", "peer", "--output", "out"]);
    assert!(code == 0 && said.contains("peer          CN=peer.example") && said.contains("crl           of"), "{said}");
    assert!(said.starts_with("out, for authKey with authMode certs:"), "{said}");
    // The agent takes it as it is.
    let b = Bench::start();
    let options = json!({ "authMode": "certs", "authKey": read(folder, "out"), "idType": "fqdn", "localId": "gw.example",
                          "remoteId": "peer.example" });
    b.create(&params(7, &options)).expect(200);
    assert!(fs::read_to_string(b.conf(&uuid(7))).expect("written").contains("auth = pubkey"));
}

#[test]
fn nothing_is_replaced_or_shown_unasked() {
    let folder = folder();
    let folder = folder.path();
    let files = ["key", "own", "ca"];
    let there = folder.join("there");
    fs::write(&there, "kept").expect("written");
    fs::set_permissions(&there, Permissions::from_mode(0o644)).expect("changed");
    let to = |more: &[&str]| bundle(folder, &[&files, more].concat());
    let (code, said) = to(&["--output", "there"]);
    assert!(code == 1 && said.contains("there exists; nothing was written") && said.contains("--force"), "{said}");
    assert_eq!(read(folder, "there"), "kept");
    assert_eq!(to(&["--output", "there", "--force"]).0, 0);
    assert_eq!(fs::metadata(&there).expect("there").permissions().mode() & 0o777, 0o600);
    symlink("elsewhere", folder.join("link")).expect("linked");
    let (code, said) = to(&["--output", "link", "--force"]);
    assert!(code == 1 && said.contains("link is no regular file") && !folder.join("elsewhere").exists(), "{said}");
    assert_eq!(to(&[]).0, 2, "where to is to be said");
    // Standard output: a pipe, a file for the owner alone, and one for everybody.
    let (code, said) = to(&["--output", "-"]);
    assert!(code == 0 && said.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{said}");
    for (mode, expected) in [(0o600, 0), (0o644, 1), (0o640, 1)] {
        let file = File::create(folder.join("stdout")).expect("made");
        file.set_permissions(Permissions::from_mode(mode)).expect("changed");
        let mut command = Command::new(env!("CARGO_BIN_EXE_cygnet"));
        let command = command.arg("bundle").args(files).args(["--output", "-"]).current_dir(folder).stdout(file);
        let output = command.stderr(Stdio::piped()).output().expect("started");
        assert_eq!(output.status.code(), Some(expected), "{mode:o}");
        assert_eq!(read(folder, "stdout").is_empty(), expected == 1, "{mode:o}");
    }
    let left: Vec<_> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".cygnet")), "{left:?}");
}

#[test]
fn a_terminal_asks_for_the_passphrase_and_does_not_show_it() {
    let folder = folder();
    let (p12, out) = (folder.path().join("p12"), folder.path().join("out"));
    export(folder.path(), "test-only-typed", &[]);
    let b = Bench::start();
    let words = ["bundle", p12.to_str().expect("UTF-8"), "--output", out.to_str().expect("UTF-8")];
    for (typed, code) in [("test-only-wrong", 1), ("test-only-typed", 0)] {
        let mut terminal = Terminal::start(&b, &words, &[]);
        terminal.until("p12 (not shown): ");
        assert!(!terminal.echoes());
        terminal.types(typed);
        let (ended, shown) = terminal.end();
        assert_eq!(ended, code, "{shown}");
        assert!(!shown.contains(typed) && !shown.contains("PRIVATE KEY"), "{shown}");
        assert_eq!(out.exists(), code == 0);
    }
}
