//! Files that are merged, and their faults.

use crate::settings::Settings;
use std::{collections::BTreeMap, fs, path::Path};

/// The faults of these files as `file:line`, and the settings without what is faulty.
fn examine(files: &[(&str, &str)]) -> (Option<Settings>, Vec<String>) {
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir(directory.path().join("conf.d")).expect("conf.d");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).expect("written");
    }
    let (settings, faults) = Settings::examine(&directory.path().join("cygnet.toml"));
    let file = |name: &str| Path::new(name).strip_prefix(directory.path()).expect("ours").display().to_string();
    let line = |line: Option<usize>| line.map_or(String::new(), |line| format!(":{line}"));
    let faults = faults.iter().map(|fault| format!("{}{} {}", file(&fault.file), line(fault.line), fault.text));
    (settings, faults.collect())
}

#[test]
fn files_are_merged_in_the_order_of_their_names() {
    let (settings, faults) = examine(&[
        ("cygnet.toml", "mask_auth_key = true\n[charon]\nwait = \"1s\"\ntimeout = \"2s\"\n"),
        ("conf.d/20-b.toml", "[charon]\nwait = \"3s\"\n[[gateway.vips]]\nname = \"b\"\naddress = \"192.0.2.2\"\n"),
        ("conf.d/10-a.toml", "[charon]\nwait = \"4s\"\n[[gateway.vips]]\nname = \"a\"\naddress = \"192.0.2.1\"\n"),
        ("conf.d/.30-hidden.toml", "nosuch = 1"),
        ("conf.d/40-c.conf", "nosuch = 1"),
    ]);
    assert_eq!(faults, [""; 0]);
    let settings = settings.expect("settings");
    let names: Vec<_> = settings.gateway.vips.iter().map(|vip| vip.name.as_deref().expect("a name")).collect();
    assert_eq!((names, settings.charon.wait.as_secs(), settings.charon.timeout.as_secs()), (vec!["a", "b"], 3, 2));
    assert!(settings.mask_auth_key);
}

#[test]
fn every_fault_of_every_file_is_named_with_its_line() {
    let (settings, faults) = examine(&[
        (
            "cygnet.toml",
            "lisen = \"127.0.0.1:1\"\nlisten = \"0.0.0.0:80\"\n[charon]\nwait = \"soon\"\ntimeout = 5\n\
             [policy]\nmd4 = \"warn\"\nmd5 = \"maybe\"\n[tls]\ncert = \"a\"\nkei = \"b\"\n",
        ),
        (
            "conf.d/10.toml",
            "[[gateway.vips]]\nuuid = \"u\"\naddress = \"x\"\nname = 5\n\n[[gateway.vips]]\nuuid = \"v\"\n\
             [[gateway.vips]]\nuuid = \"w\"\naddress = \"192.0.2.1\"\n[charon]\nwait = \"never\"\n",
        ),
        (
            "conf.d/20.toml",
            "[[gateway.vips]]\nuuid = \"w\"\naddress = \"192.0.2.2\"\n[[gateway.l3_networks]]\nname = \"n\"\n\
             cidrs = [\n  \"10.0.0.0/8\",\n  \"10.0.0.1/8\",\n  \"ten\",\n]\n",
        ),
    ]);
    let place = |fault: &String| fault.split(' ').next().expect("a place").to_owned();
    let mut count = BTreeMap::new();
    for fault in &faults {
        *count.entry(place(fault)).or_insert(0) += 1;
    }
    let expected = [
        "conf.d/10.toml:3",
        "conf.d/10.toml:4",
        "conf.d/10.toml:6",
        "conf.d/10.toml:12",
        "conf.d/20.toml:2",
        "conf.d/20.toml:6",
        "conf.d/20.toml:9",
        "cygnet.toml:1",
        "cygnet.toml:4",
        "cygnet.toml:5",
        "cygnet.toml:7",
        "cygnet.toml:8",
        "cygnet.toml:9",
        "cygnet.toml:11",
    ];
    assert_eq!(count, expected.map(|place| (place.to_owned(), 1)).into(), "{faults:#?}");
    assert!(settings.is_some(), "the rest is read");
}

#[test]
fn a_file_that_is_no_toml_hides_no_fault_of_the_others() {
    let (_, faults) = examine(&[
        ("cygnet.toml", "# a comment\n[tls]\ncert = \"a\"\n"),
        ("conf.d/10.toml", "[tls]\nkey = \n\nlisten = \"127.0.0.1:1\n"),
        ("conf.d/20.toml", "\nnosuch = 1\n"),
    ]);
    let places: Vec<_> = faults.iter().map(|fault| fault.split(' ').next().expect("a place")).collect();
    assert_eq!(places, ["conf.d/10.toml:2", "conf.d/10.toml:4", "conf.d/20.toml:2"], "{faults:#?}");
}

#[test]
fn a_main_file_that_is_missing_is_a_fault_unless_it_is_the_default() {
    let (settings, faults) = examine(&[("conf.d/10.toml", "nosuch = 1\n")]);
    assert!(
        settings.is_some() && faults.len() == 2 && faults[0].starts_with("cygnet.toml cannot read it"),
        "{faults:#?}"
    );
    let (settings, faults) = Settings::examine(Path::new("/nonexistent/cygnet.toml"));
    assert!(settings.is_some() && faults.len() == 1);
}
