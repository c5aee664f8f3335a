//! A router of ZStack as a peer: what its agent makes of the options of the API, in the two kinds of file that it writes
//! since 2022. The words are the router's own for `swanctl.conf`; `ipsec.conf` is put into swanctl's words, with what
//! strongSwan's starter adds.

use serde_json::Value;

/// The kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// `ipsec.conf` and `ipsec.secrets`, from 4.5 on.
    Ipsec,
    /// `swanctl.conf`, from 5.3 on, on openEuler.
    Swanctl,
}

/// A router with one connection.
pub struct Router<'a> {
    pub files: Files,
    pub name: &'a str,
    pub own: &'a str,
    pub peer: &'a str,
    /// The options as they are given to cygnet: the router has the other end's.
    pub options: &'a Value,
    /// Its networks, and ours.
    pub networks: [&'a [String]; 2],
    pub key: &'a str,
}

/// A text as `html/template` writes it.
fn html(text: &str) -> String {
    let entity = |c| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '+' => "&#43;".to_owned(),
        '"' => "&#34;".to_owned(),
        '\'' => "&#39;".to_owned(),
        other => other.to_string(),
    };
    text.chars().map(entity).collect()
}

impl Router<'_> {
    fn option(&self, name: &str) -> &str {
        self.options[name].as_str().unwrap_or_default()
    }

    /// The text as the kind of file has it.
    fn written(&self, text: &str) -> String {
        if self.files == Files::Swanctl { html(text) } else { text.to_owned() }
    }

    /// An identity, which the router calls by the other end's name.
    fn identity(&self, name: &str, address: &str) -> String {
        let prefix = if self.option("idType") == "ip" { "" } else { "@" };
        let text = self.options[name].as_str().map_or(address.to_owned(), |text| format!("{prefix}{text}"));
        self.written(&text)
    }

    fn proposal(&self, [cipher, hash]: [&str; 2], group: Option<&str>) -> String {
        let words = [Some(self.option(cipher).replace('-', "")), Some(self.option(hash).to_owned())];
        words.into_iter().chain([group.map(str::to_owned)]).flatten().collect::<Vec<_>>().join("-")
    }

    fn children(&self) -> String {
        let pfs = self.option("pfs").strip_prefix("dh-group").and_then(|number| group(number.parse().ok()?));
        let esp = self.proposal(["policyEncryptionAlgorithm", "policyAuthAlgorithm"], pfs);
        let [own, other] = self.networks;
        let pairs: Vec<_> = if self.files == Files::Ipsec && self.option("ikeVersion") == "ikev1" {
            own.iter().flat_map(|own| other.iter().map(move |other| (own.clone(), other.clone()))).collect()
        } else {
            vec![(own.join(","), other.join(","))]
        };
        let times = match self.files {
            Files::Ipsec => "life_time = 3600s\n rekey_time = 3240s\n rand_time = 360s",
            Files::Swanctl => "life_time = 3600\n policies_fwd_out = yes",
        };
        let child = |(number, (own, other)): (usize, (String, String))| {
            format!(
                "{}-{number} {{\n local_ts = {own}\n remote_ts = {other}\n esp_proposals = {esp}\n {times}\n \
                 dpd_action = restart\n start_action = start\n mode = tunnel\n }}\n",
                self.name
            )
        };
        pairs.into_iter().enumerate().map(child).collect()
    }

    /// Its connection.
    pub fn connection(&self) -> String {
        let ike = self.proposal(
            ["ikeEncryptionAlgorithm", "ikeAuthAlgorithm"],
            self.options["ikeDhGroup"].as_u64().and_then(group),
        );
        let version = ["ike", "ikev1", "ikev2"].iter().position(|word| *word == self.option("ikeVersion"));
        let more = match self.files {
            Files::Ipsec => {
                "keyingtries = 0\n unique = replace\n dpd_delay = 30s\n reauth_time = 75600s\n over_time = 10800s"
            }
            Files::Swanctl => "reauth_time = 86400",
        };
        format!(
            "{} {{\n version = {}\n local_addrs = {}\n remote_addrs = {}\n proposals = {ike}\n mobike = no\n {more}\n \
             local {{\n auth = psk\n id = {}\n }}\n remote {{\n auth = psk\n id = {}\n }}\n children {{\n {} }}\n}}\n",
            self.name,
            version.unwrap_or_default(),
            self.own,
            self.peer,
            self.identity("remoteId", self.own),
            self.identity("localId", self.peer),
            self.children(),
        )
    }

    /// Its secrets. The names of a router's own are the same for all connections; here each connection is a router.
    pub fn secrets(&self) -> String {
        let key = self.written(self.key);
        let ids = [self.identity("remoteId", self.own), self.identity("localId", self.peer)];
        let secret = |(number, id): (usize, &String)| {
            format!("ike-{number}-{} {{\n id-{number} = {id}\n secret = {key}\n}}\n", self.name)
        };
        ids.iter().enumerate().map(secret).collect()
    }
}

/// strongSwan's word for a group that such a router knows.
fn group(number: u64) -> Option<&'static str> {
    let at = GROUPS.iter().position(|(known, _)| *known == number)?;
    Some(GROUPS[at].1)
}

/// The groups that such a router knows.
pub const GROUPS: [(u64, &str); 15] = [
    (2, "modp1024"),
    (5, "modp1536"),
    (14, "modp2048"),
    (15, "modp3072"),
    (16, "modp4096"),
    (17, "modp6144"),
    (18, "modp8192"),
    (19, "ecp256"),
    (20, "ecp384"),
    (21, "ecp521"),
    (22, "modp1024s160"),
    (23, "modp2048s224"),
    (24, "modp2048s256"),
    (25, "ecp192"),
    (26, "ecp224"),
];
