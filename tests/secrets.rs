//! Keys never leak: a whole life of connections with unmistakable keys, with all logs on, and then a search for the
//! keys in every form that bytes take on their way (text, hexadecimal, base64, lists of numbers, ...) in every place
//! that is not meant to have them. The places that must have them are the control: there the search has to find them.

#[path = "secrets/certs.rs"]
mod certs;
#[path = "secrets/copies.rs"]
mod copies;
#[path = "secrets/debug.rs"]
mod debug;
#[path = "secrets/kept.rs"]
mod kept;
#[path = "secrets/life.rs"]
mod life;
#[path = "secrets/masked.rs"]
mod masked;
#[path = "secrets/memory.rs"]
mod memory;
#[path = "secrets/needles.rs"]
mod needles;
#[path = "secrets/support.rs"]
mod support;
