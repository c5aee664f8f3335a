//! The commands that write one spec, or seal all anew.

use super::{
    agent,
    args::{DeleteArgs, PutArgs},
    input, names,
    stop::{Code, Result, Stop, print, print_json},
    wait::{Verdict, deleted, settled, time},
    write::{Change, Plane, Target, unmask},
};
use serde_json::json;

/// A place on the command line.
pub fn target(text: &str) -> Result<Target> {
    text.parse().map_err(|why| Stop::failed(format!("{text}: {why}")))
}

/// `cygnet-fleet put`.
pub async fn put(plane: &mut Plane, args: &PutArgs) -> Result<()> {
    let (target, within) = (target(&args.target)?, args.wait.wait.as_deref().map(time).transpose()?);
    let mut spec = agent::parse(&input::read(&args.file)?)
        .map_err(|why| Stop::failed(format!("{}: {why}", args.file.display())))?;
    // A key that was read masked is the stored one.
    let stored = plane.stored(&target).await?.map(|stored| plane.opened(&target, stored.value())).transpose()?;
    unmask(&mut spec, stored.as_ref()).map_err(Stop::failed)?;
    let is_disabled = spec.get("state").is_some_and(|state| state == "Disabled");
    let change = Change { target: target.clone(), spec: Some(spec), expected: args.revision };
    let revision = plane.write(&[change]).await?;
    let verdict = match within {
        Some(within) => Some(settled(plane, &target, revision, is_disabled, true, within).await?),
        None => None,
    };
    let why = match &verdict {
        Some(Verdict::Bad(why)) => Some(why.as_str()),
        _ => None,
    };
    if args.output.json {
        let is_ready = verdict.is_some().then_some(why.is_none());
        print_json(&json!({ "gateway": target.gateway, "uuid": target.uuid, "revision": revision, "ready": is_ready,
                            "why": why }))?;
    } else {
        let said = if verdict.is_some() && why.is_none() { ", and it is as wanted" } else { "" };
        print(&format!("{target} is at revision {revision}{said}\n"))?;
    }
    why.map_or(Ok(()), |why| Err(Stop::new(Code::NotUp, format!("{target}: {why}"))))
}

/// `cygnet-fleet delete`.
pub async fn delete(plane: &mut Plane, args: &DeleteArgs) -> Result<()> {
    let (target, within) = (target(&args.target)?, args.wait.wait.as_deref().map(time).transpose()?);
    let change = Change { target: target.clone(), spec: None, expected: args.revision };
    let revision = plane.write(&[change]).await?;
    if let Some(within) = within {
        deleted(plane, &target, within).await?;
    }
    if args.output.json {
        return print_json(&json!({ "gateway": target.gateway, "uuid": target.uuid, "revision": revision }));
    }
    print(&format!("{target} is deleted at revision {revision}\n")).map(drop)
}

/// `cygnet-fleet reseal`: what is not under the first key is written anew.
pub async fn reseal(plane: &mut Plane, as_json: bool) -> Result<()> {
    if !plane.keys.can_seal() {
        return Err(Stop::failed("set fleet_key_file: there is no key to seal with"));
    }
    let (mut sealed, mut kept) = (Vec::new(), 0);
    for key in plane.etcd.list(names::ROOT, false).await?.keys {
        let Some((gateway, "spec", uuid)) = names::split(key.key()) else { continue };
        let target = Target { gateway: gateway.into(), uuid: uuid.into() };
        let is_outdated = agent::parse(key.value()).is_ok_and(|spec| plane.keys.is_outdated(&spec));
        if !is_outdated {
            kept += 1;
            continue;
        }
        let spec = Some(plane.opened(&target, key.value())?);
        plane.write(&[Change { target: target.clone(), spec, expected: Some(key.mod_revision()) }]).await?;
        sealed.push(target.to_string());
    }
    if as_json {
        return print_json(&json!({ "sealed": sealed, "kept": kept }));
    }
    print(&format!("{} specs are sealed anew, {kept} were already\n", sealed.len())).map(drop)
}
