//! docs/quick-start.md, as it has it: every command is run on two machines. A block says where (`sh left`, `sh right`) and,
//! if it is not 0, with which exit code it ends; `sh copy` takes the key from the left machine to the right one.

use crate::{
    machine::{Machine, package, possible},
    pair::cable,
};

const PAGE: &str = include_str!("../../docs/quick-start.md");

/// Where a block is to be run, the exit code that it has, and its text.
fn blocks() -> Vec<(&'static str, i32, &'static str)> {
    let block = |part: &'static str| {
        let (words, text) = part.split_once('\n')?;
        let mut words = words.strip_prefix("sh ")?.split(' ');
        Some((words.next()?, words.next().map_or(0, |code| code.parse().expect("an exit code")), text))
    };
    // Between the fences, every second part is a block.
    PAGE.split("```").skip(1).step_by(2).filter_map(block).collect()
}

/// A machine as the page presumes it: with the package in a file and strongSwan from Debian.
fn machine() -> Machine {
    let machine = Machine::boot();
    machine.put(&package(), "/var/tmp/cygnet.deb");
    machine
}

#[test]
#[ignore = "needs the package: make box"]
fn the_quick_start_works() {
    if !possible() {
        return;
    }
    let (left, right) = (machine(), machine());
    cable([&left, &right]);
    let blocks = blocks();
    assert!(blocks.len() > 12, "{} blocks were found", blocks.len());
    for (place, code, text) in blocks {
        let machine = match place {
            "left" => &left,
            "right" => &right,
            "copy" => {
                right.write("/root/tunnel.key", &left.run("cat /root/tunnel.key"));
                continue;
            }
            other => panic!("no machine is called {other}"),
        };
        let output = machine.try_words(&["sh", "-ec", text]);
        assert_eq!(output.status.code(), Some(code), "on {place}:\n{text}\n{output:?}");
    }
    for machine in [&left, &right] {
        let said = machine.run("cygnet list --json");
        assert!(!said.contains("192.0.2."), "a connection is left: {said}");
    }
}
