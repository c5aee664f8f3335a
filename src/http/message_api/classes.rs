//! The messages that the door takes, by the names of their classes: which call serves each of them, and where that has
//! its parameters.

use crate::{
    http::{error::Failure, message::Message},
    nearest::nearest,
    visible::visible,
};

/// Where a call has its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Params {
    /// In the body, under this member.
    Body(&'static str),
    /// In the query.
    Query,
    /// In the query, in the query language.
    Conditions,
}

/// A class of messages.
#[derive(Debug, Clone, Copy)]
pub struct Class {
    /// Its full name.
    pub name: &'static str,
    /// The call that serves it, as the table of routes names it.
    pub operation: &'static str,
    /// Where that has its parameters.
    pub(super) params: Params,
    /// The member that the path of the call names.
    pub(super) subject: &'static str,
    /// A member of the answer, and what else it is called in the reply.
    pub(super) alias: Option<(&'static str, &'static str)>,
    /// The message, of a class that writes.
    message: Option<Message>,
}

/// The class of an event of which nobody knows the message.
const EVENT: &str = "org.zstack.header.message.APIEvent";
/// How much of an unknown name is shown, in characters.
const SHOWN: usize = 128;

/// All classes.
#[rustfmt::skip]
pub static CLASSES: [Class; 25] = [
    write("org.zstack.ipsec.APICreateIPsecConnectionMsg", "CreateIPsecConnection", Message::Create),
    write("org.zstack.ipsec.APIChangeIPsecConnectionMsg", "ChangeIPsecConnection", Message::Change),
    write("org.zstack.ipsec.APIUpdateIPsecConnectionMsg", "UpdateIPsecConnection", Message::Update),
    write("org.zstack.ipsec.APIDeleteIPsecConnectionMsg", "DeleteIPsecConnection", Message::Delete),
    write("org.zstack.ipsec.APIChangeIPSecConnectionStateMsg", "ChangeIPSecConnectionState", Message::ChangeState),
    write("org.zstack.ipsec.APIReconnectIPsecConnectionMsg", "ChangeIPSecConnectionState", Message::Reconnect),
    write("org.zstack.ipsec.APIAddRemoteCidrsToIPsecConnectionMsg", "AddRemoteCidrs", Message::AddRemoteCidrs),
    write("org.zstack.ipsec.APIRemoveRemoteCidrsFromIPsecConnectionMsg", "RemoveRemoteCidrs", Message::RemoveRemoteCidrs),
    write("org.zstack.ipsec.APIAttachL3NetworksToIPsecConnectionMsg", "AttachL3Networks", Message::AttachL3Networks),
    write("org.zstack.ipsec.APIDetachL3NetworksFromIPsecConnectionMsg", "DetachL3Networks", Message::DetachL3Networks),
    read("org.zstack.ipsec.APIQueryIPSecConnectionMsg", "QueryIPSecConnection", Params::Conditions),
    read("org.zstack.ipsec.APIGetCandidateL3NetworksForIpSecConnectionMsg", "GetCandidateL3Networks", Params::Query),
    read("org.zstack.ipsec.APIGetVpcIPsecLogMsg", "GetVpcIPsecLog", Params::Query),
    read("org.zstack.vpc.APIGetVpcAttachedIpsecMsg", "GetVpcAttachedIpsec", Params::Body("params")),
    read("org.zstack.ipsec.APIGetVpcAttachedIpsecMsg", "GetVpcAttachedIpsec", Params::Body("params")),
    read("org.zstack.network.service.vip.APIQueryVipMsg", "QueryVip", Params::Conditions),
    read("org.zstack.header.network.l3.APIQueryL3NetworkMsg", "QueryL3Network", Params::Conditions),
    read("org.zstack.vpc.APIQueryVpcRouterMsg", "QueryVpcRouter", Params::Conditions),
    read("org.zstack.network.service.virtualrouter.APIQueryVirtualRouterVmMsg", "QueryVpcRouter", Params::Conditions),
    read("org.zstack.header.managementnode.APIGetVersionMsg", "GetVersion", Params::Body("getVersion")),
    read("org.zstack.header.identity.APILogInByAccountMsg", "LogInByAccount", Params::Body("logInByAccount")),
    read("org.zstack.header.identity.APILogInByUserMsg", "LogInByUser", Params::Body("logInByUser")),
    read("org.zstack.header.identity.APILogOutMsg", "LogOut", Params::Query).of_session(),
    read("org.zstack.header.identity.APIValidateSessionMsg", "ValidateSession", Params::Query).of_session().with_alias("valid", "validSession"),
    write("org.zstack.header.identity.APIRenewSessionMsg", "RenewSession", Message::RenewSession).of_session(),
];

const fn read(name: &'static str, operation: &'static str, params: Params) -> Class {
    Class { name, operation, params, subject: "uuid", alias: None, message: None }
}

const fn write(name: &'static str, operation: &'static str, message: Message) -> Class {
    let params = if message.reads_body() { Params::Body(message.key()) } else { Params::Query };
    Class { name, operation, params, subject: "uuid", alias: None, message: Some(message) }
}

impl Class {
    const fn of_session(self) -> Self {
        Self { subject: "sessionUuid", ..self }
    }

    const fn with_alias(self, name: &'static str, alias: &'static str) -> Self {
        Self { alias: Some((name, alias)), ..self }
    }

    /// The class of this name, in any case of letters.
    ///
    /// # Errors
    /// 400 when there is none, with the one that is near.
    pub fn named(name: &str) -> Result<&'static Self, Failure> {
        let found = CLASSES.iter().find(|class| class.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            let shown: String = name.chars().take(SHOWN).collect();
            let near = near(name).map_or_else(String::new, |near| format!("; did you mean {near}?"));
            Failure::bad_request(format!("there is no message \"{}\" here{near}", visible(&shown).replace('"', "\\\"")))
        })
    }

    /// The class of its reply, or of the event that it ends with.
    pub(super) fn reply(&self) -> String {
        let end = if self.message.is_some() { "Event" } else { "Reply" };
        format!("{}{end}", self.name.trim_end_matches("Msg"))
    }

    /// The class of the event that a write named `action` ends with.
    pub(super) fn event_of(action: Option<&str>) -> String {
        let is_its = |class: &&Self| class.message.is_some_and(|message| Some(message.name()) == action);
        CLASSES.iter().find(is_its).map_or_else(|| EVENT.into(), Self::reply)
    }
}

/// The class that somebody may have meant: packages, and what all names begin and end with, make none near.
fn near(name: &str) -> Option<&'static str> {
    let known: Vec<_> = CLASSES.iter().map(|class| (core(class.name), class.name)).collect();
    let found = nearest(core(name), known.iter().map(|(core, _)| *core))?;
    known.iter().find(|(core, _)| *core == found).map(|(_, name)| *name)
}

fn core(name: &str) -> &str {
    let last = name.rsplit('.').next().unwrap_or(name);
    let last = last.strip_prefix("API").unwrap_or(last);
    last.strip_suffix("Msg").unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_class_stands_once_and_is_named_as_its_message() {
        let names: BTreeSet<_> = CLASSES.iter().map(|class| class.name).collect();
        assert_eq!(names.len(), CLASSES.len());
        for class in CLASSES.iter().filter(|class| class.message.is_some()) {
            assert_eq!(class.message.map(Message::name), Some(core(class.name)));
            assert_eq!(Class::event_of(Some(core(class.name))), class.reply());
        }
        assert_eq!((Class::event_of(None), Class::event_of(Some("x"))), (EVENT.to_owned(), EVENT.to_owned()));
    }

    #[test]
    fn an_unknown_class_is_refused_with_the_near_one() {
        for (given, wanted) in [
            ("org.zstack.ipsec.APIChangeIPsecConectionMsg", Some("org.zstack.ipsec.APIChangeIPsecConnectionMsg")),
            (
                "org.zstack.header.ipsec.APIChangeIPsecConnectionMsg",
                Some("org.zstack.ipsec.APIChangeIPsecConnectionMsg"),
            ),
            ("APIQueryIPsecConnectionsMsg", Some("org.zstack.ipsec.APIQueryIPSecConnectionMsg")),
            ("LogOut", Some("org.zstack.header.identity.APILogOutMsg")),
            ("org.zstack.header.vm.APICreateVmInstanceMsg", None),
            ("", None),
            ("\u{202e}\"\n", None),
        ] {
            assert_eq!(near(given), wanted, "{given}");
            assert!(Class::named(given).is_err());
        }
        assert!(Class::named("org.zstack.ipsec.apichangeipsecconnectionmsg").is_ok());
    }
}
