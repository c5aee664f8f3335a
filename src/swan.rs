//! strongSwan's languages (pure functions on text and bytes) and the two ways to reach charon.

pub mod conf;
pub mod message;
pub mod names;
pub mod observe;
pub mod packet;
pub mod plan;
pub mod section;
pub mod vici;
