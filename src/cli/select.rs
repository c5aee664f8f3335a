//! Finds a connection by its uuid, by four or more first digits of it, or by its name.

use super::{
    client::Client,
    stop::{Code, Result, Stop},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// The fewest digits of a uuid that are accepted.
pub const SHORTEST: usize = 4;
/// The most candidates that an error lists.
const NAMED: usize = 5;

/// The uuid of the connection that `text` means.
pub fn uuid(client: &Client, text: &str) -> Result<String> {
    let digits = text.replace('-', "").to_ascii_lowercase();
    let is_hex = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hex && digits.len() == 32 {
        return Ok(digits);
    }
    let mut found = matching(client, &format!("name={text}"))?;
    if is_hex && digits.len() >= SHORTEST {
        for (uuid, name) in matching(client, &format!("uuid~={digits}%"))? {
            if !found.iter().any(|(known, _)| *known == uuid) {
                found.push((uuid, name));
            }
        }
    }
    match found.as_slice() {
        [(uuid, _)] => Ok(uuid.clone()),
        [] => {
            let hint = if is_hex && digits.len() < SHORTEST {
                format!("give at least {SHORTEST} digits of a uuid")
            } else {
                "`cygnet list` shows all connections".to_owned()
            };
            Err(Stop::failed(format!("no connection has the name or the uuid {text}")).hint(hint))
        }
        several => {
            let names: Vec<_> = several.iter().take(NAMED).map(|(uuid, name)| format!("{uuid} ({name})")).collect();
            let more = if several.len() > NAMED { ", ..." } else { "" };
            let text = format!("{text} means {} connections: {}{more}", several.len(), names.join(", "));
            Err(Stop::new(Code::Failed, text).hint("give its uuid"))
        }
    }
}

/// The uuids and names of the connections for which `condition` holds.
fn matching(client: &Client, condition: &str) -> Result<Vec<(String, String)>> {
    let answer = client.get(&format!("/zstack/v1/ipsec?fields=uuid,name&q={}", encoded(condition)))?;
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let items = answer["inventories"].as_array().into_iter().flatten();
    Ok(items.map(|item| (text(item, "uuid"), text(item, "name"))).collect())
}

/// `text` as a value in a query.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
