//! What a charon of the lab says about its connections and SAs, as JSON: what swanctl shows with `--pretty`.

use std::time::Duration;

use serde_json::{Map, Value};

use super::vici::Vici;
use super::{Lab, Side};

/// How long charon may take for a packet.
const PATIENCE: Duration = Duration::from_secs(20);

impl Lab {
    /// The `IKE_SA`s: an array, each with what `list-sa` says (all values are strings: `uniqueid`, `state`,
    /// `remote-host`, `encr-alg`, ...), its connection as `name`, and its `CHILD_SA`s as the array `children` (`name`,
    /// `uniqueid`, `state`, `protocol`, `encr-alg`, `local-ts` and `remote-ts` (arrays), `bytes-in`, `bytes-out`, ...).
    #[track_caller]
    pub fn sas(&self, side: Side) -> Value {
        let mut sas = Vec::new();
        for (name, mut sa) in self.list(side, "list-sas", "list-sa", &[]) {
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

    /// How many `IKE_SA`s there are, and how many of them are half open. It costs charon the same for any number.
    #[track_caller]
    pub fn count_sas(&self, side: Side) -> [usize; 2] {
        let stats = Vici::connect(&self.vici_socket(side), PATIENCE).and_then(|mut vici| vici.ask("stats", &[]));
        let stats = stats.unwrap_or_else(|error| panic!("charon {}: {error}", side.letter()));
        let number = |name: &str| stats["ikesas"][name].as_str().and_then(|text| text.parse().ok());
        ["total", "half-open"].map(|name| number(name).unwrap_or_else(|| panic!("no {name} in {stats:?}")))
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
        let mut names: Vec<_> =
            self.list(side, "list-conns", "list-conn", &[]).into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    }

    /// The loaded connections by name, each with what `list-conn` says (addresses, ids, children, times).
    #[track_caller]
    pub fn conns(&self, side: Side) -> Map<String, Value> {
        self.list(side, "list-conns", "list-conn", &[]).into_iter().collect()
    }

    /// The trap policies by name (connection and child), each with what `list-policy` says (`local-ts`, `remote-ts`).
    #[track_caller]
    pub fn traps(&self, side: Side) -> Map<String, Value> {
        self.list(side, "list-policies", "list-policy", &[("trap", "yes"), ("drop", "yes"), ("pass", "yes")])
            .into_iter()
            .collect()
    }

    /// What a command lists of its connections, SAs or policies.
    #[track_caller]
    fn list(&self, side: Side, command: &str, event: &str, values: &[(&str, &str)]) -> Vec<(String, Value)> {
        let listed =
            Vici::connect(&self.vici_socket(side), PATIENCE).and_then(|mut vici| vici.list(command, event, values));
        listed.unwrap_or_else(|error| panic!("{command} on {}: {error}", side.letter()))
    }
}
