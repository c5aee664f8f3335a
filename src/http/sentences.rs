//! The contract's sentences (1.8) of what is refused: the members of the API in place of the model's parts, and the real
//! server's own wording where it has one. Beside each sentence stands the data that it is made of.

use super::never;
use crate::{
    agent::Warning,
    error::{Error, Place, Problem, Resource},
    ipsec::{
        Clash, Conflict, Part, Remedy,
        clash::{OtherKey, Stored},
        rest_instead,
    },
};
use serde_json::{Value, json};

/// The class that the real server names in its messages.
const CLASS: &str = "org.zstack.header.message.ApiMessageParamValidator";

/// `details` of a value that is wrong.
pub(super) fn value(place: Place, name: &str, problem: &Problem) -> String {
    match (place, problem) {
        (_, Problem::NotOneOf { valid, found }) => {
            let why = never::value(name, found).map_or_else(String::new, |why| format!("; {why}"));
            let valid = valid.join(", ");
            format!("valid value for field[{name}] of message[{CLASS}] are [{valid}], but {found} found{why}")
        }
        (_, Problem::TooLong { most, length }) => format!(
            "field[{name}] of message[{CLASS}] exceeds max length of string. expected was <= {most}, actual was {length}"
        ),
        (_, Problem::Missing) => format!("field[{name}] of message[{CLASS}] is mandatory, can not be null"),
        (_, Problem::Empty) if name == "l3NetworkUuids" => {
            "must include l3 networks in APIAttachL3NetworksToIPsecConnectionMsg".into()
        }
        (_, Problem::Twice(found)) => format!("the remote CIDR[{found}] is same to existed cidrs"),
        (_, Problem::Characters(_)) => format!("the {name} {problem}"),
        (_, Problem::NotAnInteger(found)) => format!("[{name}] field is excepted an int or long, but was [{found}]."),
        (_, Problem::NotAUuid(found)) => {
            format!("{name}[{found}] is not a valid uuid: 32 lower-case hexadecimal digits of a UUID, without '-'")
        }
        (_, Problem::NotAPeer { found, why }) => {
            format!("the {name}[{found}] is not an IPv4 address (nor an IPv6 address), and {why}")
        }
        (_, Problem::Attached { found, id }) if name == "peerCidrs" => {
            format!("Cidr [{found}] is already in the Cidrs of ipsec [uuid :{id}]")
        }
        (_, Problem::Attached { found, id }) => {
            format!("L3 network [{found}] can not be attached to ipsec [uuid :{id}]twice")
        }
        (_, Problem::NotAttached { found, id, .. }) if name == "peerCidrs" => {
            format!("Cidr [{found}] is not in Cidrs of ipsec [uuid :{id}]")
        }
        (_, Problem::NotAttached { found, id, .. }) => {
            format!("L3 network [{found}] is not be attached to ipsec [uuid :{id}]")
        }
        (Place::Body, Problem::Rule(_) | Problem::Empty) => format!("field[{name}] {problem}"),
        (Place::Query, Problem::Rule(_) | Problem::Empty) => format!("the query parameter {name} {problem}"),
    }
}

/// `opaque` of a refusal: what a client needs to say it in its own words.
pub(super) fn data(error: &Error) -> Option<Value> {
    match error {
        Error::Value { place, name, problem } => {
            let place = match place {
                Place::Body => "field",
                Place::Query => "parameter",
            };
            let mut data = match problem {
                Problem::NotOneOf { valid, found } => {
                    let mut data = json!({ "problem": "NOT_ONE_OF", "valid": valid, "found": found });
                    if let Some(why) = never::value(name, found) {
                        data["why"] = why.into();
                    }
                    data
                }
                Problem::TooLong { most, length } => json!({ "problem": "TOO_LONG", "most": most, "length": length }),
                Problem::Missing => json!({ "problem": "MISSING" }),
                other => json!({ "problem": "RULE", "rule": other.to_string() }),
            };
            if let Some(found) = problem.found() {
                data["found"] = found.into();
            }
            data[place] = name.as_str().into();
            Some(data)
        }
        Error::Conflict(conflict) => {
            let (field, rule) = (field_of(conflict.part()), in_our_words(conflict));
            let mut data = json!({ "problem": "CONFLICT", "field": field, "rule": rule });
            if let Some(remedy) = conflict.remedy() {
                data["remedy"] = data_of_remedy(remedy);
            }
            Some(data)
        }
        Error::Clash(clash) => Some(data_of_clash(clash)),
        Error::NotConfirmed { .. } => Some(json!({ "problem": "NOT_CONFIRMED", "rule": error.to_string() })),
        Error::NotFound { field, uuid, resource, .. } => {
            Some(json!({ "problem": "NOT_FOUND", "field": field, "found": uuid, "type": type_of(*resource) }))
        }
        _ => None,
    }
}

/// The same of something stored that is in the way.
fn data_of_clash(clash: &Clash) -> Value {
    let rule = match clash {
        Clash::OnTrial(_) => format!("{clash}; wait until then, or leave it out"),
        other => other.to_string(),
    };
    let other = |other: &Stored| {
        let until = other.trial_until.map(|until| until.to_string());
        json!({ "uuid": other.id.to_string(), "name": other.name, "trial_until": until })
    };
    let others: Vec<_> = clash.others().into_iter().map(other).collect();
    let mut data = json!({ "problem": "CLASH", "rule": rule });
    if !others.is_empty() {
        data["connections"] = others.into();
    }
    match clash {
        Clash::UuidInUse(id) | Clash::UuidOfDamaged(id) => {
            (data["field"], data["found"]) = ("resourceUuid".into(), id.to_string().into());
        }
        Clash::SameEnds { is_anywhere: true, .. } => data["field"] = field_of(Part::RemoteId).into(),
        Clash::SameEnds { is_anywhere: false, .. } => data["field"] = field_of(Part::RemoteAddr).into(),
        Clash::Keys(_) => data["field"] = field_of(Part::Psk).into(),
        Clash::Ppk { .. } => data["field"] = "ppkId".into(),
        Clash::OnTrial(_) => data["parameter"] = "confirm".into(),
    }
    if let Some(remedy) = clash.remedy() {
        data["remedy"] = data_of_remedy(remedy);
    }
    data
}

/// The same of what helps.
pub(super) fn data_of_remedy(Remedy { option, effect }: Remedy) -> Value {
    json!({ "parameter": option, "effect": effect })
}

/// What helps, in the words of the API.
pub(super) fn remedied(Remedy { option, effect }: Remedy) -> String {
    format!("with the query parameter {option}=true, {effect}")
}

/// `details` of something stored that is in the way.
pub(super) fn clash(clash: &Clash) -> String {
    let named = |other: &Stored| format!("ipsec connection[uuid:{}, name:{}{}]", other.id, other.name, other.trial());
    match clash {
        Clash::UuidInUse(id) => format!("the resourceUuid[{id}] is in use"),
        Clash::UuidOfDamaged(id) => format!(
            "the resourceUuid[{id}] is that of a stored connection whose file is damaged (GET /readyz names it): repair or \
             remove the file and restart cygnet"
        ),
        Clash::SameEnds { other, is_anywhere } => {
            let by_identity = "remoteId, by which peers without a fixed address (%any) are told apart";
            let same = if *is_anywhere { by_identity } else { "peerAddress" };
            format!("there already have {} with the same vrouter and {same}", named(other))
        }
        Clash::Keys(keys) => {
            let other = |key: &OtherKey| format!("the {} has another authKey{}", named(&key.other), key.relation());
            let others = keys.iter().map(other).collect::<Vec<_>>().join("; ");
            let remedy = clash.remedy().map_or_else(String::new, |remedy| format!(" ({})", remedied(remedy)));
            format!(
                "{others}: charon could not tell which key to use; give the peers different remoteIds, or the same \
                 authKey{remedy}"
            )
        }
        Clash::Ppk { other, id } => format!(
            "the {} has another ppk under the ppkId[{id}]: charon could not tell which one to use; give this one another \
             ppkId, or the same ppk",
            named(other)
        ),
        Clash::OnTrial(trial) => format!(
            "the {} {}; wait until then, or send the whole change without confirm, which ends the trial",
            named(&trial.connection),
            trial.described()
        ),
    }
}

/// The real server's name for a kind of resource.
pub(super) fn type_of(resource: Resource) -> &'static str {
    match resource {
        Resource::Connection => "IPsecConnectionVO",
        Resource::Vip => "VipVO",
        Resource::L3Network => "L3NetworkVO",
        Resource::TagPattern => "TagPatternVO",
    }
}

/// `details` of a conflict.
pub(super) fn details(conflict: &Conflict) -> String {
    let field = field_of(conflict.part());
    // The real server's sentences name the value; the field is added behind them.
    let own = match conflict {
        Conflict::SameAddress(peer) => format!("the peerAddress[{peer}] cannot be the same to the VIP address"),
        Conflict::AddressFamilies { peer, local } => {
            format!("the peerAddress[{peer}] and the VIP address[{local}] are not of the same address family")
        }
        Conflict::RemotesOverlap(a, b) => format!("the remote CIDR[{a}] and remote CIDR[{b}] are overlaped"),
        Conflict::SidesOverlap { local, remote } => {
            let own = format!("the CIDR[{local}] of local router and remote CIDR[{remote}] are overlaped");
            return format!("{own} (field[{field}]){}", rest_instead(*remote, *local));
        }
        Conflict::NoIkev1 { .. } | Conflict::Unsupported { .. } => return conflict.to_string(),
        Conflict::Policy { advice, remedy: Some(remedy), setting, .. } => {
            return format!("field[{field}] {advice}; {} (refused by policy.{setting})", remedied(*remedy));
        }
        other => return format!("field[{field}] {}", in_our_words(other)),
    };
    format!("{own} (field[{field}])")
}

/// What stands behind the field where the real server says nothing: the model's sentence with the API's names in it.
fn in_our_words(conflict: &Conflict) -> String {
    match conflict {
        Conflict::NoSubject { names } => {
            format!("has a certificate without a subject: give a localId that it has ({names})")
        }
        Conflict::Subject(why) => {
            format!("has a certificate whose subject {why}; give a localId that it has beside it")
        }
        other => other.to_string(),
    }
}

/// A warning: what it is about, and what is said of that.
#[must_use]
pub fn warned(warning: &Warning) -> String {
    match warning.part {
        Some(part) => format!("{} {}", field_of(part), warning.message),
        None => warning.message.clone(),
    }
}

/// The API's name for a part of the model.
pub(super) fn field_of(part: Part) -> &'static str {
    match part {
        Part::LocalAddr => "vipUuid",
        Part::RemoteAddr => "peerAddress",
        Part::Version => "ikeVersion",
        Part::IkeEncryption => "ikeEncryptionAlgorithm",
        Part::IkeIntegrity => "ikeAuthAlgorithm",
        Part::IkeGroup => "ikeDhGroup",
        Part::Encryption => "policyEncryptionAlgorithm",
        Part::Integrity => "policyAuthAlgorithm",
        Part::Pfs => "pfs",
        Part::LocalId => "localId",
        Part::RemoteId => "remoteId",
        Part::Psk | Part::Certs => "authKey",
        Part::LocalNets => "l3NetworkUuid",
        Part::RemoteNets => "peerCidrs",
        Part::IkeLifetime => "ikeLifeTime",
        Part::Lifetime => "lifeTime",
        Part::Mode => "policyMode",
        Part::Protocol => "transformProtocol",
        Part::IdKind => "idType",
        Part::Native(name) => name,
    }
}
