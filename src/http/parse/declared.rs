//! A connection as a file of `cygnet apply` declares it: the members of Create, with all its networks, its uuid and its
//! state. What it leaves out has the default of Create, also where the connection exists; the key, the state and the tags
//! are kept, for the file of a connection need not have them.

use super::{
    check::{choice, mandatory, text},
    chosen_uuid, create, create_names,
    native::Native,
    networks::{elements, network, remote_cidrs, vip},
    new_peer, option_block,
    options::options,
    peer_address,
    query_parameters::Unset,
};
use crate::{
    agent::follow_settings,
    error::{Error, Problem, Result},
    http::{
        envelope::{Params, TAGS},
        error::Failure,
        members::names_of,
        never,
        options::{CONTRACT, chosen},
        wire::{self, CreateParams, DeclaredParams, OptionBlock, Tags},
    },
    ipsec::{ConnectionId, IdentityKind, NativeOptions, Split, State, TrafficSelector},
    nearest::nearest,
    settings::Gateway,
    store::{Names, Network, Options, Record, Reference, RemoteCidr, Spec},
    visible::visible,
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::sync::Arc;

/// `state`.
const STATES: [(&str, State); 2] = [("Enabled", State::Enabled), ("Disabled", State::Disabled)];

/// The members that a declared connection takes.
#[must_use]
pub fn declared_names() -> Vec<&'static str> {
    names_of::<DeclaredParams>().iter().copied().chain(create_names()).chain(TAGS).collect()
}

/// A declared connection whose single values are of the right type.
pub struct Declared {
    /// Its uuid, if it has one.
    pub id: Option<ConnectionId>,
    /// Its name.
    pub name: String,
    /// Whether it gives a key.
    pub gives_key: bool,
    /// What Create reads too.
    params: Params,
    own: CreateParams,
    /// The local networks, each with the member that names it.
    networks: Vec<(&'static str, String)>,
    state: Option<State>,
    gateway: Arc<Gateway>,
}

impl Declared {
    /// Reads the members of a connection. Its networks and its VIP are looked up in `gateway`.
    ///
    /// # Errors
    /// The first member that is unknown or of a wrong type, by name.
    pub fn read(mut members: Map<String, Value>, gateway: Arc<Gateway>) -> Result<Self, Failure> {
        never::check(&members, &declared_names())?;
        refuse_unknown(&members)?;
        let own: CreateParams = wire::read(&members)?;
        let beside: DeclaredParams = wire::read(&members)?;
        let tags: Tags = wire::read(&members)?;
        let given = beside.uuid.as_ref().or(own.resource_uuid.as_ref());
        let wrong = |text: &String| Error::member("uuid", Problem::NotAUuid(text.chars().take(64).collect()));
        let id = given.map(|text| text.trim().parse::<ConnectionId>().map_err(|_| wrong(text))).transpose()?;
        if beside.uuid.is_some() && own.resource_uuid.is_some() {
            return Err(Error::rule("resourceUuid", "is the same as uuid: leave one of them out").into());
        }
        let several = beside.l3_network_uuids.map(|all| elements("l3NetworkUuids", all)).transpose()?;
        let one = text("l3NetworkUuid", own.l3_network_uuid.clone(), 255)?.map(|text| ("l3NetworkUuid", text));
        let networks = several.unwrap_or_default().into_iter().map(|text| ("l3NetworkUuids", text.trim().to_owned()));
        let networks: Vec<_> = one.into_iter().chain(networks).collect();
        for name in names_of::<DeclaredParams>().iter().chain(&["l3NetworkUuid", "resourceUuid"]) {
            members.shift_remove(*name);
        }
        let state = beside.state.map(|word| choice("state", 32, Some(word), &STATES, State::Enabled)).transpose()?;
        let params = Params { members, tags, key: "connection".into(), beside: Vec::new() };
        // The types of the options, before anything is missed.
        option_block(&params)?;
        Ok(Self {
            id,
            name: mandatory("name", own.name.clone(), 255)?,
            gives_key: own.auth_key.is_some() || own.ppk.is_some(),
            params,
            own,
            networks,
            state,
            gateway,
        })
    }

    /// The record that it means in place of `old`.
    ///
    /// # Errors
    /// The first member that is wrong, by name.
    pub fn record(&self, old: Option<&Record>, id: ConnectionId, now: Timestamp) -> Result<Record> {
        match old {
            None => self.created(id, now),
            Some(old) => self.changed(old, now),
        }
    }

    fn created(&self, id: ConnectionId, now: Timestamp) -> Result<Record> {
        if self.id.is_some() {
            chosen_uuid("uuid", Some(id.to_string()))?;
        }
        let made = create(&self.params, &self.gateway, now)?;
        let spec = Spec { local: self.local(&[], now)?, ..made.spec };
        let state = self.state.unwrap_or(State::Enabled);
        Ok(Record { state, ..Record::new(id, spec, 0, now)? })
    }

    fn changed(&self, old: &Record, now: Timestamp) -> Result<Record> {
        let description = text("description", self.own.description.clone(), 2048)?;
        let mut names = Names { name: self.name.clone(), description, ..old.spec.names.clone() };
        self.params.tags.clone().apply(&mut names)?;
        let peer = peer_address(&mandatory("peerAddress", self.own.peer_address.clone(), 255)?)?;
        let spec = Spec {
            names,
            vip: self.vip(&old.spec.vip)?,
            peer: if peer == old.spec.peer { peer } else { new_peer(peer)? },
            options: self.options(&old.spec, now)?,
            local: self.local(&old.spec.local, now)?,
            remote: self.remote(&old.spec.remote, now)?,
        };
        let state = self.state.unwrap_or(old.state);
        let only_names = Spec { names: old.spec.names.clone(), ..spec.clone() } == old.spec && state == old.state;
        // As with a Change, what changes its tunnel takes over what the settings say now.
        let spec = if only_names { spec } else { follow_settings(&spec, &self.gateway) };
        let changed = if spec == old.spec && state == old.state { old.changed } else { now };
        Ok(Record { state, ..old.rewritten(spec, changed)? })
    }

    /// The options, in which nothing is kept of `old` that a file can say, but for the key.
    fn options(&self, old: &Spec, now: Timestamp) -> Result<Options> {
        let tags = &self.params.tags;
        // Tags that are stored already say nothing new: their options may have been changed since.
        let is_told = tags.system_tags.as_ref().is_some_and(|tags| *tags != old.names.system_tags);
        let told = Tags { system_tags: tags.system_tags.clone().filter(|_| is_told), user_tags: None };
        let (members, key) = (self.params.members.clone(), self.params.key.clone());
        let params = Params { members, tags: told, key, beside: Vec::new() };
        let (block, native, _): (OptionBlock, Native, _) = option_block(&params)?;
        let mut stored = old.options.clone();
        Unset { local_id: block.local_id.is_none(), remote_id: block.remote_id.is_none() }.clear(&mut stored);
        let before = &old.options.native;
        // What no file can say: the times and the split of older records, and the split that the peer has taught.
        let unsaid = matches!(before.split, Split::Stored | Split::Learned);
        let created = NativeOptions::created();
        let split = if unsaid { before.split } else { created.split };
        // A PPK is kept with its name.
        let (ppk_id, ppk) =
            if native.names("ppkId") { (before.ppk_id.clone(), before.ppk.clone()) } else { (None, None) };
        stored.native = NativeOptions { split, dpd: before.dpd.and(created.dpd), ppk_id, ppk, ..created };
        let key = text("authKey", self.own.auth_key.clone(), usize::MAX)?;
        let mut options = options((block, &native), key, Some(&stored), false, now)?;
        if unsaid && options.native.split == Split::Auto {
            options.native.split = before.split;
        }
        let has_same_names = options.local_id == old.options.local_id && options.remote_id == old.options.remote_id;
        if has_same_names && readings(&options) == readings(&old.options) {
            options.id_kind = old.options.id_kind;
            options.native.local_id_type = before.local_id_type;
            options.native.remote_id_type = before.remote_id_type;
        }
        Ok(options)
    }

    /// The VIP; the one that is `stored` may be named even if the settings no longer have it.
    fn vip(&self, stored: &Reference) -> Result<Reference> {
        let text = mandatory("vipUuid", self.own.vip_uuid.clone(), 255)?;
        match vip("vipUuid", &text, &self.gateway) {
            Ok(vip) if vip.uuid == stored.uuid => Ok(stored.clone()),
            Ok(vip) => Ok(Reference { uuid: vip.uuid.clone(), address: vip.address }),
            Err(_) if text == stored.uuid => Ok(stored.clone()),
            Err(error) => Err(error),
        }
    }

    /// The local networks: those that are `stored` as they are, in their order, then the new ones.
    fn local(&self, stored: &[Network], now: Timestamp) -> Result<Vec<Network>> {
        let mut found: Vec<Network> = Vec::new();
        for (field, text) in &self.networks {
            let known = || stored.iter().find(|network| network.network == *text).cloned();
            let named = network(field, text, &self.gateway, now).or_else(|error| known().ok_or(error))?;
            if found.iter().any(|other| other.network == named.network) {
                return Err(Error::rule(field, format!("names {text} twice")));
            }
            found.push(named);
        }
        let is_named = |network: &&Network| found.iter().any(|named| named.network == network.network);
        let mut local: Vec<_> = stored.iter().filter(is_named).cloned().collect();
        local.extend(found.into_iter().filter(|named| !stored.iter().any(|other| other.network == named.network)));
        Ok(local)
    }

    /// The networks behind the peer, likewise.
    fn remote(&self, stored: &[RemoteCidr], now: Timestamp) -> Result<Vec<RemoteCidr>> {
        let Some(cidrs) = self.own.peer_cidrs.clone() else { return Ok(Vec::new()) };
        let selector = |text: &String| text.trim().parse::<TrafficSelector>().ok();
        let is_stored = |text: &String| stored.iter().any(|entry| Some(entry.cidr) == selector(text));
        let (kept, new): (Vec<_>, Vec<_>) = elements("peerCidrs", cidrs)?.into_iter().partition(is_stored);
        let mut left: Vec<_> = kept.iter().filter_map(selector).collect();
        let mut remote = stored.to_vec();
        remote.retain(|entry| {
            let place = left.iter().position(|cidr| *cidr == entry.cidr);
            place.map(|place| left.swap_remove(place)).is_some()
        });
        if let Some(twice) = left.first() {
            return Err(Error::member("peerCidrs", Problem::Twice(twice.to_string())));
        }
        remote.extend(remote_cidrs(new, now)?);
        Ok(remote)
    }
}

fn refuse_unknown(members: &Map<String, Value>) -> Result<()> {
    let known = declared_names();
    let Some(name) = members.keys().find(|name| !known.contains(&name.as_str())) else { return Ok(()) };
    let near = nearest(name, known.iter().copied());
    let near = near.map_or_else(String::new, |near| format!(": did you mean {near}?"));
    let shown: String = name.chars().take(64).collect();
    Err(Error::rule(&visible(&shown), format!("is no member of a connection{near}")))
}

/// How each identity is read, in the words that a caller has for it; without any, the word for both.
fn readings(options: &Options) -> [Option<IdentityKind>; 3] {
    let Options { local_id, remote_id, id_kind, native, .. } = options;
    let [local, remote] = id_kind.of_ends();
    let read = |text: &Option<String>, said: Option<IdentityKind>, kind: IdentityKind| {
        text.as_ref().map(|_| said.unwrap_or(kind).asked())
    };
    let (local, remote) = (read(local_id, native.local_id_type, local), read(remote_id, native.remote_id_type, remote));
    [local, remote, Some(id_kind.both.asked()).filter(|_| local.or(remote).is_none())]
}

/// The words for identities that are read differently: `name` is one for both alone, so the other end says its own.
fn id_words(options: &mut Options) {
    let [local, remote, _] = readings(options);
    let is_name = |kind: Option<IdentityKind>| kind == Some(IdentityKind::Name);
    if is_name(local) || is_name(remote) {
        options.id_kind.both = IdentityKind::Name;
    }
    let both = options.id_kind.both.asked();
    let own = |said: &mut Option<IdentityKind>, kind: Option<IdentityKind>| {
        if said.is_none() {
            *said = kind.filter(|kind| *kind != both);
        }
    };
    own(&mut options.native.local_id_type, local);
    own(&mut options.native.remote_id_type, remote);
}

/// `record` as a file declares it, without its key.
#[must_use]
pub fn exported(record: &Record) -> Map<String, Value> {
    let Spec { names, vip, peer, options, local, remote } = &record.spec;
    let state = STATES.iter().find(|(_, state)| *state == record.state).map(|(word, _)| *word);
    let mut members = Map::new();
    let mut say = |name: &str, value: Value| {
        let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if !is_empty {
            members.insert(name.to_owned(), value);
        }
    };
    say("name", names.name.as_str().into());
    say("uuid", record.id.to_string().into());
    say("description", names.description.as_deref().into());
    say("state", state.into());
    say("vipUuid", vip.uuid.as_str().into());
    say("peerAddress", peer.to_string().into());
    say("l3NetworkUuids", local.iter().map(|network| network.network.as_str()).collect());
    say("peerCidrs", remote.iter().map(|entry| entry.cidr.to_string()).collect());
    let learned = options.native.split == Split::Learned;
    let mut options = options.clone();
    id_words(&mut options);
    for row in &CONTRACT {
        say(row.name, row.value(&options));
    }
    let ours = chosen(&options).into_iter().filter(|(name, _)| !(learned && name == "split"));
    for (name, value) in ours {
        say(&name, value);
    }
    for (name, tags) in TAGS.into_iter().zip([&names.system_tags, &names.user_tags]) {
        say(name, tags.iter().map(String::as_str).collect());
    }
    members
}
