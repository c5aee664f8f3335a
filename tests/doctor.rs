//! The doctor between a fake charon and a fake gateway: a tree in place of `/`, and scripts in place of `ip`, `nft` and
//! `timedatectl`. What a real kernel says is looked at in the lab. It needs no privileges.

#[path = "doctor/command.rs"]
mod command;
#[path = "doctor/faults.rs"]
mod faults;
#[path = "doctor/nobody.rs"]
mod nobody;
#[path = "doctor/rules.rs"]
mod rules;
#[path = "doctor/tree.rs"]
mod tree;
