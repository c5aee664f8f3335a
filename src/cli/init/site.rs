//! The text of `conf.d/10-site.toml`. What is in the file stays as it is; what is missing is added.

use super::{credentials::Credentials, wanted::Wanted};
use crate::cli::stop::{Result, Stop};
use cygnet::{
    disk::{
        self,
        open::{Kind, read_to_string},
    },
    rights,
    settings::Settings,
};
use serde_json::Value;
use std::{fmt::Write, io::ErrorKind, path::Path};
use uuid::Uuid;

const HEAD: &str = "# This gateway, as `cygnet init` found it. Edit it freely: init adds what is missing and changes nothing else.\n\
                    # `cygnet serve --check` names mistakes; cygnet.toml(5) describes all settings.\n";

/// What is to be in the file.
pub struct Site<'a> {
    pub wanted: &'a Wanted,
    pub made: &'a Credentials,
}

impl Site<'_> {
    /// Adds to the file what it lacks; whether there was anything.
    pub fn write(&self, file: &Path) -> Result<bool> {
        let failed = |doing: &str, e: &dyn std::fmt::Display| {
            Stop::failed(format!("cannot {doing} {}: {e}", file.display())).hint("run it as root")
        };
        let (old, mode) = match read_to_string(file, Kind::Operator) {
            Ok(text) => (Some(text), file.metadata().ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => (None, None),
            Err(error) => return Err(failed("read", &rights::explained(&error))),
        };
        let new = self.text(old.as_deref());
        if old.as_deref() == Some(&new) {
            return Ok(false);
        }
        Settings::parse(&new).map_err(|e| Stop::failed(format!("what would be written is not valid: {e}")))?;
        let directory = file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory).map_err(|e| failed("make the directory of", &rights::explained(&e)))?;
        let mut staged = disk::stage(file, new.as_bytes(), 0o644).map_err(|e| failed("write", &e))?;
        if let Some(before) = mode {
            staged.belong_as(&before).map_err(|e| failed("write", &e))?;
        }
        staged.commit().map_err(|e| failed("write", &e))?;
        Ok(true)
    }

    /// The file with what it lacks. A key without a section has to come before all sections.
    fn text(&self, old: Option<&str>) -> String {
        let (mut top, mut rest) = (String::new(), String::new());
        if let Some(listen) = self.wanted.listen {
            let _ = writeln!(top, "listen = \"{listen}\"");
        }
        if let Some(path) = &self.made.tokens {
            let _ = writeln!(rest, "\n[auth]\ntokens_file = {}", quoted(path));
        }
        if let Some((cert, key)) = &self.made.tls {
            let _ = writeln!(rest, "\n[tls]\ncert = {}\nkey = {}", quoted(cert), quoted(key));
        }
        for vip in &self.wanted.vips {
            let _ = writeln!(rest, "\n[[gateway.vips]]\nuuid = \"{}\"", Uuid::new_v4().simple());
            let _ = writeln!(rest, "name = {}\naddress = \"{}\"", quoted(&vip.name), vip.value);
        }
        for network in &self.wanted.networks {
            let _ = writeln!(rest, "\n[[gateway.l3_networks]]\nuuid = \"{}\"", Uuid::new_v4().simple());
            let _ = writeln!(rest, "name = {}\ncidrs = [\"{}\"]", quoted(&network.name), network.value);
        }
        match old {
            Some(old) => top + old + &rest,
            None => HEAD.to_owned() + &top + &rest,
        }
    }
}

/// A text in quotes. TOML has the escapes of JSON.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
