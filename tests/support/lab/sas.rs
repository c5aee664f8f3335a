//! What a charon of the lab says about its connections and SAs, read from swanctl's `--pretty` output as JSON. It is an
//! observer independent of the agent's own vici client, and may not use that client.

use serde_json::{Map, Value};

use super::{Lab, Side};

impl Lab {
    /// The `IKE_SA`s: an array, each with what `list-sa` says (all values are strings: `uniqueid`, `state`,
    /// `remote-host`, `encr-alg`, ...), its connection as `name`, and its `CHILD_SA`s as the array `children` (`name`,
    /// `uniqueid`, `state`, `protocol`, `encr-alg`, `local-ts` and `remote-ts` (arrays), `bytes-in`, `bytes-out`, ...).
    #[track_caller]
    pub fn sas(&self, side: Side) -> Value {
        let mut sas = Vec::new();
        for (name, mut sa) in self.list(side, "--list-sas") {
            if let Some(fields) = sa.as_object_mut() {
                let children = match fields.remove("child-sas") {
                    Some(Value::Object(children)) => children.into_iter().map(|(_, child)| child).collect(),
                    _ => Vec::new(),
                };
                fields.insert("name".to_owned(), name.into());
                fields.insert("children".to_owned(), Value::Array(children));
            }
            sas.push(sa);
        }
        Value::Array(sas)
    }

    /// All `CHILD_SA`s, over all `IKE_SA`s.
    #[track_caller]
    pub fn children(&self, side: Side) -> Vec<Value> {
        let sas = self.sas(side);
        let sas = sas.as_array().into_iter().flatten();
        sas.flat_map(|sa| sa["children"].as_array().cloned().unwrap_or_default()).collect()
    }

    /// How many `CHILD_SA`s of this configured name are INSTALLED.
    #[track_caller]
    pub fn installed(&self, side: Side, child: &str) -> usize {
        let up = |sa: &&Value| sa["name"] == child && sa["state"] == "INSTALLED";
        self.children(side).iter().filter(up).count()
    }

    /// The names of the loaded connections, sorted.
    #[track_caller]
    pub fn list_conns(&self, side: Side) -> Vec<String> {
        let mut names: Vec<_> = self.list(side, "--list-conns").into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    }

    /// The loaded connections by name, each with what `list-conn` says (addresses, ids, children, times).
    #[track_caller]
    pub fn conns(&self, side: Side) -> Map<String, Value> {
        self.list(side, "--list-conns").into_iter().collect()
    }

    /// The trap policies by name (connection and child), each with what `list-policy` says (`local-ts`, `remote-ts`).
    #[track_caller]
    pub fn traps(&self, side: Side) -> Map<String, Value> {
        self.list(side, "--list-pols").into_iter().collect()
    }

    /// The named sections of all events that a listing command prints, in order.
    #[track_caller]
    fn list(&self, side: Side, command: &str) -> Vec<(String, Value)> {
        let output = self.swanctl(side, &[command, "--pretty"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "swanctl {command} on {}: {}\n{said}", side.letter(), output.status);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines = text.lines().map(str::trim);
        let mut listed = Vec::new();
        while let Some(line) = lines.next() {
            if line.ends_with("event {") {
                listed.extend(section(&mut lines));
            }
        }
        listed
    }
}

/// The inside of `{ ... }`: `key = value`, `key = [` items `]`, `name {`, each on a line of its own.
fn section<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Map<String, Value> {
    let mut fields = Map::new();
    while let Some(line) = lines.next() {
        if line == "}" {
            return fields;
        }
        let (key, value) = match (line.strip_suffix(" {"), line.split_once(" = ")) {
            (_, Some((key, "["))) => (key, lines.by_ref().take_while(|item| *item != "]").collect()),
            (Some(name), None) => (name, Value::Object(section(&mut *lines))),
            (_, Some((key, value))) => (key, value.into()),
            (None, None) => (line.trim_end_matches([' ', '=']), "".into()),
        };
        fields.insert(key.to_owned(), value);
    }
    panic!("swanctl's output ends inside a section, after {fields:?}")
}
