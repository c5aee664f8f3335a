//! What the tests on a machine of their own share: gateways on the kernel's IPsec, one life of a tunnel, and a look at
//! what the kernel has.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::pair::{ORDER, Pair, WAIT, reaches, with};
use crate::support::agent::AgentOptions;
use crate::support::lab::{CaptureCounts, CharonOptions, Lab, Side};
use crate::support::run;

/// The uuids of the IPv6 VIP and of the IPv6 network behind a gateway.
pub const VIP6: &str = "c0000000000040008000000000000004";
pub const LAN6: &str = "c0000000000040008000000000000005";

/// What a tunnel is and what it joins.
pub struct Tunnel {
    /// The options of each end, as [`Pair::create`] takes them.
    pub options: fn(Side) -> Value,
    /// What it is changed to, one after the other.
    pub changes: Vec<Value>,
    /// The addresses that it carries packets between, on A and on B.
    pub ends: [&'static str; 2],
    /// How it protects packets.
    pub protection: Protection,
}

/// What the packets of a tunnel look like on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// ESP on IP.
    Esp,
    /// ESP in UDP, for there is NAT on the way.
    EspInUdp,
    /// AH: unreadable to nobody, protected all the same.
    Ah,
}

/// A lab, on a machine of our own; elsewhere these tests have no business, and they write where they please.
#[track_caller]
pub fn lab() -> Lab {
    assert!(std::env::var_os("CYGNET_INSIDE").is_some(), "this runs on a machine that `make kernel` boots");
    Lab::new()
}

/// A charon on the kernel's IPsec.
pub fn charon() -> CharonOptions {
    let options = CharonOptions::default();
    let plugins = options.plugins.replace("kernel-libipsec ", "");
    CharonOptions { plugins, ..options }
}

/// Two gateways with charon on the kernel's IPsec and with agents, which know the gateways' IPv6 addresses too.
#[track_caller]
pub fn gateways() -> Pair {
    let lab = lab();
    for side in Side::BOTH {
        lab.start_charon_with(side, charon());
    }
    Pair::join(&lab, |side| AgentOptions {
        wait: WAIT[side as usize].to_owned(),
        vips: vec![(VIP6.to_owned(), side.wan6().to_owned())],
        l3_networks: vec![(LAN6.to_owned(), vec![side.lan6().to_owned()])],
        ..Default::default()
    })
}

/// The life of a tunnel: nothing protects its packets, it is created, changed, and deleted. What is on the wire
/// meanwhile is looked at, and what the kernel has afterwards.
#[track_caller]
pub fn lives(mut pair: Pair, tunnel: &Tunnel) {
    let [a, b] = tunnel.ends;
    // The check can fail: without a tunnel the same pings are seen.
    let clear = seen(&pair.lab, || {
        pair.lab.ping(Side::A, a, b, 10, Duration::from_millis(10));
    });
    assert!(clear.bare_icmp >= 10 && clear.plaintext >= 10, "{clear:?}");
    assert_eq!((clear.esp, clear.ah, clear.esp_in_udp), (0, 0, 0), "{clear:?}");

    tunnel.is_created(&mut pair);
    let mut now = pair.settled(1);
    tunnel.is_seen(&pair);
    for change in &tunnel.changes {
        tunnel.is_changed(&pair, change);
        now = pair.renewed(&now, 1);
        tunnel.is_seen(&pair);
    }
    goes(&pair);
}

/// Deletes both ends: then the kernel has nothing of them.
#[track_caller]
pub fn goes(pair: &Pair) {
    for side in Side::BOTH {
        assert!(in_the_kernel(&pair.lab, side).len() >= 4, "the check sees a tunnel");
    }
    for side in Side::BOTH {
        pair.agent(side).delete(pair.uuid(side)).expect(200);
    }
    for side in Side::BOTH {
        assert_eq!(in_the_kernel(&pair.lab, side), Vec::<String>::new(), "{}", side.letter());
    }
}

impl Tunnel {
    /// Creates B's end, then A's, which must be Ready in its answer.
    #[track_caller]
    pub fn is_created(&self, pair: &mut Pair) {
        let [_, a] = ORDER.map(|side| pair.create(side, &(self.options)(side)));
        assert_eq!(a["status"], "Ready", "{a}\n{}", pair.agent(Side::A).logs());
    }

    /// Changes B's end, then A's, which must be Ready in its answer.
    #[track_caller]
    pub fn is_changed(&self, pair: &Pair, change: &Value) {
        // A Change cannot move networks.
        let moves = |name: &str| ["vipUuid", "l3NetworkUuid", "peerCidrs"].contains(&name);
        let options = |side| -> Value {
            let all = with(&(self.options)(side), change).as_object().cloned().unwrap_or_default();
            all.into_iter().filter(|(name, _)| !moves(name)).collect::<Map<_, _>>().into()
        };
        let [_, a] = ORDER.map(|side| pair.change(side, &options(side)));
        assert_eq!(a["status"], "Ready", "{change}: {a}\n{}", pair.agent(Side::A).logs());
    }

    /// Pings from both sides: each comes back, and nothing is on the wire but what protects it.
    #[track_caller]
    pub fn is_seen(&self, pair: &Pair) {
        let [a, b] = self.ends;
        let seen = seen(&pair.lab, || {
            reaches(&pair.lab, Side::A, a, b);
            reaches(&pair.lab, Side::B, b, a);
        });
        let wanted = match self.protection {
            Protection::Esp => seen.esp,
            Protection::EspInUdp => seen.esp_in_udp,
            Protection::Ah => seen.ah,
        };
        // Of 40 packets, some may be caught too late to be counted.
        assert!(wanted >= 30 && seen.esp + seen.esp_in_udp + seen.ah == wanted, "{seen:?}");
        assert_eq!(seen.bare_icmp, 0, "{seen:?}");
        // AH hides nothing.
        assert_eq!(seen.plaintext > 0, self.protection == Protection::Ah, "{seen:?}");
    }
}

/// What is on the wire during `work`.
#[track_caller]
pub fn seen(lab: &Lab, work: impl FnOnce()) -> CaptureCounts {
    let capture = lab.capture();
    work();
    capture.finish()
}

/// What each gateway sends into the wire during `work`.
#[track_caller]
pub fn seen_each(lab: &Lab, work: impl FnOnce()) -> [CaptureCounts; 2] {
    let capture = lab.capture();
    work();
    capture.finish_each()
}

/// The SAs and the policies that the kernel has, a line each, without their keys. Policies of sockets are left out:
/// they let charon's own packets pass.
pub fn in_the_kernel(lab: &Lab, side: Side) -> Vec<String> {
    let list = |arguments: &[&str]| -> Vec<String> {
        let said = run(lab.command_in(side, "ip").arg("xfrm").args(arguments)).stdout;
        String::from_utf8_lossy(&said).lines().filter(|line| line.starts_with("src ")).map(str::to_owned).collect()
    };
    [list(&["state", "list", "nokeys"]), list(&["policy", "list", "nosock"])].concat()
}
