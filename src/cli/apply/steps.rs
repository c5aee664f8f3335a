//! The writes of `cygnet apply`, one by one. A connection that was up and is not up again holds the next ones back: the
//! first one until it is up, later ones as far as there are no more than are allowed. The first failure ends all.

use super::{page::list, sources::Entry};
use crate::cli::{
    client::Client,
    look::{Look, safe, tone_of},
    progress::Progress,
    row::text,
    select::encoded,
    stop::{Code, Result, Stop, print},
    up,
};
use hyper::Method;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How often connections are looked at that are to come up.
const LOOK: Duration = Duration::from_millis(500);

/// How the writes are done.
pub struct Steps<'a> {
    /// The agent.
    pub client: &'a Client,
    /// How long a connection may take until it is up again.
    pub wait: Duration,
    /// How long each change is on trial, if it is.
    pub confirm: Option<&'a str>,
    /// How many may be down at a time.
    pub most: usize,
}

/// What came of them.
#[derive(Default)]
pub struct Outcome {
    /// By uuid: the state, and the status or the error.
    pub results: HashMap<String, Value>,
    /// Why it ended early.
    pub stopped: Option<Stop>,
    /// The names of those that are done and not up, and were not before.
    pub not_up: Vec<String>,
}

/// A connection that was up before its write.
struct Down {
    uuid: String,
    name: String,
    since: Instant,
}

/// The query that puts a write on trial.
pub fn confirm(time: &str) -> String {
    format!("?confirm={}", encoded(&up::with_unit(time)))
}

impl Steps<'_> {
    /// Does all that is planned.
    pub fn run(&self, plan: &Value, entries: &[Entry], tells: bool) -> Outcome {
        let mut writes: Vec<_> = list(plan, "connections").iter().zip(entries).collect();
        writes.retain(|(item, _)| item["action"] != "keep");
        writes.sort_by_key(|(item, _)| item["place"].as_u64());
        let all = writes.iter().map(|(item, _)| *item).chain(list(plan, "deletions"));
        let results = all.map(|item| (text(item, "uuid").to_owned(), json!({ "state": "not_done" }))).collect();
        let mut outcome = Outcome { results, ..Outcome::default() };
        let stopped = self.all(plan, &writes, tells, &mut outcome);
        outcome.stopped = stopped.err();
        outcome
    }

    fn all(&self, plan: &Value, writes: &[(&Value, &Entry)], tells: bool, outcome: &mut Outcome) -> Result<()> {
        let deletions = list(plan, "deletions");
        let count = writes.len() + deletions.len();
        let (mut down, mut unproven, mut is_first) = (Vec::new(), Vec::new(), true);
        for (number, (item, entry)) in writes.iter().enumerate() {
            let (uuid, name) = (text(item, "uuid"), text(item, "name"));
            let place = format!("[{}/{count}]", number + 1);
            let was_up = item["action"] == "change" && item["impact"] != "none" && self.is_up(uuid)?;
            let answer = self.put(item, entry, &place).inspect_err(|stop| fail(outcome, uuid, stop))?;
            let inventory = &answer["inventory"];
            let is_wanted = inventory["state"] == "Enabled";
            let status = if is_wanted { inventory["status"].as_str().unwrap_or("Unknown") } else { "Disabled" };
            let done = if item["action"] == "create" { "created" } else { "changed" };
            outcome.results.insert(uuid.to_owned(), json!({ "state": done, "status": status }));
            let mut settled = Ok(());
            if was_up && is_wanted {
                down.push(Down { uuid: uuid.to_owned(), name: name.to_owned(), since: Instant::now() });
                settled = self.settle(&mut down, if is_first { 0 } else { self.most - 1 }, outcome);
                is_first = false;
            } else if is_wanted && status != "Ready" && item["impact"] != "none" {
                unproven.push((uuid, name));
            }
            if tells {
                let status = text(&outcome.results[uuid], "status");
                let status = Look::of_stdout().say(tone_of(status), status);
                print(&format!("{place} {done} {} ({}): {status}\n", safe(name), safe(uuid)))?;
            }
            settled?;
        }
        self.settle(&mut down, 0, outcome)?;
        for (uuid, name) in unproven {
            if up::is_missing(&self.view(uuid)?) {
                outcome.not_up.push(safe(name));
            }
        }
        for (number, item) in deletions.iter().enumerate() {
            let (uuid, place) = (text(item, "uuid"), format!("[{}/{count}]", writes.len() + number + 1));
            self.delete(item, &place).inspect_err(|stop| fail(outcome, uuid, stop))?;
            outcome.results.insert(uuid.to_owned(), json!({ "state": "deleted" }));
            if tells {
                print(&format!("{place} deleted {} ({})\n", safe(text(item, "name")), safe(uuid)))?;
            }
        }
        Ok(())
    }

    /// Writes a connection, unless somebody else did since the plan.
    fn put(&self, item: &Value, entry: &Entry, place: &str) -> Result<Value> {
        let query = self.confirm.map(confirm).unwrap_or_default();
        let path = format!("/cygnet/v1/connections/{}{query}", text(item, "uuid"));
        let body = json!({ "connection": entry.members });
        let doing = format!("{place} writing {}", text(item, "name"));
        let changed = format!("\"{}\"", text(item, "changed"));
        let presumed = if item["action"] == "create" { ("If-None-Match", "*") } else { ("If-Match", changed.as_str()) };
        let answer = self.client.write_if(Method::PUT, &path, &[presumed], Some(&body), &doing);
        answer.map_err(|stop| named(stop, text(item, "name")))
    }

    fn delete(&self, item: &Value, place: &str) -> Result<()> {
        let path = format!("/cygnet/v1/connections/{}", text(item, "uuid"));
        let (changed, doing) =
            (format!("\"{}\"", text(item, "changed")), format!("{place} deleting {}", text(item, "name")));
        let answer = self.client.write_if(Method::DELETE, &path, &[("If-Match", &changed)], None, &doing);
        answer.map(drop).map_err(|stop| named(stop, text(item, "name")))
    }

    fn view(&self, uuid: &str) -> Result<Value> {
        self.client.get(&format!("/cygnet/v1/connections/{uuid}"))
    }

    fn is_up(&self, uuid: &str) -> Result<bool> {
        Ok(self.view(uuid)?["inventory"]["status"] == "Ready")
    }

    /// Waits until no more than `most` are down.
    fn settle(&self, down: &mut Vec<Down>, most: usize, outcome: &mut Outcome) -> Result<()> {
        let mut progress = Progress::new();
        loop {
            let mut left = Vec::new();
            for one in std::mem::take(down) {
                let view = self.view(&one.uuid)?;
                let status = view["inventory"]["status"].as_str().unwrap_or("Unknown").to_owned();
                if let Some(result) = outcome.results.get_mut(&one.uuid) {
                    result["status"] = status.as_str().into();
                }
                match status.as_str() {
                    "Ready" => {}
                    _ if one.since.elapsed() < self.wait => left.push(one),
                    _ => {
                        let reason = &view["reason"];
                        let why = format!("{}: {}", text(reason, "code"), text(reason, "details"));
                        let why = if reason.is_null() { status } else { why };
                        return Err(Stop::new(
                            Code::Failed,
                            format!("{} was up and is not up again within {} s: {why}", one.name, self.wait.as_secs()),
                        ));
                    }
                }
            }
            *down = left;
            if down.len() <= most {
                return Ok(());
            }
            let names: Vec<_> = down.iter().map(|one| one.name.as_str()).collect();
            progress.say(&format!("waiting until {} is up again", names.join(", ")));
            self.client.pause(std::future::pending(), LOOK);
        }
    }
}

/// Notes that the write of `uuid` failed.
fn fail(outcome: &mut Outcome, uuid: &str, stop: &Stop) {
    let state = if stop.code == Code::Unreachable { "unknown" } else { "failed" };
    outcome.results.insert(uuid.to_owned(), json!({ "state": state, "error": stop.json()["error"] }));
}

/// `stop` with the name of the connection.
fn named(stop: Stop, name: &str) -> Stop {
    stop.about(name)
}
