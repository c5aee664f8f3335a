//! The series of children: whether each is carried, and what it has carried in all.

use super::{series::Series, texts::Pieces};
use crate::{
    agent::{Agent, View},
    ipsec::{Condition, State, totals::Amount},
};

/// All of them.
pub fn about(pieces: &mut Pieces, agent: &Agent, views: &[View]) {
    conditions(pieces, agent, views);
    totals(pieces, agent, views);
}

fn conditions(pieces: &mut Pieces, agent: &Agent, views: &[View]) {
    let mut all = Vec::new();
    for view in views.iter().filter(|view| view.record.state == State::Enabled) {
        let children = view.record.connection.children.iter().zip(agent.conditions(view));
        all.extend(children.map(|(child, seen)| (view, child, seen.condition)));
    }
    let mut up = Series::gauges(pieces, "child_up", "Whether an SA carries a child of an enabled connection");
    // Of what is unknown there is no number: unknown is not down.
    for (view, child, condition) in all.iter().filter(|(.., condition)| *condition != Condition::Unknown) {
        up.add(&[("uuid", &view.record.id.to_string()), ("child", &child.name)], u8::from(condition.is_carried()));
    }
    let help = "The condition of a child of an enabled connection; always 1";
    let mut conditions = Series::gauges(pieces, "child_condition", help);
    for (view, child, condition) in all {
        let uuid = view.record.id.to_string();
        conditions.add(&[("uuid", &uuid), ("child", &child.name), ("condition", condition.name())], 1);
    }
}

fn totals(pieces: &mut Pieces, agent: &Agent, views: &[View]) {
    let mut add = |name, help, of: fn(&Amount) -> u64| {
        let mut series = Series::counters(pieces, name, help);
        for id in views.iter().map(|view| view.record.id) {
            for (child, sum) in agent.totals(id) {
                for (direction, amount) in [("in", sum.inbound), ("out", sum.outbound)] {
                    let labels = [("uuid", &*id.to_string()), ("child", &child), ("direction", direction)];
                    series.add(&labels, of(&amount));
                }
            }
        }
    };
    add("child_bytes", "Bytes that a child has carried, over all its SAs", |amount| amount.bytes);
    add("child_packets", "Packets that a child has carried, over all its SAs", |amount| amount.packets);
}
