//! `cygnet restore`: what a backup has and this gateway lacks comes back. Connections go through the running agent, one
//! transaction each, so a restore that ends half way is finished by the next one.

use super::{
    ask,
    client::Client,
    history,
    look::{Look, Table, Tone, safe},
    moments,
    own_files::{self, There},
    passphrase,
    stop::{Result, Stop, note, print, print_json},
    width,
    write_args::RestoreArgs,
};
use cygnet::{
    disk::open::{self, Kind},
    http::MAX_BODY,
    rights, seal,
    store::{Backup, Record, backup_value},
};
use hyper::Method;
use serde_json::{Value, json};
use std::path::Path;
use zeroize::Zeroizing;

/// What becomes of one connection.
struct Item {
    record: Record,
    /// `missing`, `same`, `differs` or `refused`.
    what: &'static str,
    /// What a replacement changes, or why it is refused.
    detail: String,
    /// Whether it was restored.
    done: bool,
}

/// `cygnet restore`.
pub fn run(config: &Path, args: &RestoreArgs) -> Result<()> {
    if !args.yes && !args.plan {
        ask::must_be_possible()?;
    }
    let backup = read(args)?;
    let there = own_files::compare(config, &backup.files)?;
    let client = Client::new(config)?;
    let mut items = backup.records.iter().map(|record| planned(&client, record)).collect::<Result<Vec<_>>>()?;
    let page = page(&backup, &items, &there, Look::of_stderr());
    let is_wanted =
        |item: &Item| matches!(item.what, "missing" | "refused") || (item.what == "differs" && args.differing.replace);
    let wanted = items.iter().filter(|item| is_wanted(item)).count();
    let files = there.iter().filter(|there| **there == There::Missing).count();
    if args.plan {
        return if args.json.json { print_json(&told(&backup, &items, &there, false)) } else { print(&page).map(drop) };
    }
    let differing = items.iter().filter(|item| item.what == "differs").count();
    if differing > 0 && !args.differing.replace && !args.differing.only_missing {
        note_page(&page);
        return Err(Stop::failed(format!("{differing} connections here differ from the backup; nothing was done"))
            .hint("--replace takes what the backup says, --only-missing leaves them as they are"));
    }
    if wanted + files == 0 {
        return finish(args, &backup, &items, &there);
    }
    if args.yes {
        note_page(&page);
    } else {
        ask::confirmed(&page, &format!("Restore {wanted} connections and {files} files?"))?;
    }
    for (file, there) in backup.files.iter().zip(&there) {
        if *there == There::Missing {
            own_files::write(config, file)?;
        }
    }
    restore(&client, &mut items, &is_wanted, args.differing.replace)?;
    finish(args, &backup, &items, &there)
}

fn note_page(page: &str) {
    use std::io::Write;
    // Nothing is left to do if standard error is closed.
    let _ = write!(std::io::stderr(), "{page}");
}

/// The backup in the file, opened and read as a whole before anything is done.
fn read(args: &RestoreArgs) -> Result<Backup> {
    let failed = |why: &dyn std::fmt::Display| Stop::failed(format!("{}: {why}", args.file.display()));
    let bytes = open::read(&args.file, Kind::Backup).map_err(|e| failed(&rights::explained(&e)))?;
    let mut bytes = Zeroizing::new(bytes);
    if seal::is_sealed(&bytes) {
        let passphrase = passphrase::for_opening(args.passphrase_file.as_deref(), &args.file)?;
        bytes = seal::open(&passphrase, &bytes).map_err(|e| failed(&e))?;
    }
    Backup::from_bytes(&bytes).map_err(|why| failed(&why))
}

/// What restoring `record` would do. A refusal by the agent is an answer; anything else ends the command.
fn planned(client: &Client, record: &Record) -> Result<Item> {
    let item = |what, detail| Item { record: record.clone(), what, detail, done: false };
    match client.post("/cygnet/v1/restore/plan", &body(record)?) {
        Ok(answer) => Ok(match answer["what"].as_str() {
            Some("missing") => item("missing", String::new()),
            Some("same") => item("same", String::new()),
            Some("differs") => item("differs", history::changes(&answer["fields"])),
            _ => return Err(Stop::failed("the agent's answer does not say what is there")),
        }),
        Err(stop) if stop.is_refusal() => Ok(item("refused", stop.text().to_owned())),
        Err(stop) => Err(stop),
    }
}

/// The record as the agent takes it; a history that is too long for a call stays out.
fn body(record: &Record) -> Result<Value> {
    let mut value = backup_value(record).map_err(Stop::failed)?;
    if value.to_string().len() > MAX_BODY
        && let Value::Object(members) = &mut value
    {
        members.remove("history");
    }
    Ok(value)
}

/// Restores what is wanted. One that is refused may wait for another: it is tried again as long as others come back.
fn restore(client: &Client, items: &mut [Item], is_wanted: &dyn Fn(&Item) -> bool, replace: bool) -> Result<()> {
    let path = format!("/cygnet/v1/restore?replace={replace}");
    loop {
        let mut is_moving = false;
        for item in items.iter_mut().filter(|item| is_wanted(item) && !item.done) {
            let doing = format!("restoring {}", safe(&item.record.spec.names.name));
            match client.write(Method::POST, &path, Some(&body(&item.record)?), &doing) {
                Ok(_) => {
                    item.done = true;
                    is_moving = true;
                }
                Err(stop) if stop.is_refusal() => stop.text().clone_into(&mut item.detail),
                Err(stop) => return Err(stop.hint("run the restore again: it goes on where it was")),
            }
        }
        if !is_moving || items.iter().filter(|item| is_wanted(item)).all(|item| item.done) {
            return Ok(());
        }
    }
}

/// Prints what was done; a failure if something could not be.
fn finish(args: &RestoreArgs, backup: &Backup, items: &[Item], there: &[There]) -> Result<()> {
    let done = items.iter().filter(|item| item.done).count();
    let same = items.iter().filter(|item| item.what == "same").count();
    let written = there.iter().filter(|there| **there == There::Missing).count();
    if args.json.json {
        print_json(&told(backup, items, there, true))?;
    } else {
        print(&format!("restored {done} connections and {written} files; {same} connections were as in the backup\n"))?;
    }
    if written > 0 {
        note("settings and credentials take effect with `systemctl restart cygnet`; no tunnel is touched by it");
    }
    let differs = there.iter().filter(|there| **there == There::Differs).count();
    if differs > 0 {
        note(&format!("{differs} files of settings differ from the backup and were left as they are"));
    }
    let failed: Vec<_> = items
        .iter()
        .filter(|item| !item.done && (item.what == "refused" || (item.what == "differs" && args.differing.replace)))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    for item in &failed {
        note(&format!("{} ({}): {}", safe(&item.record.spec.names.name), item.record.id, safe(&item.detail)));
    }
    Err(Stop::failed(format!("{} of {} connections were not restored", failed.len(), items.len())))
}

/// The same for programs.
fn told(backup: &Backup, items: &[Item], there: &[There], is_done: bool) -> Value {
    let item = |item: &Item| {
        let mut told =
            json!({ "uuid": item.record.id.to_string(), "name": item.record.spec.names.name, "what": item.what });
        if !item.detail.is_empty() && !item.done {
            told["detail"] = item.detail.as_str().into();
        }
        if is_done {
            told["restored"] = item.done.into();
        }
        told
    };
    let file = |(file, there): (&cygnet::store::OwnFile, &There)| json!({ "name": file.name, "what": word(*there) });
    json!({
        "host": backup.host, "made": backup.made.to_string(), "program": backup.program,
        "connections": items.iter().map(item).collect::<Vec<_>>(),
        "files": backup.files.iter().zip(there).map(file).collect::<Vec<_>>(),
    })
}

fn word(there: There) -> &'static str {
    match there {
        There::Missing => "missing",
        There::Same => "same",
        There::Differs => "differs",
    }
}

/// What is in the backup, and what is here in its place.
fn page(backup: &Backup, items: &[Item], there: &[There], look: Look) -> String {
    let (host, program) = (safe(&backup.host), safe(&backup.program));
    let made = moments::moment(backup.made);
    let mut page = format!("backup of {host}, made {made} by cygnet {program}\n\n");
    let mut table = Table::new(&["NAME", "UUID", "HERE"]);
    for item in items.iter().filter(|item| item.what != "same") {
        let tone = match item.what {
            "missing" => Tone::Good,
            "differs" => Tone::Unsure,
            _ => Tone::Bad,
        };
        let here =
            if item.detail.is_empty() { item.what.to_owned() } else { format!("{}: {}", item.what, item.detail) };
        table.row([
            (Tone::Plain, item.record.spec.names.name.clone()),
            (Tone::Plain, item.record.id.to_string()),
            (tone, here),
        ]);
    }
    for (file, there) in backup.files.iter().zip(there).filter(|(_, there)| **there != There::Same) {
        let tone = if *there == There::Missing { Tone::Good } else { Tone::Unsure };
        table.row([(Tone::Plain, file.name.clone()), (Tone::Plain, "-".into()), (tone, word(*there).to_owned())]);
    }
    if table.len() > 0 {
        page += &table.page_or_blocks(look, width::of_stdout());
    }
    let same = items.iter().filter(|item| item.what == "same").count();
    page + &format!("the same here: {same} of {} connections\n", items.len())
}
