//! The metrics of one second, as texts.

use axum::body::Bytes;
use prometheus_client::{
    encoding::text::{encode_eof, encode_registry},
    registry::Registry,
};

/// The metrics of one second.
#[derive(Clone)]
pub struct Texts {
    /// Without names and addresses.
    pub open: Bytes,
    /// All.
    pub whole: Bytes,
}

impl Texts {
    /// The series of both registries; those of `named` have names and addresses.
    ///
    /// # Errors
    /// When they cannot be encoded, which is a fault of this program.
    pub fn new(open: &Registry, named: &Registry) -> Result<Self, std::fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, open)?;
        let mut whole = text.clone();
        encode_eof(&mut text)?;
        encode_registry(&mut whole, named)?;
        encode_eof(&mut whole)?;
        Ok(Self { open: text.into(), whole: whole.into() })
    }
}
