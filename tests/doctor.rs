//! The doctor between a fake charon and a fake gateway: a tree in place of `/`, and scripts in place of `ip`, `nft` and
//! `timedatectl`. What a real kernel says is looked at in the lab. It needs no privileges.

#[path = "support/http.rs"]
#[allow(dead_code, reason = "this test binary uses a part of it")]
mod client;
#[path = "doctor/command.rs"]
mod command;
#[path = "support/fake_charon.rs"]
mod fake_charon;
#[path = "doctor/faults.rs"]
mod faults;
#[path = "doctor/rules.rs"]
mod rules;
#[path = "support/serve.rs"]
mod serve;
#[path = "doctor/tree.rs"]
mod tree;
