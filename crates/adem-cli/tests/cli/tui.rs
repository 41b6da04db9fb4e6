//! The interface on the whole terminal, on a terminal of `script`'s making.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::place::{Place, assert_says};
use crate::training::TINY_RUN;

/// A run without an end at a terminal of 120 columns.
struct Seat {
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Seat {
    /// `None`, said, where there is no `script`.
    fn take(place: &Place) -> Option<Self> {
        place.put_data_set();
        let run = TINY_RUN.replace("[tune]\nepochs = 1", "[tune]\nepochs = 100000");
        let run = run + "[save]\nreport_seconds = 0\n";
        place.put("run.toml", run.as_bytes());
        let adem = env!("CARGO_BIN_EXE_adem");
        let line = format!("stty rows 40 cols 120; exec '{adem}' train run.toml --out out --tui");
        let child = Command::new("script")
            .args(["-qefc", &line, "/dev/null"])
            .current_dir(place.path("."))
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            println!("skipped: `script` (Debian's bsdutils) is not here");
            return None;
        };
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut out, kept) = (child.stdout.take().unwrap(), Arc::clone(&shown));
        thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(n @ 1..) = out.read(&mut some) {
                kept.lock().unwrap().extend_from_slice(&some[..n]);
            }
        });
        Some(Self { child, shown })
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    fn wait_for(&mut self, words: &str) {
        let start = Instant::now();
        while !self.shown().contains(words) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", self.shown());
            let passed = start.elapsed();
            assert!(passed < Duration::from_secs(120), "{}", self.shown());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn type_in(&mut self, keys: &[u8]) {
        let keyboard = self.child.stdin.as_mut().unwrap();
        keyboard.write_all(keys).unwrap();
        keyboard.flush().unwrap();
    }

    /// The end of a run that was asked to stop: its checkpoint is there, the screen is given back.
    fn ends_stopped(mut self, place: &Place) {
        let status = self.child.wait().unwrap();
        let shown = self.shown();
        assert_eq!(status.code(), Some(130), "{shown}");
        let after = shown.rsplit("\u{1b}[?1049l").next().unwrap();
        assert_says(after, &["the same command goes on from here"]);
        assert!(place.path("out/tune.safetensors").exists());
    }
}

const LEAVE: &str = "\u{1b}[?1049l";

#[test]
fn curves_are_shown_and_q_stops_with_a_checkpoint() {
    let place = Place::new();
    let Some(mut seat) = Seat::take(&place) else {
        return;
    };
    for words in ["Samples/s", "Learning rate", "Time left", "Memory", "tune"] {
        seat.wait_for(words);
    }
    assert!(seat.shown().contains(LEAVE), "a screen for each stage");
    seat.type_in(b"q");
    seat.wait_for("Stop the training.");
    seat.type_in(b"s");
    seat.ends_stopped(&place);
}

#[test]
fn control_c_stops_with_a_checkpoint_too() {
    let place = Place::new();
    let Some(mut seat) = Seat::take(&place) else {
        return;
    };
    seat.wait_for("tune");
    seat.wait_for("Memory");
    seat.type_in(b"\x03");
    seat.ends_stopped(&place);
}

#[test]
fn without_a_terminal_it_is_refused() {
    let place = Place::new();
    place.put_data_set();
    place.put("run.toml", TINY_RUN.as_bytes());
    let ran = place.run(&["train", "run.toml", "--tui"]);
    assert_eq!(ran.status, 2);
    assert_says(&ran.err, &["--tui", "terminal"]);
}
