//! `cygnet-fleet apply`: many specs are written tunnel by tunnel, the first one alone. Both ends of a tunnel have one uuid,
//! and are written in one transaction. The first failure ends it; with `--confirm` what failed is put back.

use super::{
    agent,
    args::ApplyArgs,
    etcd::TXN,
    input, read,
    state::State,
    stop::{Code, Result, Stop, print_json, print_table},
    wait::{Verdict, settled, time},
    write::{Change, Plane, Target, masked, unmask},
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, time::Duration};

/// How long a tunnel may take without `--confirm`.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most ends that one step writes, each with its guards.
const ENDS: usize = TXN / 8;

/// One end of a tunnel that changes.
struct End {
    target: Target,
    /// The spec as it was, with open secrets, and its revision.
    before: Option<(Map<String, Value>, i64)>,
    after: Map<String, Value>,
    /// Whether it was up: only then it must be up afterwards.
    was_ready: bool,
    outcome: &'static str,
    why: String,
}

/// Both ends of a tunnel.
type Unit = Vec<End>;

/// The command.
pub async fn run(plane: &mut Plane, args: &ApplyArgs) -> Result<()> {
    let confirm = args.confirm.as_deref().map(time).transpose()?;
    let mut units = units(plane, args).await?;
    let stopped = if args.dry_run { None } else { roll(plane, &mut units, args, confirm).await };
    tell(&units, stopped.as_ref(), args.output.json)?;
    stopped.map_or(Ok(()), Err)
}

/// What is to change, tunnel by tunnel.
async fn units(plane: &mut Plane, args: &ApplyArgs) -> Result<Vec<Unit>> {
    let known: BTreeMap<Target, read::Item> =
        read::items(plane, None).await?.into_iter().map(|item| (item.target.clone(), item)).collect();
    let mut wanted: Vec<(Target, Map<String, Value>)> = Vec::new();
    let is_meant = |target: &Target| args.gateway.is_empty() || args.gateway.contains(&target.gateway);
    if let Some(merge) = &args.merge {
        if !args.all && args.gateway.is_empty() {
            return Err(Stop::failed("say which specs --merge changes: --all, or --gateway"));
        }
        let merge = agent::parse(merge.as_bytes()).map_err(|why| Stop::failed(format!("--merge: {why}")))?;
        for item in known.values().filter(|item| item.spec.is_some() && is_meant(&item.target)) {
            let Some(stored) = plane.stored(&item.target).await? else { continue };
            let mut spec = plane.opened(&item.target, stored.value())?;
            for (member, value) in &merge {
                if value.is_null() {
                    spec.shift_remove(member);
                } else {
                    spec.insert(member.clone(), value.clone());
                }
            }
            wanted.push((item.target.clone(), spec));
        }
    }
    for file in &args.files {
        wanted.extend(listed(file)?.into_iter().filter(|(target, _)| is_meant(target)));
    }
    let mut units: Vec<Unit> = Vec::new();
    for (target, mut after) in wanted {
        let stored = plane.stored(&target).await?;
        let before = match &stored {
            Some(stored) => Some((plane.opened(&target, stored.value())?, stored.mod_revision())),
            None => None,
        };
        unmask(&mut after, before.as_ref().map(|(spec, _)| spec))
            .map_err(|why| Stop::failed(format!("{target}: {why}")))?;
        if before.as_ref().is_some_and(|(spec, _)| *spec == after) {
            continue;
        }
        let was_ready = known.get(&target).is_some_and(|item| item.state() == State::Ready);
        let end = End { target, before, after, was_ready, outcome: "not_done", why: String::new() };
        match units.iter_mut().find(|unit| unit[0].target.uuid == end.target.uuid) {
            Some(unit) if unit.iter().any(|other| other.target == end.target) => {
                return Err(Stop::failed(format!("{} is named twice", end.target)));
            }
            Some(unit) if unit.len() == ENDS => {
                return Err(Stop::failed(format!("the uuid {} is that of more than {ENDS} ends", end.target.uuid)));
            }
            Some(unit) => unit.push(end),
            None => units.push(vec![end]),
        }
    }
    Ok(units)
}

/// The specs in a file.
fn listed(file: &std::path::Path) -> Result<Vec<(Target, Map<String, Value>)>> {
    let wrong = |why: &dyn std::fmt::Display| Stop::failed(format!("{}: {why}", file.display()));
    let list: Vec<Map<String, Value>> = serde_json::from_slice(&input::read(file)?).map_err(|error| {
        // The parser's message may quote a key.
        wrong(&format!("it is not a JSON list of objects: line {}, column {}", error.line(), error.column()))
    })?;
    let each = list.into_iter().enumerate().map(|(number, mut spec)| {
        let mut text = |name: &str| {
            let value = spec.shift_remove(name).and_then(|value| value.as_str().map(str::to_owned));
            value.ok_or_else(|| wrong(&format!("the spec {} has no member {name}", number + 1)))
        };
        let place = format!("{}/{}", text("gateway")?, text("uuid")?);
        let target = place.parse::<Target>().map_err(|why| wrong(&format!("{place}: {why}")))?;
        Ok((target, spec))
    });
    each.collect()
}

/// Writes the units in waves; why it ended early.
async fn roll(plane: &mut Plane, units: &mut [Unit], args: &ApplyArgs, confirm: Option<Duration>) -> Option<Stop> {
    let within = confirm.unwrap_or(PATIENCE);
    let total: usize = units.iter().map(Vec::len).sum();
    let (canary, rest) = units.split_at_mut(units.len().min(1));
    for wave in std::iter::once(canary).chain(rest.chunks_mut(args.max_unavailable.into())) {
        let mut failed = false;
        let mut revisions = Vec::new();
        for unit in wave.iter_mut() {
            let outcome = if failed { None } else { Some(plane.write(&changes(unit)).await) };
            revisions.push(match outcome {
                Some(Ok(revision)) => Some(revision),
                Some(Err(stop)) => {
                    failed = true;
                    for end in unit.iter_mut() {
                        (end.outcome, end.why) = ("failed", stop.text.clone());
                    }
                    None
                }
                None => None,
            });
        }
        for (unit, revision) in wave.iter_mut().zip(revisions) {
            let Some(revision) = revision else { continue };
            failed |= !judge(plane, unit, revision, within, confirm.is_some()).await;
        }
        if failed {
            let ends = || units.iter().flatten();
            let done = ends().filter(|end| end.outcome == "done").count();
            let why = ends().find(|end| !end.why.is_empty()).map(|end| format!("{}: {}", end.target, end.why));
            let text = format!("stopped after {done} of {total}: {}", why.unwrap_or_default());
            return Some(Stop::new(Code::Failed, text));
        }
    }
    None
}

fn changes(unit: &[End]) -> Vec<Change> {
    let change = |end: &End| Change {
        target: end.target.clone(),
        spec: Some(end.after.clone()),
        expected: Some(end.before.as_ref().map_or(0, |(_, revision)| *revision)),
    };
    unit.iter().map(change).collect()
}

/// Waits for what came of a unit, and puts it back if it must be; whether all is well.
async fn judge(plane: &mut Plane, unit: &mut Unit, revision: i64, within: Duration, puts_back: bool) -> bool {
    let mut is_well = true;
    for end in unit.iter_mut() {
        let is_disabled = end.after.get("state").is_some_and(|state| state == "Disabled");
        match settled(plane, &end.target, revision, is_disabled, end.was_ready, within).await {
            Ok(Verdict::Well) => end.outcome = "done",
            Ok(Verdict::Bad(why)) => (is_well, end.outcome, end.why) = (false, "failed", why),
            Err(stop) => (is_well, end.outcome, end.why) = (false, "unknown", stop.text),
        }
    }
    if is_well || !puts_back {
        return is_well;
    }
    let back = |end: &End| Change {
        target: end.target.clone(),
        spec: end.before.as_ref().map(|(spec, _)| spec.clone()),
        expected: Some(revision),
    };
    let outcome = plane.write(&unit.iter().map(back).collect::<Vec<_>>()).await;
    for end in unit.iter_mut() {
        match &outcome {
            Ok(_) => end.outcome = "put_back",
            Err(stop) => end.why = format!("{}; it is not put back: {}", end.why, stop.text),
        }
    }
    false
}

/// Says what was done.
fn tell(units: &[Unit], stopped: Option<&Stop>, as_json: bool) -> Result<()> {
    let ends = || units.iter().flatten();
    if as_json {
        let item = |end: &End| {
            let members = end
                .after
                .iter()
                .filter(|(name, value)| end.before.as_ref().is_none_or(|(spec, _)| spec.get(*name) != Some(*value)));
            let changed: Map<_, _> = members.map(|(name, value)| (name.clone(), value.clone())).collect();
            json!({ "gateway": end.target.gateway, "uuid": end.target.uuid, "changed": masked(changed),
                    "outcome": end.outcome, "why": end.why })
        };
        let all: Vec<_> = ends().map(item).collect();
        return print_json(&json!({ "connections": all, "stopped": stopped.map(|stop| &stop.text) }));
    }
    let row = |end: &End| {
        let name = end.after.get("name").and_then(Value::as_str).unwrap_or_default();
        vec![end.target.gateway.clone(), end.target.uuid.clone(), name.into(), end.outcome.into(), end.why.clone()]
    };
    print_table(&["GATEWAY", "UUID", "NAME", "OUTCOME", "WHY"], &ends().map(row).collect::<Vec<_>>())
}
