//! The program in a folder of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use adem_pipeline::testing::write_tiny_package;
use serde_json::Value;

#[path = "../../../../tests/faults/pictures.rs"]
#[allow(dead_code)]
pub mod pictures;

/// A folder with a tiny package in `package` and an ordinary picture.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        write_tiny_package(&place.path("package"), 5).unwrap();
        place.put("picture.png", &pictures::ordinary());
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Four pictures with a caption each, `captions.jsonl`.
    pub fn put_data_set(&self) {
        fs::create_dir(self.path("images")).unwrap();
        let mut rows = String::new();
        for i in 0..4 {
            let copy = self.path("images").join(format!("{i}.png"));
            fs::copy(self.path("picture.png"), copy).unwrap();
            rows += &format!("{{\"image\": \"{i}.png\", \"caption\": \"picture number {i}\"}}\n");
        }
        self.put("captions.jsonl", rows.as_bytes());
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adem"));
        command
            .args(args)
            .current_dir(self.0.path())
            .env("ADEM_PACKAGE", self.path("package"));
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).stdin(Stdio::null()).output().unwrap())
    }
}

#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            status: output.status.code().expect("the program ended by itself"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn objects(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

pub fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
    assert!(!message.contains("panicked"), "{message}");
}
