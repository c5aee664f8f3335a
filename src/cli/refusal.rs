//! The sentence of a refusal on the command line. It is made of the data in `opaque` of the error object; the sentence in
//! `details` is for callers of the API.

use serde_json::Value;

/// The options of the command line for the parameters of the query that have another name here.
const OPTIONS: [(&str, &str); 1] = [("deleteMode", "enforce")];

/// The sentence for `error`, if it has the data for one.
fn sentence(error: &Value) -> Option<String> {
    let data = &error["opaque"];
    let text = |name: &str| data[name].as_str();
    let problem = text("problem")?;
    if problem == "NOT_CONFIRMED" {
        return text("rule").map(str::to_owned);
    }
    let subject = text("field").map(str::to_owned).or_else(|| text("parameter").map(option))?;
    match problem {
        "NOT_ONE_OF" => {
            let valid: Vec<_> = data["valid"].as_array()?.iter().filter_map(Value::as_str).collect();
            let why = text("why").map_or_else(String::new, |why| format!("; {why}"));
            Some(format!("{subject} must be one of {}; got {}{why}", valid.join(", "), text("found")?))
        }
        "TOO_LONG" => {
            Some(format!("{subject} must have at most {} characters; it has {}", data["most"], data["length"]))
        }
        "MISSING" => Some(format!("{subject} is missing")),
        "RULE" => Some(format!("{subject} {}", text("rule")?)),
        "CONFLICT" | "CLASH" => Some(format!("{subject}: {}{}", text("rule")?, remedy(&data["remedy"]))),
        "NOT_FOUND" => {
            let (what, found) = (resource(text("type")?)?, text("found")?);
            let place = if subject == "uuid" { String::new() } else { format!("{subject}: ") };
            Some(format!("{place}there is no {what} with the uuid {found}"))
        }
        _ => None,
    }
}

/// The text of a refusal: the sentence of the command line, else what the agent says.
pub fn text(error: &Value) -> String {
    let text = |name: &str| error[name].as_str().filter(|text| !text.is_empty());
    let details = || text("details").or(text("description")).unwrap_or("the agent gave no reason").to_owned();
    sentence(error).unwrap_or_else(details)
}

/// The text of a warning.
pub fn warning(warning: &Value) -> String {
    let (text, data) = (|name: &str| warning[name].as_str(), &warning["opaque"]);
    let Some(rule) = data["rule"].as_str() else { return text("message").unwrap_or_default().to_owned() };
    let field = text("field").map_or_else(String::new, |field| format!("{field} "));
    format!("{field}{rule}{}", remedy(&data["remedy"]))
}

/// The option that helps, behind what is wrong.
fn remedy(data: &Value) -> String {
    let found = data["parameter"].as_str().zip(data["effect"].as_str());
    found.map_or_else(String::new, |(parameter, effect)| format!("; with {}, {effect}", option(parameter)))
}

/// The option that sets a parameter of the query.
fn option(parameter: &str) -> String {
    let own = OPTIONS.iter().find(|(name, _)| *name == parameter).map(|(_, option)| *option);
    format!("--{}", own.unwrap_or(parameter))
}

fn resource(kind: &str) -> Option<&'static str> {
    match kind {
        "IPsecConnectionVO" => Some("connection"),
        "VipVO" => Some("public address in the settings"),
        "L3NetworkVO" => Some("local network in the settings"),
        _ => None,
    }
}
