//! The command line as people and scripts use it, against an agent with a fake charon behind it: what each subcommand
//! prints, its JSON, its exit code, what a terminal sees, and that no key is in any of it. Snapshots are in
//! `cli/snapshots`: `INSTA_UPDATE=always cargo test --test agent cli::` writes them anew; read the difference.

#[path = "cli/applied.rs"]
mod applied;
#[path = "cli/applied_files.rs"]
mod applied_files;
#[path = "cli/backups.rs"]
mod backups;
#[path = "cli/bundles.rs"]
mod bundles;
#[path = "cli/compares.rs"]
mod compares;
#[path = "cli/complete.rs"]
mod complete;
#[path = "cli/creates.rs"]
mod creates;
#[path = "cli/cuts.rs"]
mod cuts;
#[path = "cli/documents.rs"]
mod documents;
#[path = "cli/follow.rs"]
mod follow;
#[path = "cli/foreign.rs"]
mod foreign;
#[path = "cli/history.rs"]
mod history;
#[path = "cli/hostile.rs"]
mod hostile;
#[path = "cli/init.rs"]
mod init;
#[path = "cli/journal.rs"]
mod journal;
#[path = "cli/keys.rs"]
mod keys;
#[path = "cli/makefile.rs"]
mod makefile;
#[path = "cli/names.rs"]
mod names;
#[path = "cli/pages.rs"]
mod pages;
#[path = "cli/refusals.rs"]
mod refusals;
#[path = "cli/reloads.rs"]
mod reloads;
#[path = "cli/run.rs"]
mod run;
#[path = "cli/settings.rs"]
mod settings;
#[path = "cli/ships.rs"]
mod ships;
#[path = "cli/terminal.rs"]
mod terminal;
#[path = "cli/transition.rs"]
mod transition;
#[path = "cli/tty.rs"]
mod tty;
#[path = "cli/usage.rs"]
mod usage;
#[path = "cli/waits.rs"]
mod waits;
#[path = "cli/writes.rs"]
mod writes;
