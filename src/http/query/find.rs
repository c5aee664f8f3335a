//! Which connections a query is about, with as few questions to charon as it needs.

use super::{Found, Lens, Query};
use crate::{
    agent::View,
    http::{error::Failure, state::Api},
    ipsec::ConnectionId,
};
use std::collections::HashMap;

/// Up to so many connections, charon is asked for the SAs of each; of more, for all.
const FEW: usize = 32;

/// What `query` finds through `lens`. charon is asked for no more than the query needs: of ten thousand connections, one that is asked
/// for by its name costs no list of all SAs.
///
/// # Errors
/// 400 when it takes too many steps.
pub async fn find(api: &Api, query: &Query, lens: &Lens) -> Result<Found, Failure> {
    if let Some(id) = query.only() {
        let views = api.agent.view(id).await.into_iter().collect();
        return query.select(views, lens).await;
    }
    if query.judges_status() {
        return query.select(api.agent.views().await, lens).await;
    }
    let unseen = |record| View { record, running: None, discount: None };
    let mut found = query.select(api.agent.store().all().into_iter().map(unseen).collect(), lens).await?;
    if query.shows_status() {
        found.page = seen(api, found.page.iter().map(|view| view.record.id).collect()).await;
    }
    Ok(found)
}

/// These connections with what runs of them. One that was deleted in between is not there.
async fn seen(api: &Api, ids: Vec<ConnectionId>) -> Vec<View> {
    if ids.len() > FEW {
        let views = api.agent.views().await.into_iter();
        let mut views: HashMap<_, _> = views.map(|view| (view.record.id, view)).collect();
        return ids.into_iter().filter_map(|id| views.remove(&id)).collect();
    }
    let views = ids.into_iter().map(|id| api.agent.view(id));
    futures_util::future::join_all(views).await.into_iter().filter_map(Result::ok).collect()
}
