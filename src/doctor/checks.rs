//! The checks: pure functions on facts that were gathered before.

pub(super) mod addresses;
pub(super) mod cas;
pub(super) mod clamp;
pub(super) mod configuration;
pub(super) mod daemon;
pub(super) mod data_plane;
pub(super) mod file_modes;
pub(super) mod filter;
pub(super) mod flows;
pub(super) mod fragments;
#[cfg(test)]
pub(crate) mod healthy;
pub(super) mod interfaces;
pub(super) mod kernel;
pub(super) mod names;
pub(super) mod other_programs;
pub(super) mod pair;
pub(super) mod ports;
pub(super) mod routes;
pub(super) mod settings;
pub(super) mod source_nat;
