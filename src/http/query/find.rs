//! Which connections a query is about, with as few questions to charon as it needs.

use super::{Item, Operator, Query};
use crate::{agent::View, http::Api, ipsec::ConnectionId};

/// Up to so many connections, charon is asked for the SAs of each; of more, for all.
const FEW: usize = 32;

/// The connections that `query` may be about. charon is asked for no more than the query needs: of ten thousand, one
/// that is asked for by its name costs no list of all SAs.
pub async fn find(api: &Api, query: &Query) -> Vec<Item> {
    let unseen = |record| View { record, running: None };
    if let Some(id) = query.only() {
        return api.agent.view(id).await.iter().map(|view| api.item(view)).collect();
    }
    let held = || api.agent.store().all().into_iter().map(unseen).filter(|view| query.holds(&api.item(view)));
    let views = if query.judges_status() {
        api.agent.views().await
    } else if !query.shows_status() {
        held().collect()
    } else {
        let held: Vec<_> = held().map(|view| view.record.id).collect();
        if held.len() > FEW {
            api.agent.views().await
        } else {
            let views = held.into_iter().map(|id| api.agent.view(id));
            // One that was deleted in between is not there.
            futures_util::future::join_all(views).await.into_iter().filter_map(Result::ok).collect()
        }
    };
    views.iter().map(|view| api.item(view)).collect()
}

impl Query {
    /// The one connection that can be found, if a condition says which.
    fn only(&self) -> Option<ConnectionId> {
        let is_exact = |condition: &&super::Condition| condition.field == "uuid" && condition.operator == Operator::Eq;
        self.conditions.iter().find(is_exact).and_then(|condition| condition.value.parse().ok())
    }
}
