//! A hub of one model on this machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use sha1::Digest as _;

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server does, and what it was asked.
#[derive(Default)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Files that are listed with the digest of other bytes.
    pub damaged: Vec<String>,
    /// Bytes after which a connection breaks off, once each.
    pub cuts: Vec<usize>,
    /// Range requests are not understood.
    pub no_ranges: bool,
    /// Answers with this instead of files.
    pub status: Option<u16>,
    /// Whoever has this token may read.
    pub token: Option<String>,
    /// Path and range of each request for a file.
    pub asked: Vec<(String, Option<String>)>,
    pub listed: usize,
    /// Requests for the list that are answered with 503 first.
    pub busy: usize,
}

pub struct Hub {
    pub address: String,
    pub state: Arc<Mutex<State>>,
}

impl Hub {
    pub fn new(files: &[(&str, Vec<u8>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let files = files
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), bytes.clone()));
        let state = Arc::new(Mutex::new(State {
            files: files.collect(),
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || stream.map(|stream| answer(stream, &shared)));
            }
        });
        Self { address, state }
    }

    /// Requests for files since this was asked last.
    pub fn asked(&self) -> Vec<(String, Option<String>)> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Large files go by their SHA-256, others by Git's name.
pub fn digest(name: &str, bytes: &[u8]) -> String {
    match name.ends_with(".json") {
        false => hex(sha2::Sha256::digest(bytes)),
        true => {
            let head = format!("blob {}\0", bytes.len());
            hex(sha1::Sha1::digest([head.as_bytes(), bytes].concat()))
        }
    }
}

fn listing(state: &State) -> Value {
    let siblings = state.files.iter().map(|(name, bytes)| {
        let digest = match state.damaged.contains(name) {
            true => digest(name, b"other bytes"),
            false => digest(name, bytes),
        };
        match name.ends_with(".json") {
            true => json!({"rfilename": name, "size": bytes.len(), "blobId": digest}),
            false => json!({"rfilename": name, "size": bytes.len(), "blobId": "f".repeat(40),
                "lfs": {"sha256": digest, "size": bytes.len(), "pointerSize": 130}}),
        }
    });
    json!({"sha": COMMIT, "siblings": siblings.collect::<Vec<_>>()})
}

fn answer(stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let path = lines[0].split(' ').nth(1)?.to_owned();
    let header = |name: &str| {
        let mut found = lines.iter().filter_map(|line| line.split_once(": "));
        found
            .find(|it| it.0.eq_ignore_ascii_case(name))
            .map(|it| it.1.to_owned())
    };
    let mut state = state.lock().unwrap();
    let allowed = match &state.token {
        Some(token) => header("Authorization") == Some(format!("Bearer {token}")),
        None => true,
    };
    let mut stream = stream;
    let mut send = |status: u16, more: &str, body: &[u8], sent: usize| {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(&body[..sent.min(length)]).ok()
    };
    let all = usize::MAX;
    if path == "/api/models/someone/model/revision/main?blobs=true" {
        state.listed += 1;
        if state.listed <= state.busy {
            return send(503, "", b"busy", all);
        }
        return send(200, "", listing(&state).to_string().as_bytes(), all);
    }
    let file = path.strip_prefix(&format!("/someone/model/resolve/{COMMIT}/"));
    let Some(bytes) = file.and_then(|file| state.files.get(file).cloned()) else {
        return send(404, "", b"Repository not found", all);
    };
    let range = header("Range");
    state.asked.push((file?.to_owned(), range.clone()));
    if let Some(status) = state.status {
        return send(status, "", b"no", all);
    }
    if !allowed {
        return send(401, "", b"Access to model is restricted", all);
    }
    let from = range.as_ref().filter(|_| !state.no_ranges);
    let from = from.and_then(|it| it.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let cut = match state.cuts.is_empty() {
        true => all,
        false => state.cuts.remove(0),
    };
    match from {
        Some(from) if from >= bytes.len() => send(416, "", b"", all),
        Some(from) => {
            let more = format!(
                "Content-Range: bytes {from}-{}/{}\r\n",
                bytes.len() - 1,
                bytes.len()
            );
            send(206, &more, &bytes[from..], cut)
        }
        None => send(200, "", &bytes, cut),
    }
}
