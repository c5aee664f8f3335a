//! cygnet, an IPsec configuration agent beside strongSwan.
pub mod agent;
pub mod disk;
pub mod error;
pub mod http;
pub mod ipsec;
pub mod settings;
pub mod store;
pub mod swan;
