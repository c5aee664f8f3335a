//! The members of a stored record, as they stand in its file.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::net::IpAddr;
use zeroize::Zeroizing;

/// The version of records with a pre-shared key; programs that know no certificates read it too.
pub(super) const WITH_PSK: u32 = 1;
/// The version of records with certificates.
pub(super) const WITH_CERTS: u32 = 2;
/// The version of records with a change on trial, whatever the proof of identity.
pub(super) const WITH_TRIAL: u32 = 3;
/// The version of records with a PPK, whatever the proof of identity, on trial or not.
pub(super) const WITH_PPK: u32 = 4;
/// The version of records in transition, or with one to be put back in it, whatever else they have.
pub(super) const WITH_TRANSITION: u32 = 5;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) version: u32,
    pub(super) uuid: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) system_tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) user_tags: Vec<String>,
    pub(super) enabled: bool,
    pub(super) created: Timestamp,
    pub(super) changed: Timestamp,
    pub(super) vip: Vip,
    pub(super) peer: String,
    /// The address that the peer's name had last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resolved: Option<IpAddr>,
    pub(super) identity: Identities,
    pub(super) ike: Ike,
    pub(super) child: Child,
    /// The options of our own by their names, since there is this section.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) native: Map<String, Value>,
    pub(super) local: Vec<Local>,
    pub(super) remote: Vec<Remote>,
    /// How often the key was changed.
    #[serde(default)]
    pub(super) ike_generation: u32,
    /// How often a child was to be negotiated anew beside one that ran otherwise than wanted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) child_generation: u32,
    /// Whether what runs may have been made for an earlier connection.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) unproven: bool,
    /// The last revisions, but for one that nobody has changed since there was a history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) history: Option<Revisions>,
    /// The key as hexadecimal digits, wiped with the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) psk_hex: Option<Zeroizing<String>>,
    /// The bundle of certificates with its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) certs_pem: Option<Zeroizing<String>>,
    /// The PPK as hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ppk_hex: Option<Zeroizing<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trial: Option<OnTrial>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) transition: Option<InTransition>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InTransition {
    pub(super) caller: String,
    pub(super) began: Timestamp,
    pub(super) until: Timestamp,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) accept: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) over: bool,
    pub(super) accepted: Vec<Accepted>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Accepted {
    pub(super) ike_encryption: String,
    pub(super) ike_integrity: String,
    pub(super) ike_group: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ike_prf: Option<String>,
    /// Absent with AH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) encryption: Option<String>,
    pub(super) integrity: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pfs: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) post_quantum: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) post_quantum_optional: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revisions {
    pub(super) number: u32,
    pub(super) at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) caller: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) new_key: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) new_ppk: bool,
    /// The highest number that was given, if that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) past: Vec<Earlier>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Earlier {
    pub(super) number: u32,
    pub(super) at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) caller: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) new_key: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) new_ppk: bool,
    /// The members in which it differs from the one behind it; null for those that it lacks.
    pub(super) was: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OnTrial {
    pub(super) uuid: String,
    pub(super) caller: String,
    pub(super) began: Timestamp,
    pub(super) until: Timestamp,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) overruled: bool,
    /// The record that counts if the trial fails; none of a connection that was created on trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<Box<File>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vip {
    pub(super) uuid: String,
    pub(super) address: IpAddr,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identities {
    pub(super) kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) local: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remote: Option<String>,
    /// The kind of one identity, if it is another than `kind`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) local_kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) remote_kind: Option<String>,
    /// Whose the key is in charon, if it is not the peer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key_owner: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ike {
    pub(super) version: u8,
    pub(super) encryption: String,
    pub(super) integrity: String,
    pub(super) group: u16,
    pub(super) lifetime_s: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dpd: Option<DeadPeer>,
    /// Whether the peer was last up with IKEv1, where both versions are spoken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) ikev1_worked: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeadPeer {
    pub(super) delay_s: u32,
    pub(super) timeout_s: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Child {
    pub(super) protocol: String,
    pub(super) mode: String,
    pub(super) encryption: String,
    pub(super) integrity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pfs: Option<u16>,
    pub(super) lifetime_s: u32,
    /// Absent in records that were stored before there was a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) split: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Local {
    pub(super) uuid: String,
    pub(super) network: String,
    pub(super) cidrs: Vec<String>,
    pub(super) created: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Remote {
    pub(super) uuid: String,
    pub(super) cidr: String,
    pub(super) created: Timestamp,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The one member that every version has.
#[derive(Deserialize)]
pub(super) struct Version {
    pub(super) version: u32,
}
