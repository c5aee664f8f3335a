//! What helps against a refusal or a warning beside other values: another way to write.

/// An option of a write that helps. Who answers a caller names it as the caller gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remedy {
    /// Its name.
    pub option: &'static str,
    /// What a write with it does: a whole sentence behind "with the option".
    pub effect: &'static str,
}
