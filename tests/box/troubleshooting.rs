//! "The doctor" of docs/operate.md, as it has it: root sees everything, an ordinary user is told what is not permitted, a
//! member of the group gets what the agent knows, and a fix is pasted as it stands.

use crate::machine::Machine;
use serde_json::Value;

const NOT_PERMITTED: &str = "not permitted: run with sudo";
/// What may be said of a fault, and not of rights.
const FAULTS: [&str; 5] = ["does not answer", "is no vici socket", "damaged", "restart strongswan", "restart cygnet"];

/// What `cygnet doctor` of root finds, each with its check and its fix.
fn report(machine: &Machine) -> Value {
    let output = machine.try_run("cygnet doctor --json");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

fn found<'a>(report: &'a Value, check: &str) -> Vec<&'a Value> {
    report["findings"].as_array().expect("a list").iter().filter(|finding| finding["check"] == check).collect()
}

/// On a machine with an agent that has a connection to 192.0.2.2.
pub fn works(machine: &Machine) {
    let text = report(machine).to_string();
    assert!(!text.contains("not permitted"), "root may look everywhere: {text}");
    for command in ["doctor", "list", "status", "show box", "reload", "log box"] {
        let output = machine.try_run(&format!("runuser -u nobody -- cygnet {command}"));
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success() && text.contains(NOT_PERMITTED), "{command}: {text}");
        let blamed: Vec<_> = FAULTS.iter().filter(|fault| text.contains(**fault)).collect();
        assert!(blamed.is_empty(), "{command} says {blamed:?}: {text}");
    }
    let member = "setpriv --reuid nobody --regid cygnet --clear-groups";
    assert!(machine.run(&format!("{member} cygnet list")).contains("box"));
    let page = machine.try_run(&format!("{member} cygnet doctor"));
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(page.lines().any(|line| line.starts_with("ok") && line.contains("agent")), "{page}");
    a_fix_is_pasted(machine);
}

fn a_fix_is_pasted(machine: &Machine) {
    if !machine.try_words(&["sh", "-c", "command -v nft"]).status.success() {
        return crate::skip::skipped("this machine has no nft");
    }
    let shut = "nft add table inet shut && \
                nft 'add chain inet shut in { type filter hook input priority 0; policy drop; }'";
    machine.shell(shut);
    let wrong = report(machine);
    let [finding] = found(&wrong, "input")[..] else { panic!("{wrong:#}") };
    assert!(finding["level"] == "error" && finding["what"].to_string().contains("192.0.2.2"), "{finding:#}");
    machine.shell(finding["fix"].as_str().expect("a fix"));
    let right = report(machine);
    assert!(found(&right, "input").is_empty(), "{right:#}");
    machine.shell("nft delete table inet shut");
}
