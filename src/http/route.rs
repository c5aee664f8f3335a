//! What a row of the table of routes says (`routes.rs`). A request carries the row of its path with it, so whoever looks
//! at the request need not know the table.

use super::{
    envelope::Envelope,
    message::Message,
    paths::{no_method, no_such_method},
    state::Api,
};
use axum::{
    handler::Handler,
    http::{Method, Uri},
    routing::{MethodFilter, MethodRouter, any, on},
};
use std::sync::Arc;

/// A path and all that it is called for.
pub struct Route {
    /// The path, with `{uuid}` where it names something.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// What is answered to a method that is not among the calls.
    pub otherwise: Otherwise,
    /// One for each method.
    pub calls: &'static [Call],
}

/// Who may call a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Callers with valid credentials; a write may become a job.
    Jobs,
    /// Callers with valid credentials; the answer is direct.
    Direct,
    /// Callers without credentials too.
    Everybody,
}

/// What is answered to a method that a path has no call for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// The contract's texts that there is no API (1.2), to callers with valid credentials.
    NoApi,
    /// 405, to callers with valid credentials.
    NotAllowed,
    /// 405, to everybody.
    NotAllowedForAnybody,
}

/// Makes the handlers of a call.
pub type Handlers = fn(Verb) -> MethodRouter<Arc<Api>>;

/// A method of a path.
pub struct Call {
    /// The method.
    pub method: Verb,
    /// Its name in the `OpenAPI` document.
    pub operation: &'static str,
    /// What it means.
    pub meaning: Meaning,
    /// Has the call answered.
    pub handler: Handlers,
}

/// What a call means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It changes nothing but the caller's own session.
    Reads,
    /// It is a write of our own.
    Acts,
    /// This message.
    Message(Message),
    /// The message whose member is in the body.
    Action(&'static [Message]),
}

impl Meaning {
    /// Those that the body may hold; none for what is no write of the contract.
    #[must_use]
    pub const fn messages(&self) -> &[Message] {
        match self {
            Self::Reads | Self::Acts => &[],
            Self::Message(message) => std::slice::from_ref(message),
            Self::Action(messages) => messages,
        }
    }
}

/// The methods of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// GET, and HEAD with it.
    Get,
    /// PUT.
    Put,
    /// POST.
    Post,
    /// DELETE.
    Delete,
    /// All methods: the handler looks at the method itself, or does not care. The document describes GET.
    Any,
}

impl Verb {
    /// The method as the `OpenAPI` document writes it.
    #[must_use]
    pub const fn described(self) -> &'static str {
        match self {
            Self::Get | Self::Any => "get",
            Self::Put => "put",
            Self::Post => "post",
            Self::Delete => "delete",
        }
    }

    /// The method of a request for it.
    pub(super) const fn method(self) -> Method {
        match self {
            Self::Get | Self::Any => Method::GET,
            Self::Put => Method::PUT,
            Self::Post => Method::POST,
            Self::Delete => Method::DELETE,
        }
    }

    /// Has `handler` answer this method.
    pub(super) fn by<T: 'static>(self, handler: impl Handler<T, Arc<Api>>) -> MethodRouter<Arc<Api>> {
        let filter = match self {
            Self::Get => MethodFilter::GET,
            Self::Put => MethodFilter::PUT,
            Self::Post => MethodFilter::POST,
            Self::Delete => MethodFilter::DELETE,
            Self::Any => return any(handler),
        };
        on(filter, handler)
    }

    fn is(self, method: &Method) -> bool {
        match self {
            Self::Get => matches!(*method, Method::GET | Method::HEAD),
            Self::Put => *method == Method::PUT,
            Self::Post => *method == Method::POST,
            Self::Delete => *method == Method::DELETE,
            Self::Any => true,
        }
    }
}

impl Route {
    /// The call of this method, if there is one.
    pub(super) fn call(&self, method: &Method) -> Option<&Call> {
        self.calls.iter().find(|call| call.method.is(method))
    }

    /// All its handlers, and the answer to other methods.
    pub(super) fn handlers(&self) -> MethodRouter<Arc<Api>> {
        let others = match self.otherwise {
            Otherwise::NoApi => any(async |method: Method, uri: Uri| no_method(&method, &uri)),
            Otherwise::NotAllowed => any(no_such_method),
            Otherwise::NotAllowedForAnybody => MethodRouter::new(),
        };
        self.calls.iter().fold(others, |all, call| all.merge((call.handler)(call.method)))
    }
}

impl Call {
    /// Whether it takes the role `write`. A session may be renewed with any role.
    pub(super) const fn writes(&self) -> bool {
        !matches!(self.meaning, Meaning::Reads | Meaning::Message(Message::RenewSession))
    }

    /// The message that the body asks for, if it is one that writes.
    pub(super) fn message(&self, envelope: &Envelope) -> Option<Message> {
        match self.meaning {
            Meaning::Reads | Meaning::Acts => None,
            Meaning::Message(message) => Some(message),
            Meaning::Action(messages) => messages.iter().copied().find(|message| envelope.has(message.key())),
        }
    }

    /// Its name for the audit trail; `None` where only the body tells.
    pub(super) fn name(&self) -> Option<&'static str> {
        match self.meaning {
            Meaning::Reads | Meaning::Acts => Some(self.operation),
            Meaning::Message(message) | Meaning::Action(&[message]) => Some(message.name()),
            Meaning::Action(_) => None,
        }
    }
}
