//! cygnet, an IPsec configuration agent beside strongSwan.
pub mod disk;
pub mod error;
pub mod ipsec;
pub mod store;
pub mod swan;
