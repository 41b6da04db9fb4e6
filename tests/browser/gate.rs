//! A network that can be cut: a gate between the browser and the page's server.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

/// Bytes of an answer that still come through before it is cut.
const LET_THROUGH: usize = 100_000;

/// A gate. What goes through it is counted, and can be stopped.
pub struct Gate {
    state: Arc<State>,
    address: SocketAddr,
}

#[derive(Default)]
struct State {
    shut: AtomicBool,
    cuts: AtomicU32,
    requests: Mutex<Vec<String>>,
}

impl Gate {
    /// A gate before the server at `url` (`http://127.0.0.1:PORT/`).
    pub fn before(url: &str) -> Self {
        let server = url.trim_start_matches("http://").trim_end_matches('/');
        let server: SocketAddr = server.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for visitor in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || {
                    // A connection that breaks is what this is about.
                    let _ = converse(&state, visitor, server);
                });
            }
        });
        Gate { state, address }
    }

    /// The address of the page behind the gate.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// From here on nothing comes through.
    pub fn shut(&self) {
        self.state.shut.store(true, Ordering::SeqCst);
    }

    /// Cuts the next answers for parts of weights that are long enough, so many of them.
    pub fn cut(&self, answers: u32) {
        self.state.cuts.store(answers, Ordering::SeqCst);
    }

    /// How many cuts are still to come.
    pub fn cuts_left(&self) -> u32 {
        self.state.cuts.load(Ordering::SeqCst)
    }

    /// Paths that were asked for since the last call.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.requests.lock().unwrap())
    }
}

/// Hands on requests, each one whole, and their answers, until either side has enough.
fn converse(state: &State, mut visitor: TcpStream, server: SocketAddr) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect(server)?;
    loop {
        let Some(head) = read_head(&mut visitor)? else {
            return Ok(());
        };
        if state.shut.load(Ordering::SeqCst) {
            return visitor.shutdown(Shutdown::Both);
        }
        let path = head
            .split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        let is_part = path.contains("weights") && head.to_lowercase().contains("\r\nrange:");
        state.requests.lock().unwrap().push(path);
        upstream.write_all(head.as_bytes())?;
        let Some(answer) = read_head(&mut upstream)? else {
            return visitor.shutdown(Shutdown::Both);
        };
        let length = length_of(&answer);
        visitor.write_all(answer.as_bytes())?;
        let cut = is_part && length > LET_THROUGH && take_cut(state);
        let mut left = if cut { LET_THROUGH } else { length };
        let mut part = vec![0; 1 << 16];
        while left > 0 {
            let most = left.min(part.len());
            let read = upstream.read(&mut part[..most])?;
            if read == 0 {
                break;
            }
            visitor.write_all(&part[..read])?;
            left -= read;
        }
        if cut {
            return visitor.shutdown(Shutdown::Both);
        }
    }
}

fn take_cut(state: &State) -> bool {
    let less = |cuts: u32| cuts.checked_sub(1);
    let taken = state
        .cuts
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
    taken.is_ok()
}

/// The head of a message, byte by byte so that nothing of its body is taken.
fn read_head(stream: &mut TcpStream) -> std::io::Result<Option<String>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

fn length_of(head: &str) -> usize {
    head.to_lowercase()
        .split_once("content-length:")
        .and_then(|(_, rest)| rest.lines().next()?.trim().parse().ok())
        .unwrap_or(0)
}
