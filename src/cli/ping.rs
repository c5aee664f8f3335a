//! `cygnet ping`: whether packets come through a tunnel. The SA's counters say where those are lost that do not.

mod echo;
mod ends;

use super::{
    args::PingArgs,
    client::Client,
    look::{Look, Tone, bytes, safe},
    select,
    stop::{Code, Result, Stop, print, print_json},
};
use cygnet::host;
use echo::Echo;
use ends::Ends;
use ipnet::IpNet;
use serde_json::{Value, json};
use std::{collections::HashMap, net::IpAddr};

/// The counters of an SA, or how they have grown.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counters {
    packets_in: u64,
    packets_out: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// Where the packets got to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Answered,
    /// charon does not answer: nobody knows the counters.
    Unknown,
    NoSa,
    NothingOut,
    NothingBack,
    /// Packets came in, but no answer.
    NoAnswer,
}

/// `cygnet ping`.
pub fn run(client: &Client, args: &PingArgs) -> Result<()> {
    let uuid = select::uuid(client, &args.which.connection)?;
    let path = format!("/cygnet/v1/connections/{uuid}");
    let before = client.get(&path)?;
    let name = safe(before["inventory"]["name"].as_str().unwrap_or(&uuid));
    if before["inventory"]["state"] == "Disabled" {
        return Err(Stop::failed(format!("{name} is disabled")).hint("bring it up: `cygnet enable`"));
    }
    let ends = ends::choose(&before, args, &own_addresses(client)?)?;
    if !args.json.json {
        let Ends { from, to, local, remote } = ends;
        print(&format!("{to} from {from} through {name} ({local} to {remote})\n"))?;
    }
    let echo = echo::run(ends, args.count, |line| {
        let is_shown = !args.json.json && (line.contains(" bytes from ") || line.starts_with("From "));
        if is_shown { print(&format!("  {}\n", safe(line))).map(drop) } else { Ok(()) }
    })?;
    let after = client.get(&path)?;
    let grown = growth(&counters(&before, ends), &counters(&after, ends));
    let verdict = judge(&echo, &after, ends, grown);
    let advice = verdict.advice(&after);
    if args.json.json {
        print_json(&report(ends, &echo, grown, verdict, &advice))?;
    } else {
        print(&page(&echo, grown, verdict, Look::of_stdout()))?;
    }
    let why = format!("no answer from {} through {name}: {}", ends.to, verdict.words());
    if verdict == Verdict::Answered { Ok(()) } else { Err(Stop::new(Code::Failed, why).hint(advice)) }
}

/// The addresses of this host, those for the outside last.
fn own_addresses(client: &Client) -> Result<Vec<IpAddr>> {
    let found =
        host::interfaces().map_err(|error| Stop::failed(format!("this host's addresses are unknown: {error}")))?;
    let mut own: Vec<_> = found.into_iter().map(|(_, net)| net.addr()).collect();
    own.sort_by_key(|address| client.gateway.vips.iter().any(|vip| vip.address == *address));
    Ok(own)
}

/// The SAs that carry packets between the ends, with their counters, by their numbers.
fn counters(view: &Value, ends: Ends) -> HashMap<String, Counters> {
    let children = view["children"].as_array().into_iter().flatten();
    let wanted = children.flat_map(|child| child["sas"].as_array().into_iter().flatten());
    let all = wanted.chain(view["other_sas"].as_array().into_iter().flatten());
    let carries = |sa: &&Value| holds(&sa["local"], ends.from) && holds(&sa["remote"], ends.to);
    let count = |sa: &Value, name: &str| sa[name].as_u64().unwrap_or_default();
    let item = |sa: &Value| {
        let [packets_in, packets_out] = ["packets_in", "packets_out"].map(|name| count(sa, name));
        let [bytes_in, bytes_out] = ["bytes_in", "bytes_out"].map(|name| count(sa, name));
        (sa["id"].to_string(), Counters { packets_in, packets_out, bytes_in, bytes_out })
    };
    all.filter(carries).map(item).collect()
}

/// Whether one of the selectors has the address; what is no network may have it.
fn holds(selectors: &Value, address: IpAddr) -> bool {
    let mut texts = selectors.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.any(|text| text.parse::<IpNet>().map_or(true, |net| net.contains(&address)))
}

/// What came to the counters; an SA that is new began with nothing.
fn growth(before: &HashMap<String, Counters>, after: &HashMap<String, Counters>) -> Counters {
    after.iter().fold(Counters::default(), |sum, (id, now)| {
        let was = before.get(id).copied().unwrap_or_default();
        Counters {
            packets_in: sum.packets_in + now.packets_in.saturating_sub(was.packets_in),
            packets_out: sum.packets_out + now.packets_out.saturating_sub(was.packets_out),
            bytes_in: sum.bytes_in + now.bytes_in.saturating_sub(was.bytes_in),
            bytes_out: sum.bytes_out + now.bytes_out.saturating_sub(was.bytes_out),
        }
    })
}

fn judge(echo: &Echo, after: &Value, ends: Ends, grown: Counters) -> Verdict {
    match grown {
        _ if echo.received > 0 => Verdict::Answered,
        _ if after["ike_sas"].is_null() => Verdict::Unknown,
        _ if counters(after, ends).is_empty() => Verdict::NoSa,
        Counters { packets_out: 0, .. } => Verdict::NothingOut,
        Counters { packets_in: 0, .. } => Verdict::NothingBack,
        _ => Verdict::NoAnswer,
    }
}

impl Verdict {
    /// The word in JSON.
    fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Unknown => "unknown",
            Self::NoSa => "no_sa",
            Self::NothingOut => "nothing_out",
            Self::NothingBack => "nothing_back",
            Self::NoAnswer => "no_answer",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Answered => "it answered",
            Self::Unknown => "charon does not answer, so nobody knows where the packets went",
            Self::NoSa => "no SA carries these networks",
            Self::NothingOut => "no packet went into the tunnel",
            Self::NothingBack => "packets went out by the SA, and none came back",
            Self::NoAnswer => "packets went out by the SA and some came in, but no answer reached this host's ping",
        }
    }

    /// What to do.
    fn advice(self, view: &Value) -> String {
        match self {
            Self::Answered => String::new(),
            Self::Unknown => "`systemctl status strongswan`; `cygnet doctor`".into(),
            Self::NoSa => {
                let code = view["reason"]["code"].as_str().map(|code| format!("{code}: ")).unwrap_or_default();
                let advice = view["reason"]["advice"].as_str().unwrap_or("`cygnet show` says what runs");
                format!("{code}{advice}")
            }
            Self::NothingOut => "this host sent them another way or dropped them: a route, a policy or a filter. `cygnet doctor` \
                 checks routes, data_plane, nat and output"
                .into(),
            Self::NothingBack => "the host does not answer a ping, the peer's gateway drops the packets or the answers, or ESP is \
                 lost on the way: name a host that answers (--to), look at the peer's counters, and `cygnet doctor` checks input"
                .into(),
            Self::NoAnswer => "what came in may be other traffic; an answer may be dropped behind the tunnel: `cygnet doctor` checks \
                 forward, input and rp_filter"
                .into(),
        }
    }
}

fn report(ends: Ends, echo: &Echo, grown: Counters, verdict: Verdict, advice: &str) -> Value {
    json!({
        "from": ends.from, "to": ends.to, "local": ends.local.to_string(), "remote": ends.remote.to_string(),
        "sent": echo.sent, "received": echo.received, "times": echo.times, "complaint": echo.complaint,
        "sa": { "packets_out": grown.packets_out, "bytes_out": grown.bytes_out,
                "packets_in": grown.packets_in, "bytes_in": grown.bytes_in },
        "verdict": verdict.name(), "advice": Some(advice).filter(|advice| !advice.is_empty()),
    })
}

/// What came of it, for people.
fn page(echo: &Echo, grown: Counters, verdict: Verdict, look: Look) -> String {
    let complaint =
        echo.complaint.as_ref().map(|complaint| format!("  ping: {}\n", safe(complaint))).unwrap_or_default();
    let tone = if verdict == Verdict::Answered { Tone::Good } else { Tone::Bad };
    let answers = look.say(tone, &format!("{} of {} answered", echo.received, echo.sent));
    let times = echo.times.as_ref().map(|times| format!(", {}", safe(times))).unwrap_or_default();
    let [out, back] = [(grown.packets_out, grown.bytes_out), (grown.packets_in, grown.bytes_in)]
        .map(|(packets, size)| format!("{packets} packets ({})", bytes(size)));
    let counted = match verdict {
        Verdict::Unknown | Verdict::NoSa => String::new(),
        _ => format!("the SA meanwhile: {out} out, {back} in\n"),
    };
    format!("{complaint}{answers}{times}\n{counted}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(sas: &Value) -> Value {
        json!({ "ike_sas": [], "children": [{ "sas": sas }], "other_sas": [] })
    }

    #[test]
    fn counters_say_where_packets_are_lost() {
        let net = |text: &str| text.parse::<IpNet>().expect("a network");
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let (local, remote) = (net("10.1.0.0/24"), net("10.2.0.0/24"));
        let ends = Ends { from: address("10.1.0.1"), to: address("10.2.0.1"), local, remote };
        let sa = |id: &str, remote: &str, out: u64, back: u64| {
            json!({ "id": id, "local": ["10.1.0.0/24"], "remote": [remote], "packets_out": out, "packets_in": back,
                    "bytes_out": out * 84, "bytes_in": back * 84 })
        };
        let judged = |before: Value, after: Value, received: u64| {
            let (before, after) = (view(&before), view(&after));
            let grown = growth(&counters(&before, ends), &counters(&after, ends));
            judge(&Echo { sent: 3, received, ..Echo::default() }, &after, ends, grown)
        };
        let before = || json!([sa("1", "10.2.0.0/24", 5, 5)]);
        assert_eq!(judged(before(), before(), 1), Verdict::Answered);
        assert_eq!(judged(before(), before(), 0), Verdict::NothingOut);
        assert_eq!(judged(before(), json!([sa("1", "10.2.0.0/24", 8, 5)]), 0), Verdict::NothingBack);
        assert_eq!(judged(before(), json!([sa("1", "10.2.0.0/24", 8, 6)]), 0), Verdict::NoAnswer);
        // Another SA's packets, and one that took over meanwhile.
        let other = json!([sa("1", "10.2.0.0/24", 5, 5), sa("2", "10.9.0.0/24", 9, 9)]);
        assert_eq!(judged(before(), other, 0), Verdict::NothingOut);
        assert_eq!(judged(before(), json!([sa("3", "10.2.0.0/24", 2, 0)]), 0), Verdict::NothingBack);
        assert_eq!(judged(json!([]), json!([sa("2", "10.9.0.0/24", 9, 9)]), 0), Verdict::NoSa);
        let unknown = json!({ "ike_sas": null, "children": [] });
        assert_eq!(judge(&Echo::default(), &unknown, ends, Counters::default()), Verdict::Unknown);
    }
}
