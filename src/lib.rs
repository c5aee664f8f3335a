//! cygnet, an IPsec configuration agent beside strongSwan.
//!
//! A management plane changes a connection over HTTP; the agent validates the request, renders
//! `swanctl.conf`, loads it into charon over the vici socket, and answers with what it observes.
//!
//! The house, floor by floor; imports go downwards only (`tests/floors.rs` checks it):
//!
//! ```text
//! 6  main, cli      wiring: settings, logging, sockets, signals; the command line
//! 5  http           what callers say and hear: wire structs, checks, inventories, status codes
//! 4  agent          the use cases and the reconcile loop; the only place that orders effects
//! 3  store, disk    the stored records and durable files        } effects
//!    host           what this host has                          }
//!    moment         one answer for all who ask at once          }
//!    gateway        facts of this machine, for the doctor       }
//!    swan, swan::{vici, swanctl, rehearsal}   the ways to charon }
//! 2  swan::{conf, section, message, packet, plan, observe, ...}   strongSwan's languages, pure
//! 1  ipsec          the model, in RFC 7296's words; no I/O
//! 0  error, settings, visible, disk::open
//! ```
//!
//! The way of a change: `http::wire` (bytes) → `http::parse` (checks) → `ipsec` (valid values) →
//! `agent::apply` (order of effects) → `swan::conf` (text) → `swan::plan` (requests) → `swan::vici`
//! (charon) → `store` (the commit point) → `agent::reconcile` (SAs) → `swan::observe` (what runs) →
//! `http::inventory` (the answer).

pub mod agent;
pub mod disk;
pub mod doctor;
pub mod error;
pub mod host;
pub mod http;
pub mod ipsec;
pub mod moment;
pub mod settings;
pub mod store;
pub mod strongswan;
pub mod visible;
