//! How a connection is changed: what is checked, in which order effects happen, and what is put back.

pub(crate) mod conflicts;
pub(crate) mod credential_files;
pub(crate) mod delete;
pub(crate) mod overlaps;
pub(crate) mod passes;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod rekey_test;
pub(crate) mod set_aside;
pub(crate) mod settings_drift;
pub(crate) mod together;
pub(crate) mod transaction;
pub(crate) mod trial;
