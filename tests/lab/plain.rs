//! A gateway without an agent on B: an operator wrote its connection, and corrects it by loading it anew. What runs there
//! stays as it is meanwhile, as with every charon.

use crate::pair::KEY;
use crate::support::lab::{Lab, Side};

/// The only child of the connection, with what B takes for right.
pub struct Plain<'a> {
    /// `ikev1`, `ikev2`, or `ike0` for both.
    pub version: &'a str,
    /// B's own networks, and those of A.
    pub local: &'a str,
    pub remote: &'a str,
    pub esp: &'a str,
    /// Further lines of the child.
    pub extra: &'a str,
}

impl Plain<'_> {
    /// What A's connection asks for unless it says more.
    pub fn right(version: &str) -> Plain<'_> {
        Plain { version, local: Side::B.lan(), remote: Side::A.lan(), esp: "aes256-sha256", extra: "" }
    }

    /// Loads it, over what was there under its name.
    #[track_caller]
    pub fn load(&self, lab: &Lab) {
        let (a, b) = (Side::A.wan(), Side::B.wan());
        let Plain { local, remote, esp, extra, .. } = self;
        let text = format!(
            "connections {{\n plain {{\n version = {}\n local_addrs = {b}\n remote_addrs = {a}\n \
             proposals = aes256-sha256-x25519\n unique = no\n local {{\n auth = psk\n id = {b}\n }}\n \
             remote {{\n auth = psk\n id = {a}\n }}\n children {{\n k {{\n esp_proposals = {esp}\n \
             local_ts = {local}\n remote_ts = {remote}\n{extra}\n }}\n }}\n }}\n}}\n\
             secrets {{\n ike-plain {{\n id-1 = {a}\n secret = \"{KEY}\"\n }}\n}}\n",
            self.version.trim_start_matches("ike").trim_start_matches('v')
        );
        lab.load_conf(Side::B, "plain", &text);
    }
}

/// All CHILD_SAs on B that carry something.
pub fn children(lab: &Lab) -> usize {
    let sas = lab.sas(Side::B);
    let all = sas.as_array().into_iter().flatten().flat_map(|ike| ike["children"].as_array().into_iter().flatten());
    all.filter(|sa| sa["state"] == "INSTALLED" || sa["state"] == "REKEYED").count()
}
