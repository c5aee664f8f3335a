//! Plans of changes: what a change would do, without effects.

use super::write::Group;
use crate::{
    agent::{
        Agent, Companion, Warning, WriteOptions,
        change::{
            said::said,
            transaction::refuse_second,
            transition::{transited, warned},
        },
        reconcile::sa_planner::Step,
        refusal::not_found,
    },
    error::{Error, Result},
    ipsec::{Auth, Code, Connection, ConnectionId, Pass, Psk, Remedy, native::StartMode},
    store::Record,
    strongswan::{
        conf,
        diff::{self, Difference},
        requests::Loadable,
    },
};
use std::sync::Arc;

/// The impact of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impact {
    /// Nothing is sent to charon.
    None,
    /// New CHILD_SAs in the running IKE_SA.
    Child,
    /// A new IKE_SA with its children.
    Ike,
    /// The same, for the key alone.
    Reauth,
    /// Another tunnel: other addresses or identities, or no tunnel before or after.
    Replace,
}

impl Impact {
    /// The word in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Child => "child",
            Self::Ike => "ike",
            Self::Reauth => "reauth",
            Self::Replace => "replace",
        }
    }
}

/// A planned change.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The current record.
    pub before: Arc<Record>,
    /// The record after the change.
    pub after: Record,
    /// What the change does to traffic.
    pub impact: Impact,
    /// The differences in the file in conf.d.
    pub file: Vec<Difference>,
    /// The steps on charon's configuration, on conf.d and on the running SAs.
    pub steps: Vec<Step>,
    /// The first requests to charon: command and name.
    pub requests: Vec<String>,
    /// The pass policies of the connection.
    pub passes: Vec<Pass>,
    /// Valid but weak choices, and what stays loaded or was left out.
    pub warnings: Vec<Warning>,
    /// Whether the key is reported as new without a comparison.
    pub hides_key: bool,
    /// The other connections that would be changed in the same step.
    pub others: Vec<Companion>,
}

/// The impact of loading `after` where `before` was loaded; `None` stands for nothing loaded.
#[must_use]
pub fn impact(before: Option<(&Connection, &Loadable)>, after: Option<(&Connection, &Loadable)>) -> Impact {
    let ((old, before), (new, after)) = match (before, after) {
        (None, None) => return Impact::None,
        (Some(before), Some(after)) => (before, after),
        _ => return Impact::Replace,
    };
    let ends = |c: &Connection| (c.local_addr, c.remote_addr, c.local_id.key(), c.remote_id.key());
    if before.requests == after.requests {
        Impact::None
    } else if ends(old) != ends(new) {
        Impact::Replace
    } else if old.has_ike_of(new) {
        Impact::Child
    } else if is_key_alone(old, new) {
        Impact::Reauth
    } else {
        Impact::Ike
    }
}

fn is_key_alone(old: &Connection, new: &Connection) -> bool {
    let mut with_old_key = new.clone();
    with_old_key.auth = old.auth.clone();
    with_old_key.native.ppk.clone_from(&old.native.ppk);
    with_old_key.ike_generation = old.ike_generation;
    with_old_key == *old
}

impl Agent {
    /// Plans the change of the connection `id` by `edit` with the options `how`, without effects. With `hides_key`, the
    /// new pre-shared key is compared with no stored one, so a caller cannot guess keys.
    ///
    /// # Errors
    /// Those of the change itself before its first effect.
    pub async fn plan(
        &self,
        id: ConnectionId,
        how: &WriteOptions,
        hides_key: bool,
        edit: impl Fn(&Record) -> Result<Record>,
    ) -> Result<Plan> {
        self.refuse_damaged(id)?;
        self.look_up_peer(self.store.get(id).ok_or_else(|| not_found(id)).and_then(|record| edit(&record))).await;
        let entry = self.entry(id);
        // A copy: the plan must not change the planner.
        let planner = entry.planner.lock().await.clone();
        let before = self.store.get(id).ok_or_else(|| not_found(id))?;
        if how.confirm.is_some() {
            refuse_second(Some(&before))?;
        }
        if hides_key && how.transition.is_some() {
            // Whether it can be in transition would say whether the key is the stored one.
            let rule = "cannot be planned together with a key: leave authKey and ppk out";
            return Err(Error::in_query("transition", rule));
        }
        let wanted = transited(Some(&before), self.located(Some(&before), edit(&before)?)?, how)?;
        let hides_key = hides_key && matches!(wanted.connection.auth, Auth::Psk(_));
        let random = hides_key.then(Psk::random).transpose().map_err(|e| Error::Internal(format!("the key {e}")))?;
        let with_random = |record: &Record| match &random {
            Some(key) => record.with_key(key, &before).map_err(Error::from),
            None => Ok(record.clone()),
        };
        let after = Record { transition: wanted.transition.clone(), ..with_random(&wanted)? };
        self.judge(Some(&before), &after, self.tests_rekey(how))?;
        // How good the key itself is; whether a PFS is untested depends on whether the key is kept. That the stored one is
        // as bad excuses no key that is compared with none.
        self.judge(Some(&with_random(&before)?), &wanted, true)?;
        let Group { new: after, others } = self.group(Some(&before), after, how.together)?;
        let needed = others.iter().filter(|other| other.before.aside.is_none()).map(|other| &other.after);
        let all: Vec<_> = std::iter::once(&after).chain(needed).collect();
        let shared = self.check_claims(&all, hides_key)?;
        let prepared = self.prepare(Some(&before), &after, &planner).await?;
        let old = prepared.before.as_ref().map(|loadable| (&before.connection, loadable));
        let new = prepared.after.as_ref().map(|loadable| (&after.connection, loadable));
        let impact = impact(old, new);
        let parsed =
            |loadable: Option<&Loadable>| loadable.and_then(|l| conf::parse(l.conf.expose()).ok()).unwrap_or_default();
        let file = diff::between(&parsed(prepared.before.as_ref()), &parsed(prepared.after.as_ref()));
        let mut steps = prepared.steps;
        let requests = self.requests(&steps, prepared.before.as_ref(), prepared.after.as_ref())?;
        let waits = after.open_transition().is_some();
        let begins = after.connection.start_mode() == StartMode::Initiate && !waits;
        if impact != Impact::None && prepared.after.is_some() && begins {
            steps.extend(after.connection.children.iter().map(|child| Step::Initiate(child.name.clone())));
        }
        let mut warnings = transition(impact, &before.connection, &after.connection);
        if let Some(warning) = warned(&after) {
            warnings.retain(|other| other.code != "PEER_NOT_CHANGED");
            warnings.push(warning);
        }
        let tests_pfs = !matches!(impact, Impact::Ike | Impact::Replace) || self.tests_rekey(how);
        warnings.extend(self.cautions(Some(&before.connection), &after.connection, tests_pfs));
        warnings.extend(self.caution_of_networks(&after));
        warnings.extend(said(&wanted));
        warnings.extend(self.caution_of_cas(&before, &after));
        let of_key = self.cautions(Some(&before.connection), &wanted.connection, true);
        warnings.extend(of_key.into_iter().filter(|_| hides_key).filter(|w| !warnings.contains(w)).collect::<Vec<_>>());
        warnings.extend(shared);
        let passes = prepared.after.map(|after| after.passes).unwrap_or_default();
        Ok(Plan { before, after, impact, file, steps, requests, passes, warnings, hides_key, others })
    }

    /// The requests of the load step, by command and name.
    fn requests(&self, steps: &[Step], before: Option<&Loadable>, after: Option<&Loadable>) -> Result<Vec<String>> {
        match after {
            Some(after) if steps.contains(&Step::Load) => self.strongswan.planned(after, before),
            None if steps.contains(&Step::Unload) => Ok(vec!["unload-conn".into(), "unload-shared".into()]),
            _ => Ok(Vec::new()),
        }
    }

    /// Refuses conflicts with other connections. With `hides_key`, a possible conflict of keys is a warning.
    fn check_claims(&self, all: &[&Record], hides_key: bool) -> Result<Option<Warning>> {
        let uniqueness = self.changes.uniqueness();
        if !hides_key {
            return uniqueness.check(all, |id| self.stored(id)).map(|()| None);
        }
        uniqueness.check_pairs(all, |id| self.stored(id))?;
        Ok(uniqueness.clashing(all).first().map(|other| Warning {
            code: Code::KeyAmbiguous.name(),
            part: None,
            remedy: None,
            message: format!(
                "{} has the same remote identity: the change is refused if its authKey is another one",
                self.stored(*other)
            ),
        }))
    }
}

/// Whether the peer needs the same change. Lifetimes and dead peer detection are local to each end.
fn needs_agreement(old: &Connection, new: &Connection) -> bool {
    let mut agreed = new.clone();
    (agreed.lifetime, agreed.ike_lifetime) = (old.lifetime, old.ike_lifetime);
    if new.native.agrees_with(&old.native) {
        agreed.native = old.native.clone();
    }
    agreed.ike_generation = old.ike_generation;
    agreed != *old
}

/// The warnings about the transition from `old` to `new`.
pub(super) fn transition(impact: Impact, old: &Connection, new: &Connection) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code, message: String, remedy| warnings.push(Warning { code, part: None, message, remedy });
    if matches!(impact, Impact::Child | Impact::Ike | Impact::Reauth) && needs_agreement(old, new) {
        let text = "until the peer has the same settings, the old SA goes on carrying and status is Connecting";
        warn("PEER_NOT_CHANGED", text.into(), None);
    }
    if impact == Impact::Reauth {
        let effect = "they are closed at once, as is needed if it leaked";
        let remedy = Remedy { option: "immediate", effect };
        warn("OLD_KEY_LIVES", "SAs under the old key live until the new key is proven".into(), Some(remedy));
    }
    if impact == Impact::Replace && old.remote_addr != new.remote_addr {
        let (old, new) = (old.remote_addr, new.remote_addr);
        warn("OTHER_PEER", format!("the tunnel to {old} is closed as soon as the one to {new} is up"), None);
    }
    let gone = old.children.iter().filter(|child| !new.children.iter().any(|c| c.name == child.name)).count();
    if gone > 0 && impact != Impact::None {
        let text = format!("{gone} of the pairs of networks that are carried now will not be, or in another SA");
        warn("NETWORKS_GO", text, None);
    }
    warnings
}
