//! What an operator has made by hand beside the agent: a connection, its secret and its file, and an SA that is up.
//! The agent may not touch any of it, whatever happens to its own.

use std::fs;

use serde_json::Value;

use crate::pair::Pair;
use crate::peer::Charon;
use crate::support::lab::{Lab, Side};

/// All of it on A, as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    connection: Option<Value>,
    has_secret: bool,
    file: Option<Vec<u8>>,
    /// The IKE SA and its child, by charon's numbers.
    sas: Vec<(Value, Value)>,
}

impl Operator {
    /// Makes it on both sides and brings it up.
    #[track_caller]
    pub fn arrive(pair: &Pair) -> Self {
        let lab = &pair.lab;
        for side in Side::BOTH {
            lab.add_lan(side, &format!("172.3{}.0.1/16", side.number()));
            lab.load_conf(side, "operator", &text(side));
        }
        let up = lab.swanctl(Side::A, &["--initiate", "--ike", "operator", "--child", "foreign", "--timeout", "5"]);
        assert!(up.status.success(), "{up:?}");
        let operator = Self::of(lab);
        assert!(operator.has_secret && operator.connection.is_some() && operator.sas.len() == 1, "{operator:?}");
        operator
    }

    /// What there is of it.
    #[track_caller]
    pub fn of(lab: &Lab) -> Self {
        let sas = lab.sas(Side::A);
        let theirs = sas.as_array().into_iter().flatten().filter(|sa| sa["name"] == "operator");
        Self {
            connection: lab.conns(Side::A).get("operator").cloned(),
            has_secret: Charon::of(lab, Side::A).secrets().iter().any(|id| id == "ike-operator"),
            file: fs::read(lab.swanctl_dir(Side::A).join("conf.d/operator.conf")).ok(),
            sas: theirs.map(|sa| (sa["uniqueid"].clone(), sa["children"][0]["uniqueid"].clone())).collect(),
        }
    }
}

pub fn text(side: Side) -> String {
    let (own, peer) = (side, side.other());
    format!(
        "connections {{\n  operator {{\n    version = 2\n    local_addrs = {}\n    remote_addrs = {}\n    \
         proposals = aes256-sha256-x25519\n    local {{\n      auth = psk\n      id = {}.operator.example\n    }}\n    \
         remote {{\n      auth = psk\n      id = {}.operator.example\n    }}\n    children {{\n      foreign {{\n        \
         local_ts = 172.3{}.0.0/16\n        remote_ts = 172.3{}.0.0/16\n      }}\n    }}\n  }}\n}}\n\
         secrets {{\n  ike-operator {{\n    id-1 = {}.operator.example\n    secret = test-only-operator\n  }}\n}}\n",
        own.wan(),
        peer.wan(),
        own.letter(),
        peer.letter(),
        own.number(),
        peer.number(),
        peer.letter()
    )
}
