//! A browser of Debian, driven by `WebDriver`: what a person sees and does on the page. It may panic (it is test code).
#![allow(dead_code, reason = "each test binary uses a part of it")]

use crate::client::{Client, Stream};
use data_encoding::BASE64;
use serde_json::{Value, json};
use std::{
    fs,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long anything may take before the test has failed: a browser on a busy machine is slow.
const PATIENCE: Duration = Duration::from_mins(1);

/// Keys that have no letter, as `WebDriver` writes them.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";
pub const ESCAPE: &str = "\u{e00c}";

/// How often the driver is started.
const ATTEMPTS: usize = 5;

/// Starts the driver; `None` if it ends without a port. It draws one for IPv4 and takes the same for IPv6, and gives up if
/// another program has that one at the moment.
fn driver(mut command: Command) -> Option<(Child, u16)> {
    command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut driver = command.spawn().expect("chromedriver starts");
    let mut lines = BufReader::new(driver.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let port = lines.find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok());
    let Some(port) = port else {
        driver.wait().expect("it has ended");
        return None;
    };
    // Nobody reads what else it says.
    thread::spawn(move || lines.for_each(drop));
    Some((driver, port))
}

/// The driver and one window.
pub struct Browser {
    driver: Child,
    client: Client,
    session: String,
}

impl Browser {
    /// Why there is none on this machine.
    pub fn available() -> Result<(), String> {
        let version = Command::new("chromedriver").arg("--version").stdout(Stdio::null()).status();
        version.map(drop).map_err(|error| format!("needs chromedriver (package chromium-driver): {error}"))
    }

    /// Starts both: `command` makes the command of a program where the browser shall be, and `dial` connects there.
    pub fn start(
        command: impl Fn(&str) -> Command,
        dial: impl Fn(SocketAddr) -> io::Result<Stream> + Send + 'static,
    ) -> Self {
        let started = (0..ATTEMPTS).find_map(|_| driver(command("chromedriver")));
        let (driver, port) = started.expect("chromedriver finds a port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let client = Client::new(move || dial(address)).with_timeout(PATIENCE);
        let mut browser = Self { driver, client, session: String::new() };
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--hide-scrollbars",
            "--lang=en-US",
            "--window-size=1360,860",
        ];
        let wanted = json!({ "goog:chromeOptions": { "args": arguments }, "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" } });
        let made = browser.call("POST", "/session", &json!({ "capabilities": { "alwaysMatch": wanted } }));
        browser.session = format!("/session/{}", made["sessionId"].as_str().expect("a session"));
        browser
    }

    /// One on this host.
    pub fn here() -> Self {
        Self::start(|program| Command::new(program), |address| std::net::TcpStream::connect(address).map(Stream::Tcp))
    }

    #[track_caller]
    fn call(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("{}{path}", self.session);
        let body = if method == "POST" { body.to_string() } else { String::new() };
        // The driver answers to this name of the host alone.
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        let answer = self.client.raw((head + &body).as_bytes());
        let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()["value"].clone()
    }

    /// Opens an address.
    #[track_caller]
    pub fn open(&mut self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url }));
    }

    /// What the body of a function answers in the page.
    #[track_caller]
    pub fn run(&mut self, body: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// The same of one whose last argument is to be called with the answer.
    #[track_caller]
    pub fn run_later(&mut self, body: &str) -> Value {
        self.call("POST", "/execute/async", &json!({ "script": body, "args": [] }))
    }

    /// Asks until the expression holds; what it is then.
    #[track_caller]
    pub fn until(&mut self, expression: &str) -> Value {
        self.until_after(&mut || {}, expression)
    }

    /// The same, and does something before it asks, each time.
    #[track_caller]
    pub fn until_after(&mut self, before: &mut dyn FnMut(), expression: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            before();
            let value = self.run(&format!("return {expression}"));
            let holds = !matches!(&value, Value::Null | Value::Bool(false)) && value != "" && value != 0;
            if holds {
                return value;
            }
            if Instant::now() > end {
                let text = self.run("return document.body.innerText");
                panic!("not seen within {PATIENCE:?}: {expression}\n{text}\n{:?}", self.log("browser"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the page shows `text` in the element.
    #[track_caller]
    pub fn sees(&mut self, element: &str, text: &str) {
        let (element, text) = (Value::from(element), Value::from(text));
        self.until(&format!("document.querySelector({element})?.checkVisibility() && document.querySelector({element}).textContent.includes({text})"));
    }

    #[track_caller]
    fn element(&mut self, selector: &str) -> String {
        self.until(&format!("document.querySelector({})?.checkVisibility()", Value::from(selector)));
        let found = self.call("POST", "/element", &json!({ "using": "css selector", "value": selector }));
        let (_, id) = found.as_object().and_then(|found| found.iter().next()).expect("an element");
        format!("/element/{}", id.as_str().expect("an id"))
    }

    /// Clicks on it as a person would.
    #[track_caller]
    pub fn click(&mut self, selector: &str) {
        let element = self.element(selector);
        self.call("POST", &format!("{element}/click"), &json!({}));
    }

    /// Types into it.
    #[track_caller]
    pub fn enter(&mut self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.call("POST", &format!("{element}/value"), &json!({ "text": text }));
    }

    /// Presses keys, wherever the focus is.
    #[track_caller]
    pub fn press(&mut self, keys: &str) {
        let each = |key: char| [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        let actions: Vec<_> = keys.chars().flat_map(each).collect();
        self.call("POST", "/actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] }));
    }

    /// The size of the window in pixels of the screen, how much its user zooms in, and whether they like it dark. As with a
    /// real zoom, the page has fewer pixels of its own, each of them larger.
    #[track_caller]
    pub fn look(&mut self, width: u32, height: u32, zoom: u32, dark: bool) {
        let mut devtools =
            |cmd: &str, params: Value| self.call("POST", "/goog/cdp/execute", &json!({ "cmd": cmd, "params": params }));
        let size =
            json!({ "width": width / zoom, "height": height / zoom, "deviceScaleFactor": zoom, "mobile": false });
        devtools("Emulation.setDeviceMetricsOverride", size);
        let scheme = json!([{ "name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" } }]);
        devtools("Emulation.setEmulatedMedia", json!({ "features": scheme }));
    }

    /// Keeps a picture of the window below `target/page`, for people to look at.
    #[track_caller]
    pub fn picture(&mut self, name: &str) {
        let picture = self.call("GET", "/screenshot", &Value::Null);
        let bytes = BASE64.decode(picture.as_str().expect("a picture").as_bytes()).expect("base64");
        let directory = target().join("page");
        fs::create_dir_all(&directory).and_then(|()| fs::write(directory.join(name), bytes)).expect("written");
    }

    /// The lines of a log since it was read last: `browser`, or `performance` with all requests.
    #[track_caller]
    pub fn log(&mut self, kind: &str) -> Vec<String> {
        let lines = self.call("POST", "/se/log", &json!({ "type": kind }));
        let text = |line: &Value| line["message"].as_str().unwrap_or_default().to_owned();
        lines.as_array().into_iter().flatten().map(text).collect()
    }

    /// Every request since the start went to `origin`, and nothing was against the page's policy.
    #[track_caller]
    pub fn was_good(&mut self, origin: &str) {
        for line in self.log("performance") {
            let message: Value = serde_json::from_str(&line).expect("JSON");
            let url = message["message"]["params"]["request"]["url"].as_str().unwrap_or(origin);
            assert!(url.starts_with(origin) || url.starts_with("data:"), "{url} is asked");
        }
        let log = self.log("browser");
        let bad: Vec<_> =
            log.iter().filter(|line| line.contains("Content Security Policy") || line.contains("Error:")).collect();
        assert!(bad.is_empty(), "{bad:#?}");
    }

    /// What axe finds wrong on the page.
    #[track_caller]
    pub fn axe(&mut self, axe: &str) -> Vec<String> {
        self.run(axe);
        let found = self.run_later("axe.run().then(r => arguments[0](r.violations.map(v => v.id + ': ' + v.help + ' ' + v.nodes.map(n => n.html).join(' '))))");
        found.as_array().into_iter().flatten().map(ToString::to_string).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser with the session. Both may have ended by themselves.
        let _ = self.client.raw(format!("DELETE {} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.session).as_bytes());
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The directory of what builds and tests make.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target").to_owned()
}

/// The text of axe, fetched once. It is used by tests alone, and is neither linked nor shipped.
pub fn axe() -> Result<String, String> {
    static FETCHED: std::sync::OnceLock<Result<String, String>> = std::sync::OnceLock::new();
    FETCHED.get_or_init(fetch_axe).clone()
}

fn fetch_axe() -> Result<String, String> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe-4.12.1");
    let (venv, text) = (directory.join("venv"), directory.join("axe_playwright_python/axe.min.js"));
    if !text.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/axe.txt");
        let quietly =
            ["install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--require-hashes"];
        run(Command::new(venv.join("bin/pip"))
            .args(quietly)
            .arg("--target")
            .arg(&directory)
            .arg("-r")
            .arg(requirements))?;
    }
    fs::read_to_string(text).map_err(|error| error.to_string())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
