//! The library without an agent: what is read, written, rendered and sent, and the rules of the design that are read off
//! the sources. It needs no privileges.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/connections.rs"]
mod connections;
mod corpus;
mod differential;
#[path = "support/executables.rs"]
mod executables;
#[path = "support/fake_charon.rs"]
mod fake_charon;
mod floors;
mod golden;
mod properties;
#[path = "support/skip.rs"]
mod skip;
#[path = "support/vendors.rs"]
mod vendor_rows;
#[path = "lab/vendors/page.rs"]
mod vendors_page;
mod vici;
