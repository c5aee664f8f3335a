//! The fake charon's SAs, in the words of `list-sa` messages: made of a loaded connection as if the peer agreed to
//! everything, and ended by `terminate` (strongSwan facts 2.3, 3.2 and 8).

use cygnet::{
    ipsec::algorithm::{DH_GROUP, ENCRYPTION, INTEGRITY},
    strongswan::section::{Section, Value},
};

/// Events: their names and messages.
type Events = Vec<(&'static str, Section)>;

/// An IKE SA with its children.
pub struct Running {
    /// The configuration that it was made of, without children; empty if the test gave the SA.
    config: Section,
    /// The configurations of its children, with their numbers.
    children: Vec<(u64, Section)>,
    /// The `list-sa` message: one section under the connection's name.
    message: Section,
}

impl Running {
    /// The SA of a `list-sa` message that the test made.
    pub fn given(message: Section) -> Self {
        Self { config: Section::new(), children: Vec::new(), message }
    }

    pub fn message(&self) -> &Section {
        &self.message
    }

    pub fn name(&self) -> &str {
        self.message.sections().next().map_or("", |(name, _)| name)
    }

    pub fn unique_id(&self) -> u64 {
        self.message.sections().next().and_then(|(_, sa)| sa.number("uniqueid")).unwrap_or(0)
    }

    /// Its section, mutable.
    pub fn ike(&mut self) -> &mut Section {
        let Some(Value::Section(sa)) = self.message.0.values_mut().next() else {
            panic!("a list-sa message has an SA")
        };
        sa
    }

    /// The sections of its children, mutable.
    fn child_sas(&mut self) -> &mut Section {
        let children = self.ike().0.entry("child-sas".into()).or_insert_with(|| Section::new().into());
        let Value::Section(children) = children else { panic!("child-sas is a section") };
        children
    }

    pub fn alter_children(&mut self, change: &dyn Fn(&mut Section)) {
        for value in self.child_sas().0.values_mut() {
            if let Value::Section(child) = value {
                change(child);
            }
        }
    }

    pub fn double_children(&mut self, last_id: &mut u64) {
        for (_, config) in self.children.clone() {
            let Some((_, first)) = self.child_sas().sections().next() else { return };
            let name = first.text("name").unwrap_or_default().to_owned();
            *last_id += 1;
            self.add(*last_id, &name, &config, false);
        }
    }

    pub fn has_child(&self, id: u64) -> bool {
        self.children.iter().any(|(child, _)| *child == id)
    }

    /// Puts a new SA in the place of the child `old`, made with a key exchange of its own.
    pub fn rekey(&mut self, old: u64, new: u64) -> Option<(&'static str, Section)> {
        let (_, config) = self.children.iter().find(|(id, _)| *id == old)?.clone();
        let sas = self.child_sas();
        let (key, name) = sas
            .sections()
            .find(|(_, sa)| sa.number("uniqueid") == Some(old))
            .map(|(key, sa)| (key.to_owned(), sa.text("name").unwrap_or_default().to_owned()))?;
        let before = Section::new().with("uniqueid", old.to_string());
        let after = child_sa(new, &name, &config, false);
        sas.0.shift_remove(&key);
        sas.0.insert(format!("{name}-{new}"), after.clone().into());
        self.children.push((new, config));
        let pair = Section::new().with("old", before).with("new", after);
        Some(("child-rekey", self.updown(true, Section::new().with(&name, pair))))
    }

    /// The message of an updown event, with these children.
    fn updown(&self, up: bool, children: Section) -> Section {
        let mut message = self.message.clone();
        if let Some(Value::Section(sa)) = message.0.values_mut().next() {
            sa.0.insert("child-sas".into(), children.into());
        }
        let start = if up { Section::new().with("up", "yes") } else { Section::new() };
        Section(start.0.into_iter().chain(message.0).collect())
    }

    /// Adds the child `name`, which is made of `config`.
    fn add(&mut self, id: u64, name: &str, config: &Section, first: bool) -> (&'static str, Section) {
        let (key, child) = (format!("{name}-{id}"), child_sa(id, name, config, first));
        self.children.push((id, config.clone()));
        self.child_sas().0.insert(key.clone(), child.clone().into());
        ("child-updown", self.updown(true, Section::new().with(&key, child)))
    }
}

/// Brings `child` up: in the SA that the same configuration made, else in a new one beside those that run.
pub fn bring_up(
    running: &mut Vec<Running>,
    last_id: &mut u64,
    name: &str,
    connection: &Section,
    child: &str,
) -> Events {
    let mut next_id = || {
        *last_id += 1;
        *last_id
    };
    let mut config = connection.clone();
    config.0.shift_remove("children");
    let wanted = connection.section("children").and_then(|c| c.section(child)).expect("the caller found it");
    if let Some(sa) = running.iter_mut().find(|sa| sa.name() == name && sa.config == config) {
        let named = sa.child_sas().sections().filter(|(_, sa)| sa.text("name") == Some(child));
        let ids = named.filter_map(|(_, sa)| sa.number("uniqueid")).collect::<Vec<u64>>();
        let duplicate = sa.children.iter().any(|(id, config)| ids.contains(id) && config == wanted);
        return if duplicate { Vec::new() } else { vec![sa.add(next_id(), child, wanted, false)] };
    }
    let message = Section::new().with(name, ike_sa(next_id(), connection));
    let mut sa = Running { config, children: Vec::new(), message };
    let ike_up = ("ike-updown", sa.updown(true, Section::new()));
    let child_up = sa.add(next_id(), child, wanted, true);
    running.push(sa);
    vec![ike_up, child_up]
}

/// An SA whose peer has not answered yet.
pub fn half_open(last_id: &mut u64, name: &str, connection: &Section) -> Running {
    *last_id += 1;
    let sa = ike_sa(*last_id, connection).with("state", "CONNECTING");
    Running { config: Section::new(), children: Vec::new(), message: Section::new().with(name, sa) }
}

/// Ends what `terminate` with the arguments `body` means; returns how many SAs that were, and the events.
pub fn take_down(running: &mut Vec<Running>, body: &Section) -> (usize, Events) {
    let ike = |sa: &Running| body.text("ike").map(|name| name == sa.name());
    let ike_id = |sa: &Running| body.number::<u64>("ike-id").map(|id| id == sa.unique_id());
    let mut events = Events::new();
    if body.bytes("child").or(body.bytes("child-id")).is_some() {
        for sa in running.iter_mut().filter(|sa| ike(sa) != Some(false) && ike_id(sa) != Some(false)) {
            let ended = sa.child_sas().0.extract_if(.., |_, value| is_child(value, body)).collect::<Vec<_>>();
            events.extend(ended.into_iter().map(|child| ("child-updown", sa.updown(false, Section([child].into())))));
        }
        return (events.len(), events);
    }
    let ended = running.extract_if(.., |sa| ike(sa) == Some(true) || ike_id(sa) == Some(true)).collect::<Vec<_>>();
    for mut sa in ended {
        let children = sa.child_sas().clone();
        events.extend(children.0.into_iter().map(|child| ("child-updown", sa.updown(false, Section([child].into())))));
        events.push(("ike-updown", sa.updown(false, Section::new())));
    }
    (events.iter().filter(|(name, _)| *name == "ike-updown").count(), events)
}

/// Whether `terminate` with the arguments `body` means this child.
fn is_child(value: &Value, body: &Section) -> bool {
    let Value::Section(child) = value else { return false };
    body.text("child").is_none_or(|name| child.text("name") == Some(name))
        && body.number::<u64>("child-id").is_none_or(|id| child.number("uniqueid") == Some(id))
}

/// An established IKE SA of `connection`.
fn ike_sa(id: u64, connection: &Section) -> Section {
    let first = |key: &str| connection.items(key).next().unwrap_or_default().to_owned();
    let identity = |side: &str| {
        let id = connection.section(side).and_then(|s| s.text("id")).unwrap_or_default();
        ["fqdn:", "email:", "keyid:#"].iter().find_map(|prefix| id.strip_prefix(prefix)).unwrap_or(id).to_owned()
    };
    let sa = Section::new()
        .with("uniqueid", id.to_string())
        .with("version", if connection.text("version") == Some("1") { "1" } else { "2" })
        .with("state", "ESTABLISHED")
        .with("local-host", first("local_addrs"))
        .with("local-port", "500")
        .with("local-id", identity("local"))
        // As charon does: without the interface of a link-local one.
        .with("remote-host", first("remote_addrs").split('%').next().unwrap_or_default())
        .with("remote-port", "500")
        .with("remote-id", identity("remote"))
        .with("initiator", "yes")
        .with("initiator-spi", format!("{:016x}", 0x1111_0000 + id))
        .with("responder-spi", format!("{:016x}", 0x2222_0000 + id));
    with_suite(sa, &first("proposals"), true, true)
        .with("established", "1")
        .with("rekey-time", connection.text("rekey_time").unwrap_or("0").trim_end_matches('s'))
}

/// An installed CHILD_SA of `config`; the `first` of its IKE SA has no key exchange of its own.
fn child_sa(id: u64, name: &str, config: &Section, first: bool) -> Section {
    let ah = config.items("ah_proposals").next();
    let proposal = ah.or(config.items("esp_proposals").next()).unwrap_or_default();
    let seconds = |key: &str| config.text(key).unwrap_or("0").trim_end_matches('s').to_owned();
    let list = |key: &str| Value::List(config.items(key).map(|item| item.as_bytes().to_vec()).collect());
    let sa = Section::new()
        .with("name", name)
        .with("uniqueid", id.to_string())
        .with("reqid", id.to_string())
        .with("state", "INSTALLED")
        .with("mode", config.text("mode").unwrap_or("tunnel").to_uppercase())
        .with("protocol", if ah.is_some() { "AH" } else { "ESP" })
        .with("spi-in", format!("{:08x}", 0xc000_0000 + id))
        .with("spi-out", format!("{:08x}", 0xd000_0000 + id));
    let counters = ["bytes-in", "packets-in", "bytes-out", "packets-out"];
    let sa = counters.iter().fold(with_suite(sa, proposal, false, !first), |sa, key| sa.with(key, "0"));
    sa.with("rekey-time", seconds("rekey_time"))
        .with("life-time", seconds("life_time"))
        .with("install-time", "1")
        .with("local-ts", list("local_ts"))
        .with("remote-ts", list("remote_ts"))
}

/// Adds charon's names of the algorithms in `proposal`; `prf` is for IKE SAs.
fn with_suite(mut sa: Section, proposal: &str, prf: bool, group: bool) -> Section {
    for keyword in proposal.split('-') {
        if let Some(row) = ENCRYPTION.iter().find(|row| row.keyword == keyword) {
            sa = sa.with("encr-alg", row.charon);
            if let Some(bits) = row.key_bits {
                sa = sa.with("encr-keysize", bits.to_string());
            }
        }
        if let Some(row) = INTEGRITY.iter().find(|row| row.keyword == keyword) {
            sa = sa.with("integ-alg", row.charon);
        }
        if let Some(row) = INTEGRITY.iter().find(|row| [row.keyword, row.prf_keyword].contains(&keyword)) {
            sa = if prf { sa.with("prf-alg", row.prf_charon) } else { sa };
        }
        if let Some(row) = DH_GROUP.iter().find(|row| row.keyword == keyword) {
            sa = if group { sa.with("dh-group", row.charon) } else { sa };
        }
    }
    sa
}
