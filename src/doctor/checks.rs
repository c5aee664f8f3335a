//! The checks: pure functions on facts that were gathered before.

pub(crate) mod addresses;
pub(crate) mod configuration;
pub(crate) mod daemon;
pub(crate) mod data_plane;
pub(crate) mod file_modes;
#[cfg(test)]
mod healthy;
pub(crate) mod kernel;
pub(crate) mod other_programs;
pub(crate) mod ports;
pub(crate) mod settings;
pub(crate) mod source_nat;
