//! CAs with keys and signatures that the agent's own library does not know, made by openssl.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use crate::certificates::Issued;
use std::{fs, path::Path, process::Command};
use tempfile::TempDir;

/// What a CA is made of: how its key is made, and how it signs.
pub struct Odd {
    pub name: &'static str,
    key: &'static [&'static str],
    sign: &'static [&'static str],
}

const PSS: &[&str] = &["-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:20"];

/// Those that charon can check.
#[rustfmt::skip]
pub const ODD: [Odd; 9] = [
    Odd { name: "P-521", key: &["EC", "-pkeyopt", "ec_paramgen_curve:P-521"], sign: &["-sha512"] },
    Odd { name: "brainpool-256", key: &["EC", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"], sign: &["-sha256"] },
    Odd { name: "brainpool-512", key: &["EC", "-pkeyopt", "ec_paramgen_curve:brainpoolP512r1"], sign: &["-sha512"] },
    Odd { name: "Ed448", key: &["ED448"], sign: &[] },
    Odd { name: "RSA-1024", key: &["RSA", "-pkeyopt", "rsa_keygen_bits:1024"], sign: &["-sha256"] },
    Odd { name: "P-256 with SHA-512", key: &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], sign: &["-sha512"] },
    Odd { name: "RSA with SHA-224", key: &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], sign: &["-sha224"] },
    Odd { name: "RSA-PSS with another salt", key: &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], sign: PSS },
    Odd { name: "RSA-PSS key", key: &["RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"], sign: &["-sha256"] },
];

/// One that charon cannot check.
pub const BEYOND: Odd =
    Odd { name: "P-256 with SHA-224", key: &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], sign: &["-sha224"] };

/// Keys of gateways, as `openssl req -newkey` takes them.
pub const P521: &[&str] = &["EC", "-pkeyopt", "ec_paramgen_curve:P-521"];
pub const RSA_PSS: &[&str] = &["RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"];

/// A certificate on P-256 for `name` that is signed by itself, and says that it is a CA or that it is none.
pub fn self_signed(name: &str, is_ca: bool) -> Issued {
    let folder = tempfile::tempdir().expect("a folder");
    let (subject, names) = (format!("/CN={name}"), format!("subjectAltName=DNS:{name}"));
    let is_ca = format!("basicConstraints=critical,CA:{}", if is_ca { "TRUE" } else { "FALSE" });
    run(
        folder.path(),
        &[
            &["req", "-x509", "-newkey", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key"],
            &["-out", "pem", "-days", "300", "-subj", &subject, "-addext", &names, "-addext", &is_ca],
        ],
    );
    let read = |file| fs::read_to_string(folder.path().join(file)).expect(file);
    Issued { key: read("key"), pem: read("pem") }
}

/// What a command of openssl makes of `input`.
pub fn openssl(args: &[&str], input: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("in"), input).expect("written");
    run(folder.path(), &[args, &["-in", "in", "-out", "out"]]);
    fs::read_to_string(folder.path().join("out")).expect("made")
}

fn run(folder: &Path, args: &[&[&str]]) {
    let output = Command::new("openssl").args(args.concat()).current_dir(folder).output().expect("openssl runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Such a CA, in a folder of its own.
pub struct OddCa {
    folder: TempDir,
    sign: &'static [&'static str],
}

impl OddCa {
    pub fn new(odd: &Odd) -> Self {
        Self::named(odd, odd.name)
    }

    pub fn named(odd: &Odd, name: &str) -> Self {
        let ca = Self { folder: tempfile::tempdir().expect("a folder"), sign: odd.sign };
        ca.run(&[&["genpkey", "-quiet", "-out", "ca.key", "-algorithm"], odd.key]);
        let subject = format!("/CN=test-only {name}");
        ca.run(&[
            &["req", "-x509", "-new", "-key", "ca.key", "-subj", &subject, "-days", "900"],
            &["-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", "ca.pem"],
            odd.sign,
        ]);
        ca
    }

    /// A CA whose name constraints are of the `kind`, and about subjects that begin with `base`.
    pub fn for_directory(kind: &str, base: &str) -> Self {
        let ca = Self { folder: tempfile::tempdir().expect("a folder"), sign: &["-sha256"] };
        let limits = format!("basicConstraints=critical,CA:TRUE\nnameConstraints=critical,{kind};dirName:base\n");
        ca.write(
            "ca.cnf",
            &format!("[req]\ndistinguished_name=dn\nx509_extensions=v\n[dn]\n[base]\n{base}\n[v]\n{limits}"),
        );
        ca.run(&[
            &["req", "-x509", "-newkey", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key"],
            &["-out", "ca.pem", "-days", "900", "-subj", "/CN=test-only directory", "-config", "ca.cnf"],
        ]);
        ca
    }

    fn run(&self, args: &[&[&str]]) {
        run(self.folder.path(), args);
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).expect(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect(name);
    }

    pub fn pem(&self) -> String {
        self.read("ca.pem")
    }

    /// A certificate for a key on P-256, with the one name and these extensions beside its being no CA.
    pub fn issue(&self, name: &str, extensions: &str) -> Issued {
        self.issue_to(&["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], name, extensions)
    }

    /// The same for a key of another kind.
    pub fn issue_to(&self, key: &[&str], name: &str, extensions: &str) -> Issued {
        self.issue_as(key, &format!("/CN={name}"), name, extensions)
    }

    /// The same with another subject.
    pub fn issue_as(&self, key: &[&str], subject: &str, name: &str, extensions: &str) -> Issued {
        self.write("leaf.cnf", &format!("basicConstraints=CA:FALSE\nsubjectAltName=DNS:{name}\n{extensions}"));
        self.run(&[
            &["req", "-new", "-nodes", "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", subject, "-newkey"],
            key,
        ]);
        self.run(&[
            &["x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"],
            &["-days", "800", "-extfile", "leaf.cnf", "-out", "leaf.pem"],
            self.sign,
        ]);
        Issued { key: self.read("leaf.key"), pem: self.read("leaf.pem") }
    }

    /// Its list of revoked certificates, which is empty.
    pub fn crl(&self) -> String {
        let digest = self.sign.first().map_or("default", |word| word.trim_start_matches('-'));
        self.write("index.txt", "");
        self.write("ca.cnf", &format!("[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ndefault_md={digest}\n"));
        let options = self.sign.get(1..).unwrap_or_default();
        self.run(&[
            &["ca", "-gencrl", "-config", "ca.cnf", "-keyfile", "ca.key", "-cert", "ca.pem", "-crldays", "300"],
            &["-out", "crl.pem"],
            options,
        ]);
        self.read("crl.pem")
    }

    /// The bundle with a certificate of it.
    pub fn bundle(&self, issued: &Issued) -> String {
        format!("{}{}{}", issued.key, issued.pem, self.pem())
    }
}
