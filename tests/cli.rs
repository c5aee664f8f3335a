//! The command line as people and scripts use it, against an agent with a fake charon behind it: what each subcommand
//! prints, its JSON, its exit code, what a terminal sees, and that no key is in any of it. Snapshots are in
//! `cli/snapshots`: `INSTA_UPDATE=always cargo test --test cli` writes them anew; read the difference.

#[path = "support/http.rs"]
#[allow(dead_code, reason = "this test binary uses a part of it")]
mod client;
#[path = "cli/documents.rs"]
mod documents;
#[path = "support/fake_charon.rs"]
mod fake_charon;
#[path = "cli/follow.rs"]
mod follow;
#[path = "cli/hostile.rs"]
mod hostile;
#[path = "cli/keys.rs"]
mod keys;
#[path = "cli/makefile.rs"]
mod makefile;
#[path = "cli/names.rs"]
mod names;
#[path = "cli/pages.rs"]
mod pages;
#[path = "cli/run.rs"]
mod run;
#[path = "support/serve.rs"]
mod serve;
#[path = "cli/ships.rs"]
mod ships;
#[path = "support/skip.rs"]
mod skip;
#[path = "cli/terminal.rs"]
mod terminal;
#[path = "cli/tty.rs"]
mod tty;
#[path = "cli/usage.rs"]
mod usage;
#[path = "cli/waits.rs"]
mod waits;
#[path = "cli/writes.rs"]
mod writes;
