//! The planner against a charon that a dice moves.

use super::*;
use proptest::prelude::*;

/// What a dice does to a charon between two looks.
#[derive(Debug, Clone, Copy)]
enum Move {
    /// The negotiations of ours end: as wanted, narrowed, or refused.
    End(u8),
    /// The peer negotiates a child: as wanted, or narrowed.
    Peer { child: u8, narrowed: bool, new_ike: bool },
    /// A child is gone.
    Lose(u8),
    /// An SA is replaced by a rekeying; under IKEv1 the old one stays.
    Rekey(u8),
    /// The configuration is changed: what runs is outdated.
    Change,
    /// Time passes.
    Wait(u8),
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        (0..3_u8).prop_map(Move::End),
        (any::<u8>(), any::<bool>(), any::<bool>()).prop_map(|(child, narrowed, new_ike)| Move::Peer {
            child,
            narrowed,
            new_ike
        }),
        any::<u8>().prop_map(Move::Lose),
        any::<u8>().prop_map(Move::Rekey),
        Just(Move::Change),
        (1..90_u8).prop_map(Move::Wait),
    ]
}

struct World {
    wanted: Connection,
    running: Vec<IkeSa>,
    next: u64,
    planner: SaPlanner,
    now: Instant,
}

impl World {
    fn new(wanted: Connection) -> Self {
        Self { wanted, running: Vec::new(), next: 1, planner: SaPlanner::default(), now: Instant::now() }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn add(&mut self, index: usize, state: ChildState, is_narrowed: bool, new_ike: bool) {
        let number = self.number();
        let sa = ChildSa { state, ..child(&self.wanted, index, number, 0) };
        let sa = if is_narrowed { narrowed(sa) } else { sa };
        let current = |ike: &&mut IkeSa| !self.planner.stale.ike.contains(&ike.unique_id);
        if let Some(ike) = self.running.iter_mut().find(current).filter(|_| !new_ike) {
            ike.children.push(sa);
        } else {
            let number = self.number();
            self.running.push(ike(&self.wanted, number, vec![sa]));
        }
    }

    fn play(&mut self, step: Move) {
        let count = self.wanted.children.len();
        match step {
            Move::End(how) => {
                let all = self.running.iter_mut().flat_map(|ike| &mut ike.children);
                for sa in all.filter(|sa| sa.state == ChildState::Pending) {
                    sa.state = if how == 2 { ChildState::Closing } else { ChildState::Installed };
                    if how == 1 {
                        *sa = narrowed(sa.clone());
                    }
                }
                self.running.iter_mut().for_each(|ike| ike.children.retain(|sa| sa.state != ChildState::Closing));
            }
            Move::Peer { child, narrowed, new_ike } => {
                self.add(usize::from(child) % count, ChildState::Installed, narrowed, new_ike);
            }
            Move::Lose(which) => {
                if let Some(ike) = self.running.iter_mut().find(|ike| !ike.children.is_empty()) {
                    let place = usize::from(which) % ike.children.len();
                    ike.children.remove(place);
                }
            }
            Move::Rekey(which) => self.rekey(which),
            Move::Change => {
                self.planner.stale.ike.extend(self.running.iter().map(|ike| ike.unique_id));
                self.planner.reset_attempts();
            }
            Move::Wait(seconds) => {
                self.now += Duration::from_secs(seconds.into());
                let all = self.running.iter_mut().flat_map(|ike| &mut ike.children);
                all.for_each(|sa| sa.age += u64::from(seconds));
            }
        }
    }

    fn rekey(&mut self, which: u8) {
        let number = self.number();
        let Some(ike) = self.running.get_mut(usize::from(which) % 3) else { return };
        let v1 = ike.version == 1;
        let Some(sa) = ike.children.iter_mut().find(|sa| sa.state == ChildState::Installed) else { return };
        let new = ChildSa { unique_id: number, age: 0, ..sa.clone() };
        self.planner.stale.rekeyed(Rekeying { ike: false, old: sa.unique_id, new: number });
        sa.state = ChildState::Replaced;
        ike.children.push(new);
        ike.children.retain(|sa| v1 || sa.state != ChildState::Replaced);
    }

    fn live(&self, name: &str, state: ChildState) -> usize {
        self.running.iter().flat_map(|ike| &ike.children).filter(|sa| sa.name == name && sa.state == state).count()
    }

    /// Takes the steps that are due.
    fn look(&mut self) -> Result<(), TestCaseError> {
        let carried = |world: &Self| {
            let carries = |c: &&crate::ipsec::Child| world.live(&c.name, ChildState::Installed) > 0;
            world.wanted.children.iter().filter(carries).count()
        };
        let before = carried(self);
        let (steps, again) = self.planner.steps(&self.wanted.clone(), &self.running, self.now);
        for step in &steps {
            match step {
                Step::Initiate(name) => {
                    let installed = self.live(name, ChildState::Installed) + self.live(name, ChildState::Replaced);
                    prop_assert!(installed <= 1, "{installed} are installed");
                    prop_assert_eq!(self.live(name, ChildState::Pending), 0, "one is in negotiation");
                    let index = self.wanted.children.iter().position(|c| c.name == *name).expect("a wanted child");
                    self.add(index, ChildState::Pending, false, false);
                }
                Step::CloseIke(number) => self.running.retain(|ike| ike.unique_id != *number),
                Step::CloseChild(number) => {
                    self.running.iter_mut().for_each(|ike| ike.children.retain(|sa| sa.unique_id != *number));
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert_eq!(before, carried(self), "no step takes away the last SA of a wanted child: {:?}", steps);
        prop_assert!(again.is_none_or(|again| again > self.now));
        Ok(())
    }
}

fn is_as_it_should(version: IkeVersion, moves: &[Move]) -> Result<(), TestCaseError> {
    let mut world = World::new(wanted(version));
    for step in moves {
        world.play(*step);
        world.look()?;
    }
    // The peer does as we want from now on: it comes up, and one SA of each child is left.
    for _ in 0..40 {
        world.play(Move::End(0));
        world.look()?;
        world.play(Move::Wait(90));
    }
    prop_assert!(world.planner.is_complete());
    let left: usize = world.running.iter().map(|ike| ike.children.len()).sum();
    prop_assert!(version == IkeVersion::V1 || left == world.wanted.children.len(), "{:?}", world.running);
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happens_there_are_two_at_most(moves in prop::collection::vec(moves(), 1..60)) {
        is_as_it_should(IkeVersion::V1, &moves)?;
        is_as_it_should(IkeVersion::V2, &moves)?;
    }
}
