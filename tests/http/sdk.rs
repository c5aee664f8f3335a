//! Clients that behave as the contract says the SDKs do (1.4, 1.10, 1.15): which headers they send, what they poll
//! and with which credentials, how they rewrite `location`, and what they refuse in an answer.

use super::{
    accounts::{digest, now, signature},
    transcript::is_date,
};
use crate::{
    client::Response,
    serve::{Bench, wait_until},
};
use serde_json::{Value, json};

/// Which SDK is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sends a job id with every call and the tags among the parameters; takes 202 for writes only.
    Java,
    /// Sends no job id; polls whenever an answer has a `location`; one version calls everything `params`.
    Go,
    /// As Java, with the tags beside the parameters.
    Python,
}

/// How calls are authorized.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Nothing yet.
    None,
    /// The uuid of a session.
    Session(String),
    /// An access key: its id and secret.
    Key(String, String),
}

/// One client.
pub struct Sdk<'a> {
    /// Which it is.
    pub kind: Kind,
    /// Who it is.
    pub credentials: Credentials,
    bench: &'a Bench,
}

/// What a call gives the caller: the result, or the error's code and details as this SDK shows them.
pub type Outcome = Result<Value, (String, String)>;

impl<'a> Sdk<'a> {
    /// A client of this agent.
    pub fn new(bench: &'a Bench, kind: Kind, credentials: Credentials) -> Self {
        Self { kind, credentials, bench }
    }

    /// Logs in with the digest of the password, and keeps the session.
    pub fn login(&mut self, account: &str, password: &str) -> Outcome {
        let params = json!({ "accountName": account, "password": digest(password) });
        let answer = self.send("PUT", "/v1/accounts/login", json!({ "logInByAccount": params }).to_string().as_bytes());
        // No SDK polls for a login.
        let result = self.direct(&answer)?;
        let inventory = &result["inventory"];
        assert!(["expiredDate", "createDate"].iter().all(|name| inventory[name].as_str().is_some_and(is_date)));
        self.credentials = Credentials::Session(inventory["uuid"].as_str().expect("a uuid").to_owned());
        Ok(result)
    }

    /// A call that reads.
    pub fn read(&self, path: &str) -> Outcome {
        let result = self.direct(&self.send("GET", path, b""))?;
        check_elements(&result);
        Ok(result)
    }

    /// A call that reads something else than connections.
    pub fn send_read(&self, path: &str) -> Value {
        self.direct(&self.send("GET", path, b"")).expect("an answer")
    }

    /// A call that writes, with its parameters in the body.
    pub fn write(&self, method: &str, path: &str, key: &str, params: &Value) -> Outcome {
        let mut body = json!({ key: params });
        let place = if self.kind == Kind::Java { &mut body[key] } else { &mut body };
        place["systemTags"] = json!([]);
        place["userTags"] = json!([format!("by::{:?}", self.kind)]);
        if self.kind == Kind::Java {
            place["requestIp"] = json!("203.0.113.5");
        }
        self.finish(&self.send(method, path, body.to_string().as_bytes()))
    }

    /// A DELETE, with its parameters in the path's query.
    pub fn delete(&self, path: &str) -> Outcome {
        self.finish(&self.send("DELETE", path, b""))
    }

    fn send(&self, method: &str, path: &str, body: &[u8]) -> Response {
        let (authorization, date) = self.authorization(method, path.split('?').next().unwrap_or_default());
        let job = uuid::Uuid::new_v4().as_simple().to_string();
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(authorization.as_deref().map(|value| ("Authorization", value)));
        headers.extend(date.as_deref().map(|value| ("Date", value)));
        if self.kind != Kind::Go {
            headers.push(("X-Job-UUID", &job));
        }
        self.ask(method, &format!("/zstack{path}"), &headers, body)
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.bench.tcp().request(method, path, headers, body).expect("an answer")
    }

    fn authorization(&self, method: &str, path: &str) -> (Option<String>, Option<String>) {
        match &self.credentials {
            Credentials::None => (None, None),
            Credentials::Session(uuid) => (Some(format!("OAuth {uuid}")), None),
            Credentials::Key(id, secret) => {
                let zone = match self.kind {
                    Kind::Java => "Etc/UTC",
                    Kind::Go => "UTC",
                    Kind::Python => "CST",
                };
                let date = now(zone);
                (Some(format!("ZStack {id}:{}", signature(secret, method, &date, path))), Some(date))
            }
        }
    }

    /// What a write comes to: at once, or by polling.
    fn finish(&self, answer: &Response) -> Outcome {
        let has_location = || answer.status == 200 && answer.json().get("location").is_some();
        let is_job = answer.status == 202 || (self.kind == Kind::Go && has_location());
        if !is_job {
            return self.direct(answer);
        }
        let answer = answer.json();
        assert!(answer["apiTimeout"].as_u64().is_some_and(|ms| ms > 0), "{answer}");
        let path = self.job_path(answer["location"].as_str().expect("a location"));
        let (authorization, date) = self.polling();
        let mut headers = vec![("Authorization", authorization.as_str())];
        headers.extend(date.as_deref().map(|value| ("Date", value)));
        wait_until("the job ends", || {
            let answer = self.ask("GET", &path, &headers, b"");
            match answer.status {
                202 => None,
                200 => Some(Ok(answer.json())),
                503 => Some(Err(typed_error(&answer.json()))),
                other => panic!("{other} while polling: {}", answer.text()),
            }
        })
    }

    /// What clients poll with: Java's `null` for a session that it does not have, Go's signature of another path.
    fn polling(&self) -> (String, Option<String>) {
        match &self.credentials {
            Credentials::Key(..) if self.kind == Kind::Go => {
                let (authorization, date) = self.authorization("PUT", "/v1/ipsec");
                (authorization.unwrap_or_default(), date)
            }
            Credentials::Session(uuid) => (format!("OAuth {uuid}"), None),
            _ => ("OAuth null".into(), None),
        }
    }

    /// `location` as clients use it: as it is if it names their server, else with what stands before the path replaced.
    fn job_path(&self, location: &str) -> String {
        let own = format!("http://{}", self.bench.address());
        let place = location.find("/zstack/v1/api-jobs/").expect("the path that clients look for");
        let url = if location.contains(&self.bench.address().to_string()) {
            location.to_owned()
        } else {
            own.clone() + &location[place..]
        };
        url.strip_prefix(&own).expect("our own server").to_owned()
    }

    /// An answer without a job. Java takes no 202 here, and shows a direct 503 as an error of its own.
    fn direct(&self, answer: &Response) -> Outcome {
        match (answer.status, self.kind) {
            (200, _) => {
                let body = answer.json();
                assert!(body.get("location").is_none(), "the Go SDK would poll: {body}");
                Ok(body)
            }
            (503, Kind::Java) => Err(("sdk.1000".into(), answer.text())),
            (503, _) => Err(typed_error(&answer.json())),
            (other, _) => Err((format!("http.{other}"), answer.text())),
        }
    }
}

fn typed_error(body: &Value) -> (String, String) {
    let text = |name: &str| body["error"][name].as_str().unwrap_or_else(|| panic!("{name} in {body}")).to_owned();
    assert!(!text("description").is_empty());
    (text("code"), text("details"))
}

/// What the Java SDK needs to make objects of a query's elements: the class of each, parents first, and values that
/// Gson takes for their types.
fn check_elements(reply: &Value) {
    let Some(inventories) = reply["inventories"].as_array() else { return };
    let schema = reply["schema"].as_object().expect("schema: without it elements are maps");
    let mut made: Vec<&str> = Vec::new();
    for (place, class) in schema {
        let class = class.as_str().expect("a name");
        assert!(class.starts_with("org.zstack.ipsec.") && class.ends_with("Inventory"), "{class}");
        if let Some((parent, _)) = place.rsplit_once('.') {
            assert!(made.contains(&parent), "{place} comes before its parent");
        }
        let pointer = format!("/{}", place.replace("].", "/").replace('[', "/").replace(']', ""));
        assert!(reply.pointer(&pointer).is_some_and(Value::is_object), "{place} is not there");
        made.push(place);
    }
    for (index, inventory) in inventories.iter().enumerate() {
        assert!(made.contains(&format!("inventories[{index}]").as_str()), "no class for the element {index}");
        check_connection(inventory);
    }
}

/// That every member is of the type that `IPsecConnectionInventory` has for it.
pub fn check_connection(inventory: &Value) {
    for (name, value) in inventory.as_object().expect("an object") {
        let fits = match name.as_str() {
            "ikeDhGroup" | "ikeLifeTime" | "lifeTime" => value.as_f64().is_some_and(|n| n.fract() == 0.0),
            "createDate" | "lastOpDate" => value.as_str().is_some_and(is_date),
            "peerCidrs" | "l3NetworkRefs" => value.as_array().is_some_and(|items| {
                let dated = |item: &Value| item["createDate"].as_str().is_some_and(is_date);
                items.iter().all(|item| dated(item) && item["connectionUuid"] == inventory["uuid"])
            }),
            "state" => ["Enabled", "Disabled"].iter().any(|word| value == word),
            "status" => ["Connecting", "Ready", "Disconnected"].iter().any(|word| value == word),
            _ => value.is_string(),
        };
        assert!(fits, "{name}: {value}");
    }
}
