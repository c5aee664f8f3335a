//! All routes, one row each, and the router that is made of them. What the requests for jobs are checked for, what the
//! audit trail calls a write, and what the `OpenAPI` document must describe is said here and nowhere else.

use super::{
    actions, audit, compare, connections, declared, events, foreign, framing, gateway, guard, ha, history, jobs, login,
    message::Message,
    message_api::{self, Door},
    metrics, native, openapi, overview, page,
    paths::{no_such_method, no_such_path},
    resources, restore,
    route::{
        Access, Call, Handlers,
        Meaning::{self, Action, Acts, Message as Writes, Reads},
        Otherwise, Route,
        Verb::{self, Any, Delete, Get, Post, Put},
    },
    state::{Api, Shared},
    vpc_router,
};
use axum::{
    Extension, Router,
    extract::{Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
};
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;

/// The table.
pub static ROUTES: [Route; 53] = [
    Route {
        path: "/zstack/v1/ipsec",
        access: Access::Jobs,
        otherwise: Otherwise::NoApi,
        calls: &[
            call(Get, "QueryIPSecConnection", Reads, |verb| verb.by(connections::query)),
            call(Post, "CreateIPsecConnection", Writes(Message::Create), |verb| verb.by(connections::create)),
        ],
    },
    Route {
        path: "/zstack/v1/ipsec/candidatesL3Networks",
        access: Access::Jobs,
        otherwise: Otherwise::NotAllowedForAnybody,
        calls: &[call(Get, "GetCandidateL3Networks", Reads, |verb| verb.by(vpc_router::candidates))],
    },
    Route {
        path: "/zstack/v1/ipsec/{uuid}",
        access: Access::Jobs,
        otherwise: Otherwise::NoApi,
        calls: &[
            call(Get, "QueryIPSecConnectionByUuid", Reads, |verb| verb.by(connections::query_one)),
            call(Put, "UpdateIPsecConnection", Action(&[Message::Update]), |verb| verb.by(actions::update)),
            call(Delete, "DeleteIPsecConnection", Writes(Message::Delete), |verb| verb.by(connections::delete)),
        ],
    },
    Route {
        path: "/zstack/v1/ipsec/{uuid}/actions",
        access: Access::Jobs,
        otherwise: Otherwise::NoApi,
        calls: &[call(
            Put,
            "ChangeIPSecConnectionState",
            // The last is where the Go SDK, and so the vendor's Terraform provider, sends it.
            Action(&[Message::ChangeState, Message::Reconnect, Message::Update]),
            |verb| verb.by(actions::act),
        )],
    },
    Route {
        path: "/zstack/v1/ipsec/{uuid}/remote-cidrs",
        access: Access::Jobs,
        otherwise: Otherwise::NoApi,
        calls: &[
            call(Post, "AddRemoteCidrs", Writes(Message::AddRemoteCidrs), |verb| verb.by(actions::add_remote_cidrs)),
            call(Delete, "RemoveRemoteCidrs", Writes(Message::RemoveRemoteCidrs), |verb| {
                verb.by(actions::remove_remote_cidrs)
            }),
        ],
    },
    Route {
        path: "/zstack/v1/ipsec/{uuid}/l3networks",
        access: Access::Jobs,
        otherwise: Otherwise::NoApi,
        calls: &[
            call(Post, "AttachL3Networks", Writes(Message::AttachL3Networks), |verb| {
                verb.by(actions::attach_l3_networks)
            }),
            call(Delete, "DetachL3Networks", Writes(Message::DetachL3Networks), |verb| {
                verb.by(actions::detach_l3_networks)
            }),
        ],
    },
    Route {
        path: "/zstack/v1/ipsec/config/{uuid}",
        access: Access::Jobs,
        otherwise: Otherwise::NotAllowed,
        calls: &[
            call(Put, "ChangeIPsecConnection", Writes(Message::Change), |verb| verb.by(connections::change)),
            call(Post, "ChangeIPsecConnectionByPost", Writes(Message::Change), |verb| verb.by(connections::change)),
        ],
    },
    // Some versions of the Go SDK call this path.
    Route {
        path: "/zstack/v1/ipsec/config/{uuid}/actions",
        access: Access::Jobs,
        otherwise: Otherwise::NotAllowed,
        calls: &[
            call(Put, "ChangeIPsecConnectionByAction", Writes(Message::Change), |verb| verb.by(connections::change)),
            call(Post, "ChangeIPsecConnectionByPostedAction", Writes(Message::Change), |verb| {
                verb.by(connections::change)
            }),
        ],
    },
    Route {
        path: "/zstack/v1/accounts/sessions/{uuid}/renew",
        access: Access::Jobs,
        otherwise: Otherwise::NotAllowedForAnybody,
        calls: &[call(Put, "RenewSession", Writes(Message::RenewSession), |verb| verb.by(login::renew))],
    },
    ours(
        "/zstack/v1/vpc/virtual-routers/ipseclog",
        &[call(Any, "GetVpcIPsecLog", Reads, |verb| verb.by(vpc_router::log))],
    ),
    ours(
        "/zstack/v1/vpc/virtual-routers/{uuid}/attached-ipsec",
        &[call(Post, "GetVpcAttachedIpsec", Reads, |verb| verb.by(vpc_router::attached))],
    ),
    ours("/zstack/v1/vips", &[call(Get, "QueryVip", Reads, |verb| verb.by(resources::vips))]),
    ours("/zstack/v1/vips/{uuid}", &[call(Get, "QueryVipByUuid", Reads, |verb| verb.by(resources::vip_by_uuid))]),
    ours("/zstack/v1/l3-networks", &[call(Get, "QueryL3Network", Reads, |verb| verb.by(resources::l3_networks))]),
    ours(
        "/zstack/v1/l3-networks/{uuid}",
        &[call(Get, "QueryL3NetworkByUuid", Reads, |verb| verb.by(resources::l3_network_by_uuid))],
    ),
    ours("/zstack/v1/vpc/virtual-routers", &[call(Get, "QueryVpcRouter", Reads, |verb| verb.by(resources::routers))]),
    ours(
        "/zstack/v1/vpc/virtual-routers/{uuid}",
        &[call(Get, "QueryVpcRouterByUuid", Reads, |verb| verb.by(resources::router_by_uuid))],
    ),
    open("/zstack/v1/management-nodes/actions", &[call(Put, "GetVersion", Reads, |verb| verb.by(resources::version))]),
    ours("/cygnet/v1/doctor", &[call(Get, "Doctor", Reads, |verb| verb.by(native::doctor))]),
    ours("/cygnet/v1/connections", &[call(Get, "ListConnections", Reads, |verb| verb.by(overview::connections))]),
    ours("/cygnet/v1/foreign", &[call(Get, "ListForeign", Reads, |verb| verb.by(foreign::foreign))]),
    ours(
        "/cygnet/v1/reconnect-all-changed",
        &[call(Post, "ReconnectAllChanged", Acts, |verb| verb.by(actions::reconnect_all_changed))],
    ),
    ours("/cygnet/v1/restore", &[call(Post, "RestoreConnection", Acts, |verb| verb.by(restore::restore))]),
    ours("/cygnet/v1/restore/plan", &[call(Post, "PlanRestore", Acts, |verb| verb.by(restore::plan))]),
    ours("/cygnet/v1/reload", &[call(Post, "Reload", Acts, |verb| verb.by(native::reload))]),
    ours("/cygnet/v1/ha", &[call(Get, "ShowRoles", Reads, |verb| verb.by(ha::show))]),
    ours("/cygnet/v1/gateway", &[call(Get, "ShowGateway", Reads, |verb| verb.by(gateway::show))]),
    ours("/cygnet/v1/standby", &[call(Post, "GiveUp", Acts, |verb| verb.by(ha::standby))]),
    ours("/cygnet/v1/active", &[call(Post, "TakeBack", Acts, |verb| verb.by(ha::active))]),
    ours(
        "/cygnet/v1/compare",
        &[
            call(Get, "DescribeConnections", Reads, |verb| verb.by(compare::show)),
            call(Post, "CompareKeys", Acts, |verb| verb.by(compare::keys)),
        ],
    ),
    ours("/cygnet/v1/compare/digests", &[call(Post, "KeyDigests", Acts, |verb| verb.by(compare::digests))]),
    ours(
        "/cygnet/v1/connections/{uuid}",
        &[
            call(Get, "ShowConnection", Reads, |verb| verb.by(native::connection)),
            call(Put, "PutConnection", Acts, |verb| verb.by(declared::put)),
            call(Delete, "RemoveConnection", Acts, |verb| verb.by(declared::delete)),
        ],
    ),
    ours("/cygnet/v1/plan", &[call(Post, "PlanConnections", Acts, |verb| verb.by(declared::plan))]),
    ours("/cygnet/v1/export", &[call(Get, "ExportConnections", Reads, |verb| verb.by(declared::export))]),
    ours("/cygnet/v1/connections/{uuid}/plan", &[call(Post, "PlanChange", Reads, |verb| verb.by(native::plan))]),
    ours(
        "/cygnet/v1/connections/{uuid}/history",
        &[call(Get, "ConnectionHistory", Reads, |verb| verb.by(history::history))],
    ),
    ours(
        "/cygnet/v1/connections/{uuid}/revert",
        &[call(Post, "RevertConnection", Acts, |verb| verb.by(history::revert))],
    ),
    ours(
        "/cygnet/v1/connections/{uuid}/revert/plan",
        &[call(Post, "PlanRevert", Reads, |verb| verb.by(history::plan))],
    ),
    ours("/cygnet/v1/connections/{uuid}/log", &[call(Get, "ConnectionLog", Reads, |verb| verb.by(events::log))]),
    ours("/cygnet/v1/events", &[call(Get, "Events", Reads, |verb| verb.by(events::events))]),
    open("/zstack/v1/api-jobs/{uuid}", &[call(Any, "GetJob", Reads, |verb| verb.by(jobs::poll))]),
    open("/zstack/v1/accounts/login", &[call(Put, "LogInByAccount", Reads, |verb| verb.by(login::login))]),
    open("/zstack/v1/accounts/users/login", &[call(Put, "LogInByUser", Reads, |verb| verb.by(login::user_login))]),
    Route {
        path: "/zstack/v1/accounts/sessions/{uuid}",
        access: Access::Everybody,
        otherwise: Otherwise::NoApi,
        calls: &[call(Delete, "LogOut", Reads, |verb| verb.by(login::log_out))],
    },
    open(
        "/zstack/v1/accounts/sessions/{uuid}/valid",
        &[call(Get, "ValidateSession", Reads, |verb| verb.by(login::valid))],
    ),
    open(
        "/zstack/api",
        &[
            call(Post, "SendMessage", Reads, |verb| verb.by(message_api::send)),
            call(Put, "SendMessageByPut", Reads, |verb| verb.by(message_api::send)),
        ],
    ),
    // The older clients of the message API write it so.
    open(
        "/zstack/api/",
        &[
            call(Post, "SendMessageWithSlash", Reads, |verb| verb.by(message_api::send)),
            call(Put, "SendMessageWithSlashByPut", Reads, |verb| verb.by(message_api::send)),
        ],
    ),
    open(
        "/zstack/api/result/{uuid}",
        &[
            call(Get, "GetMessageResult", Reads, |verb| verb.by(message_api::result)),
            call(Put, "GetMessageResultByPut", Reads, |verb| verb.by(message_api::result)),
        ],
    ),
    open("/", &[call(Get, "Page", Reads, |verb| verb.by(page::page))]),
    open("/healthz", &[call(Get, "Health", Reads, |verb| verb.by(native::healthz))]),
    open("/readyz", &[call(Get, "Readiness", Reads, |verb| verb.by(native::readyz))]),
    open("/metrics", &[call(Get, "Metrics", Reads, |verb| verb.by(metrics::metrics))]),
    open("/openapi.json", &[call(Get, "Description", Reads, |verb| verb.by(openapi::document))]),
];

/// A path of our own: for callers with credentials, and answered directly.
const fn ours(path: &'static str, calls: &'static [Call]) -> Route {
    Route { path, access: Access::Direct, otherwise: Otherwise::NotAllowedForAnybody, calls }
}

/// A path for everybody.
const fn open(path: &'static str, calls: &'static [Call]) -> Route {
    Route { path, access: Access::Everybody, otherwise: Otherwise::NotAllowedForAnybody, calls }
}

const fn call(method: Verb, operation: &'static str, meaning: Meaning, handler: Handlers) -> Call {
    Call { method, operation, meaning, handler }
}

/// The router of all routes.
pub fn router(api: Arc<Api>) -> Router {
    let inner = joined(ROUTES.iter(), &api);
    let door = Door::new(watched(inner.clone(), Arc::clone(&api)), &ROUTES);
    outer(inner.layer(Extension(door)), api)
}

/// The router of the port for monitoring.
pub fn metrics_router(api: Arc<Api>) -> Router {
    outer(joined(ROUTES.iter().filter(|route| route.path == "/metrics"), &api), api)
}

fn joined(routes: impl Iterator<Item = &'static Route>, api: &Arc<Api>) -> Router<Arc<Api>> {
    let all = routes.fold(Router::new(), |all, route| all.merge(served(route, api)));
    all.fallback(no_such_path).method_not_allowed_fallback(no_such_method)
}

/// What comes from outside: its length is one, and it is counted.
fn outer(routes: Router<Arc<Api>>, api: Arc<Api>) -> Router {
    let counted = from_fn_with_state(Arc::clone(&api), counted);
    watched(routes.layer(from_fn(framing::one_length)), api).layer(counted)
}

/// `routes`, of which panics are caught and refusals logged.
fn watched(routes: Router<Arc<Api>>, api: Arc<Api>) -> Router {
    let refusals = from_fn_with_state(Arc::clone(&api), audit::refusals);
    routes.layer(CatchPanicLayer::new()).layer(refusals).with_state(api)
}

/// Has a request counted by its path in the table: strange paths make no series.
async fn counted(State(api): Shared, request: Request, next: Next) -> Response {
    api.calls.count(path_of_table(request.uri().path()), request, next).await
}

/// The path of the table that `path` is one of. One that names a thing comes after one without.
fn path_of_table(path: &str) -> &'static str {
    let fits = |route: &&Route| {
        let (wanted, given) = (route.path.split('/'), path.split('/'));
        wanted.clone().count() == given.clone().count()
            && wanted.zip(given).all(|(wanted, given)| wanted == given || (wanted == "{uuid}" && !given.is_empty()))
    };
    let names = |route: &&Route| route.path.matches("{uuid}").count();
    ROUTES.iter().filter(fits).min_by_key(names).map_or("other", |route| route.path)
}

/// One route behind what its callers pass, the outermost last.
fn served(route: &'static Route, api: &Arc<Api>) -> Router<Arc<Api>> {
    let handlers = Router::new().route(route.path, route.handlers());
    let known = from_fn_with_state(Arc::clone(api), guard::authenticate);
    let guarded = match route.access {
        Access::Everybody => handlers,
        Access::Direct => handlers.layer(known),
        Access::Jobs => {
            let job = from_fn_with_state(Arc::clone(api), jobs::asynchronous);
            handlers.layer(known).layer(from_fn(guard::with_schema)).layer(job)
        }
    };
    guarded.layer(Extension(route))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_path_and_no_operation_stands_twice() {
        let paths: BTreeSet<_> = ROUTES.iter().map(|route| route.path).collect();
        assert_eq!(paths.len(), ROUTES.len());
        let calls = || ROUTES.iter().flat_map(|route| route.calls);
        let operations: BTreeSet<_> = calls().map(|call| call.operation).collect();
        assert_eq!(operations.len(), calls().count());
    }

    #[test]
    fn a_path_is_one_of_the_table_or_another() {
        for (path, wanted) in [
            ("/zstack/v1/ipsec", "/zstack/v1/ipsec"),
            ("/zstack/v1/ipsec/candidatesL3Networks", "/zstack/v1/ipsec/candidatesL3Networks"),
            ("/zstack/v1/ipsec/c000", "/zstack/v1/ipsec/{uuid}"),
            ("/zstack/v1/ipsec/config/c000/actions", "/zstack/v1/ipsec/config/{uuid}/actions"),
            ("/zstack/v1/ipsec/", "other"),
            ("/zstack/v1/ipsec/a/b/c/d/e", "other"),
            ("/metrics", "/metrics"),
            ("//metrics", "other"),
            ("*", "other"),
            ("", "other"),
        ] {
            assert_eq!(path_of_table(path), wanted, "{path}");
        }
    }

    /// The check before a job and the audit trail go by the message.
    #[test]
    fn what_may_become_a_job_has_a_message() {
        for route in ROUTES.iter().filter(|route| route.access == Access::Jobs) {
            for call in route.calls {
                assert_eq!(call.method == Verb::Get, call.meaning == Meaning::Reads, "{}", call.operation);
            }
        }
    }
}
