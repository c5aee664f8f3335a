//! The options of our own: what a connection can be told that the contract does not know. They travel as one field from a
//! request to the rendered file. [`NATIVE`] has one row for each, and all that reads, stores, compares, shows or describes
//! an option takes it from there.

mod table;

pub use table::{ID_KINDS, NATIVE, SPLITS};

use super::{
    Dpd, IdentityKind, Integrity, Invalid, MlKem, NextLayer, Psk, connection::Split, next_layer::PROTOCOLS,
    post_quantum::MAX_PPK_ID,
};
use serde_json::Value;

/// The options of our own. The default is what a stored record has that says nothing of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NativeOptions {
    /// How the pairs of networks are spread over CHILD_SAs.
    pub split: Split,
    /// Dead peer detection; `None` if it was not chosen, as in older records, which keep their rendering.
    pub dpd: Option<Dpd>,
    /// The kind of `localId`; `None` if `idType` tells it.
    pub local_id_type: Option<IdentityKind>,
    /// The kind of `remoteId`; `None` if `idType` tells it.
    pub remote_id_type: Option<IdentityKind>,
    /// Whether ESP goes in UDP also where there is no NAT.
    pub force_encapsulation: bool,
    /// The hash of the IKE_SA's PRF; `None` takes that of its integrity.
    pub ike_prf: Option<Integrity>,
    /// Who begins to negotiate.
    pub start_mode: StartMode,
    /// The bytes after which a CHILD_SA is rekeyed; 0 if their number is no reason to.
    pub child_rekey_bytes: u64,
    /// Which packets between the networks the CHILD_SAs carry.
    pub next_layer: NextLayer,
    /// The XFRM interface whose packets go through the tunnel, by its `if_id`; 0: those that the networks say.
    pub if_id: u32,
    /// What the peer is, as far as that says what it can do.
    pub peer: PeerKind,
    /// The name by which both ends know the PPK (RFC 8784).
    pub ppk_id: Option<String>,
    /// The PPK. It is no row of [`NATIVE`]: nothing shows, exports or describes it, and no tag sets it.
    pub ppk: Option<Psk>,
    /// Whether an SA without the PPK is wanted, too.
    pub ppk_optional: bool,
    /// The key encapsulation beside the key exchange (RFC 9370).
    pub post_quantum: Option<MlKem>,
    /// Whether an SA without it is wanted, too.
    pub post_quantum_optional: bool,
}

/// What a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PeerKind {
    /// Nobody said.
    #[default]
    Any,
    /// A router of `ZStack`, whose agent writes keys and identities into strongSwan's files as they are.
    ZStack,
}

/// Who begins to negotiate, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartMode {
    /// This end, at once and for as long as the connection is wanted.
    #[default]
    Initiate,
    /// The peer. This end only answers.
    Respond,
    /// This end, when traffic comes for the peer's networks; or the peer.
    Trap,
}

/// Which values an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number from the first to the second.
    Number(u64, u64),
    /// Yes or no.
    Switch,
    /// A next layer protocol, by its name or number.
    Protocol,
    /// The name of a PPK, or nothing.
    PpkId,
}

/// What has to be negotiated anew for a new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The IKE_SA.
    Ike,
    /// The CHILD_SAs.
    Child,
    /// The CHILD_SAs, and only if they differ: their selectors say what the option does.
    Selectors,
    /// The IKE_SA, and only if the identity differs.
    Identity,
    /// Nothing: charon never hears of it.
    Nothing,
    /// Nothing of the IKE_SA: charon takes the connection anew.
    Reload,
}

/// An option of our own.
#[derive(Debug)]
pub struct NativeOption {
    /// The member of Create and Change.
    pub name: &'static str,
    /// Its values.
    pub kind: Kind,
    /// A value that is not the default: tests follow it through the program.
    pub example: &'static str,
    /// What it does, for the description of the API.
    pub about: &'static str,
    /// What a new value needs.
    pub scope: Scope,
    /// Whether the peer needs the same change.
    pub agreed: bool,
    /// Whether a record has it among its other values: it is older than the section of these options.
    pub stored_apart: bool,
    /// Its value; null if none was chosen.
    pub get: fn(&NativeOptions) -> Value,
    /// Sets a value of its kind.
    set: fn(&mut NativeOptions, &Value) -> Option<()>,
    /// Whether both have the same.
    pub same: fn(&NativeOptions, &NativeOptions) -> bool,
}

impl NativeOptions {
    /// What a new connection has that says nothing of them.
    #[must_use]
    pub fn created() -> Self {
        Self { split: Split::Auto, dpd: Some(Dpd::DEFAULT), ..Self::default() }
    }

    /// Takes away what says nothing without its companion, unless `is_given` names it: then it is refused.
    pub fn settle(&mut self, is_given: impl Fn(&str) -> bool) {
        if self.ppk_id.is_none() {
            self.ppk.take_if(|_| !is_given("ppk"));
            self.ppk_optional &= is_given("ppkRequired");
        }
        self.post_quantum_optional &= self.post_quantum.is_some() || is_given("postQuantumMode");
    }

    /// Those that say more of an SA than its selectors do.
    #[must_use]
    pub(super) fn of_connection(self) -> Self {
        Self {
            split: Split::default(),
            local_id_type: None,
            remote_id_type: None,
            next_layer: NextLayer::default(),
            peer: PeerKind::default(),
            ..self
        }
    }
}

impl NativeOption {
    /// Gives `options` this value.
    ///
    /// # Errors
    /// When it is none of this option.
    pub fn put(&self, options: &mut NativeOptions, value: &Value) -> Result<(), Invalid> {
        let (is_valid, wanted) = match self.kind {
            Kind::Word(words) => {
                let is_valid = value.as_str().is_some_and(|value| words.contains(&value));
                (is_valid, format!("must be one of {}", words.join(", ")))
            }
            Kind::Number(low, high) => {
                let is_valid = value.as_u64().is_some_and(|value| (low..=high).contains(&value));
                (is_valid, format!("must be in range of [{low}, {high}]"))
            }
            Kind::Switch => (value.is_boolean(), "must be true or false".into()),
            Kind::Protocol => {
                let names = PROTOCOLS.map(|(name, _)| name).join(", ");
                (value.is_string(), format!("must be {names}, or a number from 1 to 255"))
            }
            Kind::PpkId => {
                let rule = "letters, digits, dots, hyphens and underscores, with a letter among them and no sign first";
                (value.is_string(), format!("must be at most {MAX_PPK_ID} {rule}; or empty for none"))
            }
        };
        let set = is_valid.then(|| (self.set)(options, value)).flatten();
        set.ok_or_else(|| Invalid::new(wanted))
    }

    /// What a new connection has that does not name it.
    #[must_use]
    pub fn default(&self) -> Value {
        (self.get)(&NativeOptions::created())
    }
}
