//! The series of children: whether each is carried, and what it has carried in all.

use super::series::{Labels, counters, gauges};
use crate::{
    agent::{Agent, View},
    ipsec::{Condition, State},
};
use prometheus_client::registry::Registry;

/// All of them.
pub fn about(registry: &mut Registry, agent: &Agent, views: &[View]) {
    conditions(registry, agent, views);
    totals(registry, agent, views);
}

fn conditions(registry: &mut Registry, agent: &Agent, views: &[View]) {
    let up = gauges(registry, "child_up", "Whether an SA carries a child of an enabled connection");
    let conditions = gauges(registry, "child_condition", "The condition of a child of an enabled connection; always 1");
    for view in views.iter().filter(|view| view.record.state == State::Enabled) {
        for (child, seen) in view.record.connection.children.iter().zip(agent.conditions(view)) {
            let mut labels = labels(view, &child.name);
            // Of what is unknown there is no number: unknown is not down.
            if seen.condition != Condition::Unknown {
                up.get_or_create(&labels).set(i64::from(seen.condition.is_carried()));
            }
            labels.push(("condition", seen.condition.name().to_owned()));
            conditions.get_or_create(&labels).set(1);
        }
    }
}

fn totals(registry: &mut Registry, agent: &Agent, views: &[View]) {
    let bytes = counters(registry, "child_bytes", "Bytes that a child has carried, over all its SAs");
    let packets = counters(registry, "child_packets", "Packets that a child has carried, over all its SAs");
    for view in views {
        for (child, sum) in agent.totals(view.record.id) {
            let labels = labels(view, &child);
            for (direction, amount) in [("in", sum.inbound), ("out", sum.outbound)] {
                let labels = directed(&labels, direction);
                bytes.get_or_create(&labels).inc_by(amount.bytes);
                packets.get_or_create(&labels).inc_by(amount.packets);
            }
        }
    }
}

/// The labels of a child.
pub fn labels(view: &View, child: &str) -> Labels {
    vec![("uuid", view.record.id.to_string()), ("child", child.to_owned())]
}

/// The same in a direction.
pub fn directed(labels: &Labels, direction: &str) -> Labels {
    labels.iter().cloned().chain([("direction", direction.to_owned())]).collect()
}
