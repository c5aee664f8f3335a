//! cygnet, an IPsec configuration agent beside strongSwan.
//!
//! A management plane changes a connection over HTTP; the agent validates the request, renders
//! `swanctl.conf`, loads it into charon over the vici socket, and answers with what it observes.
//!
//! The layers; imports go downwards only (`tests/floors.rs` checks it):
//!
//! ```text
//! 7  main, cli      settings, logging, sockets, signals; the command line
//! 6  http           requests and answers: checks, inventories, status codes
//! 5  doctor         checks of facts about this host
//! 4  agent          the use cases and the reconcile loop; the only place that orders effects
//!      change       a write: its checks, its transaction, trials, deletion, plans
//!      reconcile    makes the SAs follow the records: planner, queue, session with charon
//!      observe      observed state: view, traffic, reasons, events, log
//! 3  store, disk    the stored records and durable files          } effects
//!    host           addresses and interfaces of this host         }
//!    moment         one answer for concurrent callers             }
//!    doctor::facts  facts about this host                         }
//!    strongswan, strongswan::{vici, swanctl, dry_run}   the backends of charon }
//! 2  strongswan::{conf, section, message, packet, requests, observe, log_parser, ...}   its formats, pure
//! 1  ipsec          the model, in the words of RFC 7296; no I/O
//! 0  error, settings, visible, nearest, ranked, rights, seal, disk::open
//! ```
//!
//! The way of a change: `http::wire` (bytes) → `http::parse` (checks) → `ipsec` (valid values) →
//! `agent::change::transaction` (order of effects) → `strongswan::conf` (text) → `strongswan::requests`
//! → `strongswan::vici` (charon) → `store` (the commit point) → `agent::reconcile` (SAs) →
//! `strongswan::observe` (what runs) → `http::inventory` (the answer).
//!
//! `docs/architecture.md` says who owns which task, channel and lock.

pub mod agent;
pub mod disk;
pub mod doctor;
pub mod error;
pub mod host;
pub mod http;
pub mod ipsec;
pub mod moment;
pub mod nearest;
pub mod ranked;
pub mod rights;
pub mod seal;
pub mod settings;
pub mod store;
pub mod strongswan;
pub mod visible;
