//! A browser under control: Chromium through ChromeDriver, over the W3C WebDriver protocol.
//!
//! Blocking, and no larger than what the tests use: a client library would bring an asynchronous
//! runtime and a TLS stack to speak plain HTTP with a program on the same machine.

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The key under which the protocol hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// What keeps Chromium from talking to anyone but the page's host, and from needing a desktop.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--window-size=1280,900",
];

/// WebGPU in software, as on a machine without a graphics card.
const WEBGPU: [&str; 2] = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/// A camera that shows a test picture, and a reader who allows it.
const CAMERA: [&str; 2] = [
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
];

/// A running Chromium with one page.
pub struct Browser {
    driver: Child,
    session: String,
    profile: tempfile::TempDir,
}

/// Whether ChromeDriver is there.
pub fn is_installed() -> bool {
    Command::new("chromedriver")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

impl Browser {
    /// Starts a browser of its own, with or without WebGPU.
    pub fn start(webgpu: bool) -> Self {
        Self::with(if webgpu { &WEBGPU } else { &[] })
    }

    /// Starts a browser of its own on a machine with a camera.
    pub fn with_camera() -> Self {
        Self::with(&CAMERA)
    }

    fn with(more: &[&str]) -> Self {
        let (driver, port) = start_driver();
        let profile = tempfile::tempdir().expect("a folder for the browser's profile");
        let mut flags: Vec<String> = FLAGS.map(String::from).into();
        flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        flags.push(format!(
            "--log-net-log={}",
            net_log(profile.path()).display()
        ));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            // A page of the peers' may hold its thread for a minute.
            "timeouts": {"script": 120_000},
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": flags},
        }}});
        let sessions = format!("http://127.0.0.1:{port}/session");
        let created = post(&sessions, &wanted);
        let id = created["sessionId"].as_str().expect("a session");
        Browser {
            driver,
            session: format!("{sessions}/{id}"),
            profile,
        }
    }

    /// Loads a page.
    pub fn open(&self, url: &str) {
        self.send("/url", &json!({ "url": url }));
    }

    /// Types `keys` into the element that `selector` finds; a path, where it takes files.
    pub fn type_into(&self, selector: &str, keys: &str) {
        let element = self.find(selector);
        self.send(
            &format!("/element/{element}/value"),
            &json!({ "text": keys }),
        );
    }

    /// Clicks the element that `selector` finds.
    pub fn click(&self, selector: &str) {
        let element = self.find(selector);
        self.send(&format!("/element/{element}/click"), &json!({}));
    }

    /// The text of the element that `selector` finds, as a reader sees it.
    pub fn text(&self, selector: &str) -> String {
        let script = "return document.querySelector(arguments[0])?.innerText ?? ''";
        let text = self.run(script, &[selector]);
        text.as_str().unwrap_or_default().trim().to_owned()
    }

    /// An attribute of the element that `selector` finds.
    pub fn attribute(&self, selector: &str, name: &str) -> Option<String> {
        let script = "return document.querySelector(arguments[0])?.getAttribute(arguments[1])";
        self.run(script, &[selector, name])
            .as_str()
            .map(str::to_owned)
    }

    /// Runs a script in the page.
    pub fn run(&self, script: &str, arguments: &[&str]) -> Value {
        self.send(
            "/execute/sync",
            &json!({ "script": script, "args": arguments }),
        )
    }

    /// Runs a script in every page from here on, before the page's own.
    pub fn before_each_page(&self, script: &str) {
        let source = json!({ "source": script });
        self.devtools("Page.addScriptToEvaluateOnNewDocument", &source);
    }

    /// A command of Chromium's DevTools protocol, and its answer.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let wanted = json!({ "cmd": command, "params": parameters });
        self.send("/goog/cdp/execute", &wanted)
    }

    /// Presses and lets go of a key, wherever the focus is. Special keys have code points of their
    /// own in the protocol: tab U+E004, enter U+E007, right U+E014.
    pub fn press(&self, key: &str) {
        let step = |kind| json!({ "type": kind, "value": key });
        let keys =
            json!({ "type": "key", "id": "keys", "actions": [step("keyDown"), step("keyUp")] });
        self.send("/actions", &json!({ "actions": [keys] }));
    }

    /// Waits until a script gives true.
    pub fn until(&self, what: &str, script: &str, patience: Duration) {
        let start = Instant::now();
        while self.run(script, &[]) != true {
            assert!(
                start.elapsed() < patience,
                "{what} never came; the page says:\n{}\nits console:\n{}",
                self.text("body"),
                self.console().join("\n"),
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until an attribute has one of `values`, and gives it.
    pub fn wait(&self, selector: &str, name: &str, values: &[&str], patience: Duration) -> String {
        let start = Instant::now();
        loop {
            let value = self.attribute(selector, name);
            match value {
                Some(value) if values.contains(&value.as_str()) => return value,
                other => assert!(
                    start.elapsed() < patience,
                    "{selector} has {name} {other:?}, not {values:?}, after {patience:?}; the page says:\n{}\nits console:\n{}",
                    self.text("body"),
                    self.console().join("\n"),
                ),
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Errors since the last call. Warnings are the browser's own, as of a missing adapter.
    pub fn console(&self) -> Vec<String> {
        let entries = self.send("/se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry["level"] == "SEVERE")
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    /// Ends the browser; gives the addresses that pages and their workers have asked for. What the
    /// browser asks for on its own account has no origin, as has the address that was typed in.
    pub fn requests(mut self) -> Vec<String> {
        self.end();
        let path = net_log(self.profile.path());
        let text = std::fs::read_to_string(&path).expect("the browser's network log");
        let log: Value = serde_json::from_str(&text).expect("a complete network log");
        let start_of_request = &log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"];
        let events = log["events"].as_array().expect("events in the network log");
        events
            .iter()
            .filter(|event| event["type"] == *start_of_request)
            .filter(|event| event["params"]["initiator"] != "not an origin")
            .filter_map(|event| event["params"]["url"].as_str().map(str::to_owned))
            .collect()
    }

    fn find(&self, selector: &str) -> String {
        let query = json!({"using": "css selector", "value": selector});
        let found = self.send("/element", &query);
        let element = found[ELEMENT].as_str();
        element.expect("an element on the page").to_owned()
    }

    fn send(&self, command: &str, body: &Value) -> Value {
        post(&format!("{}{command}", self.session), body)
    }

    fn end(&mut self) {
        let _ = ureq::delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.end();
    }
}

fn net_log(profile: &Path) -> PathBuf {
    profile.join("requests.json")
}

/// How often a driver may find its port taken.
const ATTEMPTS: usize = 8;

/// A running driver and its port.
///
/// The driver takes a free port of IPv4 and wants the same one of IPv6, which a browser of another
/// test may have by then; it ends, and the next one takes another.
fn start_driver() -> (Child, u16) {
    for _ in 0..ATTEMPTS {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromedriver starts");
        if let Some(port) = port_of(&mut driver) {
            return (driver, port);
        }
        let ended = driver.wait().expect("the driver's end");
        eprintln!("chromedriver ended without a port: {ended}");
    }
    panic!("chromedriver found no free port in {ATTEMPTS} attempts");
}

/// The port that the driver says it has taken; nothing where it ends without one.
fn port_of(driver: &mut Child) -> Option<u16> {
    let output = driver.stdout.take().expect("the driver's output");
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let port = lines.by_ref().find_map(|line| {
        line.split_once("successfully on port ")?
            .1
            .trim_end_matches('.')
            .parse()
            .ok()
    })?;
    // Read on, or the driver would wait for us one day.
    thread::spawn(move || lines.for_each(drop));
    Some(port)
}

fn post(url: &str, body: &Value) -> Value {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let mut answer = agent
        .post(url)
        .header("Content-Type", "application/json")
        .send(body.to_string())
        .expect("the driver answers");
    let text = answer
        .body_mut()
        .with_config()
        .limit(u64::MAX)
        .read_to_string()
        .expect("the driver's answer");
    let answer: Value = serde_json::from_str(&text).expect("JSON from the driver");
    let value = &answer["value"];
    assert!(value["error"].is_null(), "{url}: {value}");
    value.clone()
}
