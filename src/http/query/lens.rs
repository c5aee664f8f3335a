//! How this API shows connections: one member of an inventory at a time, so that a query makes no more than it looks at.

use super::{moment::is_date, order::Datum};
use crate::{
    agent::View,
    http::inventory,
    settings::{Gateway, L3Network, Vip},
};
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What callers see of connections.
#[derive(Debug, Clone)]
pub struct Lens {
    /// The zone of dates.
    pub zone: TimeZone,
    /// Whether keys are hidden.
    pub mask: bool,
    /// Whether there are keys at all, hidden or not.
    pub keys: bool,
    /// The gateway, for the names of VIPs and networks.
    pub gateway: Arc<Gateway>,
}

impl Lens {
    /// The member `name` of the inventory of `view`, if it has a value.
    #[must_use]
    pub fn member(&self, view: &View, name: &str) -> Option<Value> {
        let shown = self.keys || name != "authKey";
        Some(inventory::member(view, name, self.mask, &self.zone)).filter(|value| shown && !value.is_null())
    }

    /// The same, to be compared; an empty list is no value.
    #[must_use]
    pub fn datum(&self, view: &View, name: &str) -> Option<Datum> {
        if let Some(time) = inventory::time(view, name) {
            return Some(Datum::at(time, &self.zone));
        }
        let value = self.member(view, name);
        value.filter(|value| value.as_array().is_none_or(|list| !list.is_empty())).map(|value| Datum::of(&value))
    }

    /// The values that a condition on the list `name` looks at: the elements, or this member of each, which it may lack.
    #[must_use]
    pub fn data(&self, view: &View, name: &str, member: Option<&str>) -> Vec<Option<Datum>> {
        if let Some(times) = member.filter(|member| is_date(member)).and_then(|_| inventory::times(view, name)) {
            return times.into_iter().map(|time| Some(Datum::at(time, &self.zone))).collect();
        }
        if let Some(column) = member.and_then(|member| inventory::column(view, name, member)) {
            return column.iter().map(|value| Some(Datum::of(value))).collect();
        }
        if let Some(names) = member.filter(|member| *member == "name").and_then(|_| self.names(view, name)) {
            return names.into_iter().map(|name| Some(Datum::of(&name?.into()))).collect();
        }
        let Some(Value::Array(items)) = inventory::beyond(view, name).or_else(|| self.member(view, name)) else {
            return Vec::new();
        };
        let value = |mut item: Value| match member {
            Some(member) => item.get_mut(member).map(Value::take),
            None => Some(item),
        };
        items.into_iter().map(|item| value(item).map(|value| Datum::of(&value))).collect()
    }

    /// The names of the VIP or the networks of a connection, as lists of these show them; none that the settings have no more.
    fn names(&self, view: &View, list: &str) -> Option<Vec<Option<String>>> {
        let spec = &view.record.spec;
        match list {
            "vip" => Some(vec![self.gateway.vip(&spec.vip.uuid).map(Vip::shown_name)]),
            "l3Network" => {
                let name = |uuid: &str| self.gateway.l3_network(uuid).map(L3Network::shown_name);
                Some(spec.local.iter().map(|network| name(&network.network)).collect())
            }
            _ => None,
        }
    }

    /// The inventory of `view` with the members of `fields`.
    #[must_use]
    pub fn inventory(&self, view: &View, fields: &[&str]) -> Value {
        let member = |name: &&str| Some(((*name).to_owned(), self.member(view, name)?));
        fields.iter().filter_map(member).collect::<Map<_, _>>().into()
    }
}
