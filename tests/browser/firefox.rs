//! The page in Firefox, on the CPU engine: the same captions, and again without a network.
//!
//! Firefox is driven over Marionette, the protocol below its WebDriver: geckodriver, which would
//! translate, is in no package of Debian's. Without Firefox the test says so and passes.

use super::{PATIENCE, gate::Gate, native, page, samples, text};
use adem_pipeline::Request;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What the program is called, by Debian and by Mozilla.
const NAMES: [&str; 2] = ["firefox-esr", "firefox"];

/// Any free port; nothing asked of Mozilla.
const SETTINGS: &str = "user_pref('marionette.port', 0);
user_pref('app.update.enabled', false);
user_pref('datareporting.policy.dataSubmissionEnabled', false);
user_pref('network.captive-portal-service.enabled', false);
user_pref('network.connectivity-service.enabled', false);
";

/// A running Firefox with one page.
struct Firefox {
    program: Child,
    line: BufReader<TcpStream>,
    _profile: tempfile::TempDir,
}

impl Firefox {
    /// `None` where it is not installed.
    fn start() -> Option<Self> {
        let profile = tempfile::tempdir().unwrap();
        fs::write(profile.path().join("user.js"), SETTINGS).unwrap();
        let program = NAMES.into_iter().find_map(|name| {
            Command::new(name)
                .args(["--headless", "--marionette", "--no-remote", "--profile"])
                .arg(profile.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .ok()
        })?;
        let stream = TcpStream::connect(("127.0.0.1", port(profile.path()))).unwrap();
        let mut firefox = Firefox {
            program,
            line: BufReader::new(stream),
            _profile: profile,
        };
        let hello = firefox.hear();
        assert_eq!(hello["marionetteProtocol"], 3, "{hello}");
        firefox.send("WebDriver:NewSession", &json!({}));
        Some(firefox)
    }

    /// Loads a page and waits for its model.
    fn open(&mut self, url: &str) {
        self.send("WebDriver:Navigate", &json!({ "url": url }));
        self.until("return document.querySelector('#engine')?.dataset.model === 'ready'");
    }

    /// Gives the page a picture; the caption.
    fn caption(&mut self, picture: &Path) -> String {
        self.run("document.querySelector('#caption')?.setAttribute('data-state', 'struck')");
        let query = json!({ "using": "css selector", "value": "#file" });
        let found = self.send("WebDriver:FindElement", &query);
        let (_, id) = found["value"].as_object().unwrap().iter().next().unwrap();
        let keys = json!({ "id": id, "text": picture });
        self.send("WebDriver:ElementSendKeys", &keys);
        self.until("return document.querySelector('#caption')?.dataset.state === 'done'");
        let said = self.run("return document.querySelector('#caption').innerText");
        said.as_str().unwrap().trim().to_owned()
    }

    fn until(&mut self, script: &str) {
        let start = Instant::now();
        while self.run(script) != true {
            let body = self.run("return document.body.innerText");
            assert!(start.elapsed() < PATIENCE, "{script} never; {body}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn run(&mut self, script: &str) -> Value {
        let wanted = json!({ "script": script, "args": [] });
        self.send("WebDriver:ExecuteScript", &wanted)["value"].clone()
    }

    /// A command and its answer: `[0, number, name, parameters]`, `[1, number, error, result]`.
    fn send(&mut self, name: &str, parameters: &Value) -> Value {
        let message = json!([0, 1, name, parameters]).to_string();
        let packet = format!("{}:{message}", message.len());
        self.line.get_mut().write_all(packet.as_bytes()).unwrap();
        let answer = self.hear();
        assert_eq!(answer[2], Value::Null, "{name}: {answer}");
        answer[3].clone()
    }

    /// A packet: its length in bytes, a colon, JSON.
    fn hear(&mut self) -> Value {
        let mut length = Vec::new();
        self.line.read_until(b':', &mut length).unwrap();
        let length = String::from_utf8(length).unwrap();
        let length: usize = length.trim_end_matches(':').parse().unwrap();
        let mut packet = vec![0; length];
        self.line.read_exact(&mut packet).unwrap();
        serde_json::from_slice(&packet).unwrap()
    }
}

impl Drop for Firefox {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// The port that Firefox writes into its profile.
fn port(profile: &Path) -> u16 {
    let start = Instant::now();
    loop {
        let text = fs::read_to_string(profile.join("MarionetteActivePort")).unwrap_or_default();
        if let Ok(port) = text.trim().parse() {
            return port;
        }
        assert!(start.elapsed() < PATIENCE, "Firefox has no port");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn firefox_says_what_the_native_program_says_with_and_without_a_network() {
    let Some(url) = page() else { return };
    let Some(mut firefox) = Firefox::start() else {
        eprintln!("skipped: Firefox is missing: run `apt-get install firefox-esr`");
        return;
    };
    let captioner = native();
    let gate = Gate::before(&url);
    firefox.open(&format!("{}?engine=cpu", gate.url()));
    for picture in samples() {
        let expected = text(&captioner, Request::caption(fs::read(&picture).unwrap()));
        assert_eq!(firefox.caption(&picture), expected, "{}", picture.display());
    }
    firefox.until("return navigator.serviceWorker.controller !== null");
    gate.shut();
    firefox.open(&format!("{}?engine=cpu", gate.url()));
    let picture = &samples()[0];
    let expected = text(&captioner, Request::caption(fs::read(picture).unwrap()));
    assert_eq!(firefox.caption(picture), expected);
}
