//! `cygnet standby` and `cygnet active`: gives the gateway's tunnels up before maintenance, and takes them back.

use super::{
    client::Client,
    common_args::Json,
    look::safe,
    stop::{Result, print, print_json},
};
use hyper::Method;
use serde_json::Value;

/// `cygnet standby`.
pub fn standby(client: &Client, args: &Json) -> Result<()> {
    told(&client.write(Method::POST, "/cygnet/v1/standby", None, "closing the tunnels")?, args)
}

/// `cygnet active`.
pub fn active(client: &Client, args: &Json) -> Result<()> {
    told(&client.write(Method::POST, "/cygnet/v1/active", None, "taking the tunnels back")?, args)
}

/// The role for each address.
fn told(answer: &Value, args: &Json) -> Result<()> {
    if args.json {
        return print_json(answer);
    }
    let vips = answer["vips"].as_array().into_iter().flatten();
    let line = |vip: &Value| {
        let of = |name: &str| safe(vip[name].as_str().unwrap_or_default());
        format!("{}  {}\n", of("role"), of("address"))
    };
    let lines: String = vips.map(line).collect();
    print(if lines.is_empty() { "this gateway has no local addresses\n" } else { &lines }).map(drop)
}
