//! Plans of many writes as one set: each is checked beside what the others make of the gateway, so that clashes between
//! them are found before anything is written. The plan also says in which order they can be written one by one.

use super::{
    conflicts::UniquenessIndex,
    plan::{Impact, impact, transition},
    together::owners,
    transaction::refuse_second,
    write::Group,
};
use crate::{
    agent::{Agent, Companion, Warning, WriteOptions, reconcile::sa_planner::SaPlanner},
    error::{Error, Result},
    ipsec::{Clash, ConnectionId, clash::Stored},
    store::Record,
};
use futures_util::future::join_all;
use std::{collections::HashMap, sync::Arc};
use tokio::task::yield_now;

/// What a caller makes of a connection; of none, where there is none yet.
type Edit = Box<dyn Fn(Option<&Record>) -> Result<Record> + Send + Sync>;

/// A connection of a set as its caller wants it.
pub struct Wish {
    /// Which connection.
    pub id: ConnectionId,
    /// What it is to be.
    pub edit: Edit,
}

/// What is planned for a connection of a set.
pub struct Member {
    /// What is stored now.
    pub before: Option<Arc<Record>>,
    /// What would be stored.
    pub after: Record,
    /// Whether both say the same: nothing is to be done.
    pub is_same: bool,
    /// How deep the change goes.
    pub impact: Impact,
    /// When it can be written, beside the others: 0 is the first.
    pub place: usize,
    /// The warnings.
    pub warnings: Vec<Warning>,
    /// The other connections that change in the same step.
    pub others: Vec<Companion>,
}

/// A checked wish that has no place in the order yet.
struct Waiting {
    /// Its number in the set.
    number: usize,
    before: Option<Arc<Record>>,
    new: Record,
}

/// The gateway after the writes that have a place.
struct Gateway<'a> {
    agent: &'a Agent,
    index: UniquenessIndex,
    written: HashMap<ConnectionId, Arc<Record>>,
    /// The names of connections that are not stored yet.
    names: HashMap<ConnectionId, String>,
}

impl Agent {
    /// Plans all of `wishes`, without effects. Each has its own outcome; those that are refused are as if they had not
    /// been asked for.
    pub async fn plan_set(&self, wishes: &[Wish], how: &WriteOptions) -> Vec<Result<Member>> {
        let checked = join_all(wishes.iter().map(|wish| self.checked(wish, how))).await;
        let mut outcomes: Vec<_> = (0..checked.len()).map(|_| None).collect();
        let mut waiting = Vec::new();
        for (number, checked) in checked.into_iter().enumerate() {
            match checked {
                Ok((before, new)) => waiting.push(Waiting { number, before, new }),
                Err(error) => outcomes[number] = Some(Err(error)),
            }
        }
        let mut gateway = Gateway {
            agent: self,
            index: self.changes.uniqueness().clone(),
            written: HashMap::new(),
            names: waiting.iter().map(|member| (member.new.id, member.new.spec.names.name.clone())).collect(),
        };
        let (placed, refused) = gateway.in_order(waiting);
        for (number, error) in refused {
            outcomes[number] = Some(Err(error));
        }
        for (place, (number, before, group)) in placed.into_iter().enumerate() {
            outcomes[number] = Some(self.foreseen(&gateway, place, before, group, how).await);
        }
        let forgotten = || Err(Error::Internal("a connection of the set has no plan".into()));
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(forgotten)).collect()
    }

    /// What `wish` makes of its connection, by the rules for a connection alone.
    async fn checked(&self, wish: &Wish, how: &WriteOptions) -> Result<(Option<Arc<Record>>, Record)> {
        self.refuse_damaged(wish.id)?;
        let before = self.store.get(wish.id);
        if before.is_none() && self.is_left_alone(wish.id) {
            return Err(Clash::UuidOfDamaged(wish.id).into());
        }
        // Somebody else is changing it.
        refuse_second(before.as_deref())?;
        let new = (wish.edit)(before.as_deref())?;
        // Others have their turn between any two of thousands.
        yield_now().await;
        if before.as_deref().is_some_and(|before| new.says_the_same(before)) {
            return Ok((before, new));
        }
        self.look_up_peer(Ok(new.clone())).await;
        let new = self.located(before.as_deref(), new)?;
        self.judge(before.as_deref(), &new, self.tests_rekey(how))?;
        Ok((before, new))
    }

    /// What the write of a group would do, on the `gateway` that all have been written to.
    async fn foreseen(
        &self,
        gateway: &Gateway<'_>,
        place: usize,
        before: Option<Arc<Record>>,
        group: Group,
        how: &WriteOptions,
    ) -> Result<Member> {
        let Group { new: after, others } = group;
        let is_same = before.as_deref().is_some_and(|before| after.says_the_same(before));
        if is_same {
            return Ok(Member { before, after, is_same, impact: Impact::None, place, warnings: Vec::new(), others });
        }
        yield_now().await;
        // A copy: the plan must not change the planner.
        let planner = match &before {
            Some(_) => self.entry(after.id).planner.lock().await.clone(),
            None => SaPlanner::default(),
        };
        let prepared = self.prepare(before.as_deref(), &after, &planner).await?;
        let old = before.as_ref().zip(prepared.before.as_ref()).map(|(record, loaded)| (&record.connection, loaded));
        let impact = impact(old, prepared.after.as_ref().map(|loaded| (&after.connection, loaded)));
        let mut warnings = Vec::new();
        if let Some(before) = &before {
            warnings.extend(transition(impact, &before.connection, &after.connection));
            warnings.extend(self.caution_of_cas(before, &after));
        }
        let tests_pfs = !matches!(impact, Impact::Ike | Impact::Replace) || self.tests_rekey(how);
        warnings.extend(self.cautions(before.as_ref().map(|before| &before.connection), &after.connection, tests_pfs));
        let same = self.same_among(&gateway.index.networks, &after, |id| gateway.named(id));
        warnings.extend(same.map(Warning::from));
        Ok(Member { before, after, is_same, impact, place, warnings, others })
    }
}

impl Gateway<'_> {
    /// Writes all that can be written, in an order in which each can be, and returns why the others cannot.
    #[expect(clippy::type_complexity, reason = "two lists that one function takes apart")]
    fn in_order(
        &mut self,
        mut waiting: Vec<Waiting>,
    ) -> (Vec<(usize, Option<Arc<Record>>, Group)>, Vec<(usize, Error)>) {
        let mut placed = Vec::new();
        loop {
            let (mut left, mut errors, before) = (Vec::new(), Vec::new(), placed.len());
            for member in waiting {
                match self.write(member.before.as_ref(), &member.new) {
                    Ok(group) => placed.push((member.number, member.before, group)),
                    Err(error) => {
                        errors.push((member.number, error));
                        left.push(member);
                    }
                }
            }
            if left.is_empty() || placed.len() == before {
                let moving: Vec<_> = left.iter().map(|member| member.new.id).collect();
                let errors = errors.into_iter().map(|(number, error)| (number, knotted(error, &moving)));
                return (placed, errors.collect());
            }
            // What was in the way may have moved.
            waiting = left;
        }
    }

    /// Writes `new` in place of `before`, if it clashes with nothing that is there.
    fn write(&mut self, before: Option<&Arc<Record>>, new: &Record) -> Result<Group> {
        let stored = |id| self.written.get(&id).cloned().or_else(|| self.agent.store.get(id));
        let group = owners(&self.index, stored, new.clone());
        let old = before.map(AsRef::as_ref);
        if old.is_some_and(|old| old.aside.is_some() && old.connection == new.connection) {
            // It stays set aside, and claims nothing.
            return Ok(Group { new: new.clone(), others: Vec::new() });
        }
        self.agent.refuse_same(&self.index.networks, old, &group.new, |id| self.named(id))?;
        let needed = group.others.iter().filter(|other| other.before.aside.is_none());
        let all: Vec<_> = std::iter::once(&group.new).chain(needed.map(|other| &other.after)).collect();
        self.index.check(&all, |id| self.named(id))?;
        self.replace(old, &group.new);
        for other in &group.others {
            self.replace(Some(&other.before), &other.after);
        }
        Ok(group)
    }

    fn replace(&mut self, old: Option<&Record>, new: &Record) {
        self.index.add(new);
        if let Some(old) = old {
            self.index.release(old);
        }
        self.written.insert(new.id, Arc::new(new.clone()));
    }

    /// How messages name a connection, also one of the set.
    fn named(&self, id: ConnectionId) -> Stored {
        let stored = self.agent.stored(id);
        let name = self.names.get(&id).cloned().unwrap_or_else(|| stored.name.clone());
        Stored { name, ..stored }
    }
}

/// `error`; where another one of those that cannot be written is in the way, with what to do.
fn knotted(error: Error, moving: &[ConnectionId]) -> Error {
    let Error::Clash(clash) = &error else { return error };
    if !clash.others().iter().any(|other| moving.contains(&other.id)) {
        return error;
    }
    let way = if matches!(clash, Clash::Keys(_)) {
        "give all of them the key in one step first, with together"
    } else {
        "change one of them on its own first, to values that both can have"
    };
    Error::argument(format!(
        "{clash}; the set changes that connection too, and neither can be written before the other: {way}"
    ))
}
