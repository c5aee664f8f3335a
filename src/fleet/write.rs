//! Writes of planes: specs and their guards change in one transaction, if nobody else has changed them meanwhile.

use super::{
    agent,
    config::Config,
    etcd::{Etcd, is_away},
    guards::{self, Claims},
    names,
    stop::{Code, Result, Stop},
    vault::{FleetKeys, Place},
};
use etcd_client::{Compare, CompareOp, KeyValue, TxnOp};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// How long a write tries members, and begins anew where others write the same guards.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the first attempt may take; each next one may take twice as long. A member that still waits for a leader which
/// is dead keeps a call for seconds after there is another one.
const FIRST: Duration = Duration::from_secs(1);
/// The wait between two tries.
const AGAIN: Duration = Duration::from_millis(50);
/// What stands for the stored secret in a spec that is written back.
const MASK: &str = "******";

/// A place that specs are written to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The gateway.
    pub gateway: String,
    /// The uuid.
    pub uuid: String,
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (gateway, uuid) = text.split_once('/').ok_or("write it as GATEWAY/UUID")?;
        names::check_gateway(gateway)?;
        let exact = uuid.len() == 32 && uuid.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if exact {
            Ok(Self { gateway: gateway.into(), uuid: uuid.into() })
        } else {
            Err("the uuid must be 32 lower-case hexadecimal digits".into())
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.gateway, self.uuid)
    }
}

/// One spec of a write.
#[derive(Debug, Clone)]
pub struct Change {
    /// Where.
    pub target: Target,
    /// What it becomes; `None` deletes it.
    pub spec: Option<Map<String, Value>>,
    /// The revision that it must have, 0 if there must be none; without it, whatever is there.
    pub expected: Option<i64>,
}

/// A plane: the connection to etcd, and the keys of the fleet.
pub struct Plane {
    /// The settings.
    pub config: Config,
    /// The keys.
    pub keys: FleetKeys,
    /// The connection.
    pub etcd: Etcd,
}

/// What one transaction compares and does.
#[derive(Default)]
struct Draft {
    when: Vec<Compare>,
    then: Vec<TxnOp>,
}

/// Why a write did not happen.
enum Trouble {
    /// For good.
    Stop(Stop),
    /// Somebody else wrote at the same moment.
    Race,
    /// A member was lost; whether it wrote is not known.
    Lost(Stop),
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Self {
        if stop.code == Code::Unreachable { Self::Lost(stop) } else { Self::Stop(stop) }
    }
}

impl Plane {
    /// Connects to etcd.
    pub async fn new(config: Config) -> Result<Self> {
        let keys = config.keys()?;
        let etcd = Etcd::connect(&config).await?;
        Ok(Self { config, keys, etcd })
    }

    /// The spec of a place as it is stored.
    pub async fn stored(&mut self, target: &Target) -> Result<Option<KeyValue>> {
        self.etcd.get(&names::spec(&target.gateway, &target.uuid)).await
    }

    /// The spec in `stored`, with its secrets open.
    pub fn opened(&self, target: &Target, stored: &[u8]) -> Result<Map<String, Value>> {
        let wrong = |why: String| Stop::failed(format!("{target}: {why}"));
        let mut spec = agent::parse(stored).map_err(wrong)?;
        self.keys.open(place(target), &mut spec, true).map_err(wrong)?;
        Ok(spec)
    }

    /// Writes all of `changes` in one step, or none; the revision of it.
    pub async fn write(&mut self, changes: &[Change]) -> Result<i64> {
        let sealed = changes.iter().map(|change| self.sealed(change)).collect::<Result<Vec<_>>>()?;
        let end = Instant::now() + PATIENCE;
        let (mut is_unsure, mut limit) = (false, FIRST);
        loop {
            let attempt = timeout(limit, self.attempt(changes, &sealed, is_unsure)).await;
            let late = || {
                Stop::new(Code::Unreachable, "etcd does not answer in time: read what is stored before you write again")
            };
            let trouble = match attempt.unwrap_or_else(|_| Err(Trouble::Lost(late()))) {
                Ok(revision) => return Ok(revision),
                Err(trouble) => trouble,
            };
            limit *= 2;
            let stop = match trouble {
                Trouble::Stop(stop) => return Err(stop),
                Trouble::Race => Stop::new(Code::Conflict, "others keep writing the same keys: try again later"),
                Trouble::Lost(stop) => {
                    is_unsure = true;
                    if let Ok(etcd) = Etcd::connect(&self.config).await {
                        self.etcd = etcd;
                    }
                    stop
                }
            };
            if Instant::now() >= end {
                return Err(stop);
            }
            sleep(AGAIN).await;
        }
    }

    /// The bytes of a change; `None` deletes. They are the same in each attempt, so that a write is known again.
    fn sealed(&self, change: &Change) -> Result<Option<Vec<u8>>> {
        let Some(spec) = &change.spec else { return Ok(None) };
        let wrong = |why: String| Stop::failed(format!("{}: {why}", change.target));
        let mut spec = spec.clone();
        self.keys.seal(place(&change.target), &mut spec).map_err(wrong)?;
        if !self.config.allow_unsealed {
            // Opened to see that it can be, by this plane and so by whoever has its keys.
            self.keys.open(place(&change.target), &mut spec.clone(), false).map_err(wrong)?;
        }
        Ok(Some(Value::from(spec).to_string().into_bytes()))
    }

    async fn attempt(
        &mut self,
        changes: &[Change],
        sealed: &[Option<Vec<u8>>],
        is_unsure: bool,
    ) -> Result<i64, Trouble> {
        let (mut draft, mut written) = (Draft::default(), 0);
        let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
        for (change, bytes) in changes.iter().zip(sealed) {
            let (target, key) = (&change.target, names::spec(&change.target.gateway, &change.target.uuid));
            let stored = self.stored(target).await?;
            let revision = stored.as_ref().map_or(0, KeyValue::mod_revision);
            // The attempt before this one, whose answer was lost, wrote it.
            if is_unsure && stored.as_ref().map(KeyValue::value) == bytes.as_deref() {
                written = revision.max(1);
                continue;
            }
            if let Some(expected) = change.expected.filter(|expected| *expected != revision) {
                return Err(Trouble::Stop(conflict(target, expected, revision)));
            }
            draft.when.push(Compare::mod_revision(key.clone(), CompareOp::Equal, revision));
            if let Some(stored) = &stored {
                // A spec that cannot be read has no guards that could be known.
                let old = self.opened(target, stored.value()).unwrap_or_default();
                before.insert(target.clone(), guards::claims(&target.gateway, &old, &self.keys));
            }
            match (bytes, &change.spec) {
                (Some(bytes), Some(_)) => {
                    let new = self.opened(target, bytes)?;
                    after.insert(target.clone(), guards::claims(&target.gateway, &new, &self.keys));
                    draft.then.push(TxnOp::put(key, bytes.clone(), None));
                }
                _ if stored.is_some() => draft.then.push(TxnOp::delete(key, None)),
                _ => return Err(Trouble::Stop(Stop::failed(format!("{target} has no spec")))),
            }
        }
        if draft.then.is_empty() {
            return Ok(written);
        }
        self.guarded(&mut draft, &before, &after).await?;
        match self.etcd.txn(draft.when, draft.then).await {
            Ok(answer) if answer.succeeded() => Ok(answer.header().map_or(0, etcd_client::ResponseHeader::revision)),
            Ok(_) => Err(Trouble::Race),
            Err(error) if is_away(&error) => Err(Trouble::Lost(self.etcd.failed(&error))),
            Err(error) => Err(Trouble::Stop(self.etcd.failed(&error))),
        }
    }

    /// Adds the guards to a draft; a guard that another connection holds refuses it.
    async fn guarded(
        &mut self,
        draft: &mut Draft,
        before: &BTreeMap<Target, Claims>,
        after: &BTreeMap<Target, Claims>,
    ) -> Result<(), Trouble> {
        let keys: BTreeSet<&String> = before.values().chain(after.values()).flat_map(BTreeMap::keys).collect();
        for key in keys {
            let stored = self.etcd.get(key).await?;
            let revision = stored.as_ref().map_or(0, KeyValue::mod_revision);
            draft.when.push(Compare::mod_revision(key.clone(), CompareOp::Equal, revision));
            let (holders, digest) = stored.as_ref().map(|stored| guards::holders(stored.value())).unwrap_or_default();
            let gateway = names::split(key.as_bytes()).map(|(gateway, ..)| gateway.to_owned()).unwrap_or_default();
            let touched = |uuid: &String| {
                let target = Target { gateway: gateway.clone(), uuid: uuid.clone() };
                before.contains_key(&target) || after.contains_key(&target)
            };
            let mut others = Vec::new();
            for uuid in holders.into_iter().filter(|uuid| !touched(uuid)) {
                let owner = Target { gateway: gateway.clone(), uuid: uuid.clone() };
                // One that went without its guard holds nothing.
                if self.stored(&owner).await?.is_some() {
                    others.push(uuid);
                }
            }
            let wanted: Vec<_> = after.iter().filter_map(|(target, claims)| Some((target, claims.get(key)?))).collect();
            let held = checked(key, &gateway, &others, digest.as_deref(), &wanted)?;
            others.extend(wanted.iter().map(|(target, _)| target.uuid.clone()));
            others.sort();
            match guards::guard(&others, held.as_deref()) {
                Some(bytes) if stored.as_ref().is_none_or(|stored| stored.value() != bytes) => {
                    draft.then.push(TxnOp::put(key.clone(), bytes, None));
                }
                None if stored.is_some() => draft.then.push(TxnOp::delete(key.clone(), None)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The digest that the guard has afterwards, if all that claim it agree.
fn checked(
    key: &str,
    gateway: &str,
    others: &[String],
    digest: Option<&str>,
    wanted: &[(&Target, &Option<Vec<String>>)],
) -> Result<Option<String>, Trouble> {
    let mut held = digest.filter(|_| !others.is_empty()).map(str::to_owned);
    let mut holder = others.first().map(|uuid| format!("{gateway}/{uuid}"));
    for (target, claim) in wanted {
        let refuse = |what: &str, holder: &str| {
            let text = format!("{target}: {what} (its guard is {key}): {holder} has it");
            Trouble::Stop(Stop::new(Code::Conflict, text))
        };
        match (claim, &holder) {
            (None, Some(holder)) => return Err(refuse("another connection has the same VIP and peer", holder)),
            (Some(digests), Some(holder)) if held.as_ref().is_some_and(|held| !digests.contains(held)) => {
                return Err(refuse("another connection has another key for the same remote identity", holder));
            }
            (Some(digests), _) => held = digests.first().cloned(),
            (None, None) => {}
        }
        holder = Some(target.to_string());
    }
    Ok(held)
}

fn place(target: &Target) -> Place<'_> {
    Place { gateway: &target.gateway, part: &target.uuid }
}

fn conflict(target: &Target, expected: i64, found: i64) -> Stop {
    let found = if found == 0 { "it has no spec".to_owned() } else { format!("it is at revision {found}") };
    let text = format!("{target}: another writer was first: {found}, not at {expected}; read it, and write again");
    Stop::new(Code::Conflict, text)
}

/// Puts stored secrets in the place of those that are masked.
pub fn unmask(spec: &mut Map<String, Value>, stored: Option<&Map<String, Value>>) -> Result<(), String> {
    for (member, value) in spec.iter_mut().filter(|(_, value)| *value == MASK) {
        let kept = stored.and_then(|stored| stored.get(member));
        *value = kept.cloned().ok_or_else(|| format!("{member}: is masked, and no stored spec has it"))?;
    }
    Ok(())
}

/// `spec` with nothing in the place of secrets that are not sealed.
pub fn masked(mut spec: Map<String, Value>) -> Map<String, Value> {
    for (member, value) in &mut spec {
        if super::vault::is_secret(member) && value.as_str().is_some_and(|text| !super::vault::is_sealed(text)) {
            *value = MASK.into();
        }
    }
    spec
}
