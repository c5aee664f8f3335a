//! What the fake charon knows, and what it answers: the commands of vici that matter to an agent and to swanctl, with
//! charon's own words when it refuses (strongSwan facts 2.3 and 5.2).

use super::{
    answers,
    sa::{self, Running},
};
use cygnet::strongswan::section::{Section, Value};
use indexmap::IndexMap;

/// All that a charon forgets when it ends, and what kind of charon it is.
#[derive(Default)]
pub struct State {
    pub connections: IndexMap<String, Section>,
    pub secrets: IndexMap<String, Section>,
    /// Private keys by their ids.
    pub keys: IndexMap<String, Section>,
    pub certificates: Vec<Section>,
    running: Vec<Running>,
    last_id: u64,
    pub establish: bool,
    /// Whether what is initiated stays half open.
    pub hold: bool,
    /// Whether the peer refuses to rekey: then nothing changes.
    pub refuse_rekeys: bool,
    pub lacks: Vec<String>,
    pub plugins: Vec<String>,
    /// Of a 6.1.0: whether it was built with IKEv1.
    pub ikev1: Option<bool>,
}

/// An answer to a command.
pub struct Answer {
    pub response: Section,
    /// Events that belong to the answer, for the asking client alone.
    pub streamed: Vec<(&'static str, Section)>,
    /// Events for all who registered them.
    pub announced: Vec<(&'static str, Section)>,
}

impl Answer {
    fn new(response: Section) -> Self {
        Self { response, streamed: Vec::new(), announced: Vec::new() }
    }

    fn yes() -> Self {
        Self::new(Section::new().with("success", "yes"))
    }

    fn no(words: impl Into<String>) -> Self {
        Self::new(Section::new().with("success", "no").with("errmsg", words.into()))
    }
}

/// A list of texts.
fn list<'a>(items: impl IntoIterator<Item = &'a String>) -> Value {
    Value::List(items.into_iter().map(|item| item.clone().into_bytes()).collect())
}

impl State {
    /// Whether charon 5.9.8 has the event.
    pub fn knows_event(name: &str) -> bool {
        answers::EVENTS.contains(&name)
    }

    /// charon was started anew.
    pub fn restart(&mut self) {
        self.connections.clear();
        self.secrets.clear();
        self.keys.clear();
        self.certificates.clear();
        self.running.clear();
        self.last_id = 0;
    }

    /// In place of all SAs: those of these `list-sa` messages.
    pub fn set_sas(&mut self, messages: impl IntoIterator<Item = Section>) {
        self.running = messages.into_iter().map(Running::given).collect();
    }

    pub fn sas(&self) -> usize {
        self.running.len()
    }

    pub fn alter_children(&mut self, change: &dyn Fn(&mut Section)) {
        self.running.iter_mut().for_each(|sa| sa.alter_children(change));
    }

    pub fn alter_ikes(&mut self, change: &dyn Fn(&mut Section)) {
        self.running.iter_mut().for_each(|sa| change(sa.ike()));
    }

    pub fn double_children(&mut self) {
        for sa in &mut self.running {
            sa.double_children(&mut self.last_id);
        }
    }

    /// The answer; `None` where charon does not know the command.
    pub fn answer(&mut self, command: &str, body: &Section) -> Option<Answer> {
        Some(match command {
            "version" => Answer::new(answers::version(if self.ikev1.is_some() { "6.1.0" } else { "5.9.8" })),
            "stats" => Answer::new(answers::stats(self.running.len(), &self.plugins, &self.lacks)),
            "get-algorithms" => Answer::new(answers::algorithms(&self.lacks)),
            "get-conns" => Answer::new(Section::new().with("conns", list(self.connections.keys()))),
            "get-shared" => Answer::new(Section::new().with("keys", list(self.secrets.keys()))),
            "get-keys" => Answer::new(Section::new().with("keys", list(self.keys.keys()))),
            "load-key" => self.load_key(body),
            "unload-key" => self.unload_key(body),
            "load-cert" => self.load_cert(body),
            "get-authorities" => Answer::new(Section::new().with("authorities", list([]))),
            "get-pools" => Answer::new(Section::new()),
            "reload-settings" | "clear-creds" => Answer::yes(),
            "load-shared" => self.load_shared(body),
            "unload-shared" => self.unload_shared(body),
            "load-conn" => self.load_conn(body),
            "unload-conn" => self.unload_conn(body),
            "list-conns" => self.list_conns(body),
            "list-sas" => self.list_sas(body),
            "initiate" => self.initiate(body),
            "terminate" => self.terminate(body),
            "rekey" => self.rekey(body),
            _ => return None,
        })
    }

    fn load_shared(&mut self, body: &Section) -> Answer {
        match (body.bytes("data"), body.text("type")) {
            (None | Some([]), _) => Answer::no("shared key data missing"),
            (_, None) => Answer::no("shared key type missing"),
            _ => {
                self.secrets.insert(body.text("id").unwrap_or_default().into(), body.clone());
                Answer::yes()
            }
        }
    }

    fn unload_shared(&mut self, body: &Section) -> Answer {
        self.secrets.shift_remove(body.text("id").unwrap_or_default());
        Answer::yes()
    }

    fn load_key(&mut self, body: &Section) -> Answer {
        match body.text("data").and_then(cygnet::ipsec::certs::key_id_of) {
            None => Answer::no("parsing any private key failed"),
            Some(id) => {
                self.keys.insert(id.clone(), body.clone());
                Answer::new(Answer::yes().response.with("id", id))
            }
        }
    }

    fn unload_key(&mut self, body: &Section) -> Answer {
        match self.keys.shift_remove(body.text("id").unwrap_or_default()) {
            Some(_) => Answer::yes(),
            None => Answer::no("private key not found"),
        }
    }

    fn load_cert(&mut self, body: &Section) -> Answer {
        self.certificates.push(body.clone());
        Answer::yes()
    }

    fn load_conn(&mut self, body: &Section) -> Answer {
        for (name, connection) in body.sections() {
            self.connections.insert(name.into(), connection.clone());
        }
        Answer::yes()
    }

    fn unload_conn(&mut self, body: &Section) -> Answer {
        let name = body.text("name").unwrap_or_default();
        match self.connections.shift_remove(name) {
            Some(_) => Answer::yes(),
            None => Answer::no(format!("unload: connection '{name}' not found")),
        }
    }

    fn list_conns(&self, body: &Section) -> Answer {
        let wanted = |name: &&String| body.text("ike").is_none_or(|ike| ike == *name);
        let message = |name: &String| Section::new().with(name, self.connections[name].clone());
        let streamed = self.connections.keys().filter(wanted).map(|name| ("list-conn", message(name)));
        Answer { streamed: streamed.collect(), ..Answer::new(Section::new()) }
    }

    fn list_sas(&self, body: &Section) -> Answer {
        let wanted = |sa: &&Running| {
            body.text("ike").is_none_or(|ike| ike == sa.name())
                && body.number::<u64>("ike-id").is_none_or(|id| id == sa.unique_id())
        };
        let streamed = self.running.iter().filter(wanted).map(|sa| ("list-sa", sa.message().clone()));
        Answer { streamed: streamed.collect(), ..Answer::new(Section::new()) }
    }

    fn initiate(&mut self, body: &Section) -> Answer {
        let child = body.text("child").unwrap_or_default();
        let found = self.connections.iter().find(|(name, connection)| {
            body.text("ike").is_none_or(|ike| ike == *name)
                && connection.section("children").is_some_and(|children| children.section(child).is_some())
        });
        let Some((name, connection)) = found else {
            return Answer::no(format!("CHILD_SA config '{child}' not found"));
        };
        let (name, connection) = (name.clone(), connection.clone());
        let failed = || Answer::no(format!("establishing CHILD_SA '{child}' failed"));
        if connection.text("version") == Some("1") && self.ikev1 == Some(false) {
            return failed();
        }
        if connection.items("remote_addrs").any(|address| address == "%any") {
            let log = Section::new().with("msg", "unable to resolve %any, initiate aborted");
            return Answer { streamed: vec![("control-log", log)], ..failed() };
        }
        let mut answer = Answer::yes();
        if self.hold {
            self.running.push(sa::half_open(&mut self.last_id, &name, &connection));
        } else if self.establish {
            answer.announced = sa::bring_up(&mut self.running, &mut self.last_id, &name, &connection, child);
        }
        answer
    }

    fn terminate(&mut self, body: &Section) -> Answer {
        let (matches, announced) = sa::take_down(&mut self.running, body);
        let answer = match matches {
            0 => Answer::no("no matching SAs to terminate found"),
            _ => Answer::yes(),
        };
        let count = matches.to_string();
        let response = answer.response.with("matches", count.as_str()).with("terminated", count);
        Answer { response, announced, ..answer }
    }

    fn rekey(&mut self, body: &Section) -> Answer {
        let id = body.number("child-id").unwrap_or(0);
        let Some(sa) = self.running.iter_mut().find(|sa| sa.has_child(id)) else {
            return Answer::no("no matching SAs to rekey found");
        };
        let mut answer = Answer::new(Answer::yes().response.with("matches", "1"));
        if !self.refuse_rekeys {
            self.last_id += 1;
            answer.announced.extend(sa.rekey(id, self.last_id));
        }
        answer
    }
}
