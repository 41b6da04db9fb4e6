//! A small HTTP server with the manners, good and bad, of real ones.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// How a server answers a range request for a shard; every other file is served properly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// 206 with the part asked for.
    Proper,
    /// 206 where the length of the file is `*`, but for the first request.
    UnknownLength,
    /// 200 with the whole file.
    IgnoresRange,
    /// 200 with less than the whole file after the first request.
    Shrinks,
    /// 206 with a body that ends early, and says so.
    ShortBody,
    /// 206 with a body longer than the part.
    LongBody,
    /// 404.
    NotFound,
    /// 403.
    Forbidden,
    /// 206 for other bytes than those asked for.
    WrongRange,
    /// 206 without Content-Range.
    NoRange,
    /// 206 of a file whose length changes after the first request.
    ChangesLength,
    /// Closes the connection in the middle of the first answers, then serves properly.
    DropsAtFirst,
    /// 503 at first, then serves properly.
    BusyAtFirst,
    /// 503 always.
    BusyAlways,
    /// 302 to the same file below `/moved/`.
    Redirects,
}

/// A server on a port of its own, until the process ends.
pub struct Server {
    pub url: String,
    /// Every request for a shard: its Range header.
    pub asked: Arc<Mutex<Vec<String>>>,
}

type Files = BTreeMap<String, Vec<u8>>;

impl Server {
    pub fn start(files: Files, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/model", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            let shared = Arc::new((files, AtomicUsize::new(0)));
            for stream in listener.incoming() {
                let (shared, log) = (Arc::clone(&shared), Arc::clone(&log));
                thread::spawn(move || serve(stream.unwrap(), &shared.0, &shared.1, manner, &log));
            }
        });
        Self { url, asked }
    }
}

/// Answers requests until the connection ends.
fn serve(
    mut stream: TcpStream,
    files: &Files,
    count: &AtomicUsize,
    manner: Manner,
    log: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut request = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            request.push(line.trim().to_owned());
        }
        let path = request.first()?.split(' ').nth(1)?;
        let range = request.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("range")
                .then(|| value.trim().to_owned())
        })?;
        let file = path.rsplit('/').next()?;
        let manner = if file.starts_with("weights-") {
            manner
        } else {
            Manner::Proper
        };
        let moved = path.starts_with("/moved/");
        if file.starts_with("weights-") && !moved {
            log.lock().unwrap().push(range.clone());
        }
        let nth = match manner {
            Manner::Proper => 0,
            _ => count.fetch_add(1, Ordering::SeqCst),
        };
        let Some(bytes) = files.get(file).filter(|_| manner != Manner::NotFound) else {
            send(&mut stream, "404 Not Found", "", b"no such file", 12)?;
            continue;
        };
        let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
        let start: usize = start.parse().ok()?;
        let end = (end.parse::<usize>().ok()? + 1).min(bytes.len());
        let total = bytes.len();
        let part = bytes.get(start..end)?;
        let content_range = format!("Content-Range: bytes {start}-{}/{total}\r\n", end - 1);
        let partial = "206 Partial Content";
        let mut answer = |status: &str, headers: &str, body: &[u8]| {
            send(&mut stream, status, headers, body, body.len())
        };
        match manner {
            Manner::IgnoresRange => answer("200 OK", "", bytes)?,
            Manner::Shrinks if nth == 0 => answer(partial, &content_range, part)?,
            Manner::Shrinks => answer("200 OK", "", &bytes[..total - 1])?,
            Manner::ShortBody => answer(partial, &content_range, &part[..part.len() - 1])?,
            Manner::LongBody => answer(partial, &content_range, &[part, b"more"].concat())?,
            Manner::Forbidden => answer("403 Forbidden", "", b"")?,
            Manner::WrongRange => {
                let other = format!("Content-Range: bytes {}-{end}/{total}\r\n", start + 1);
                answer(partial, &other, part)?;
            }
            Manner::NoRange => answer(partial, "", part)?,
            Manner::UnknownLength if nth > 0 => {
                let unknown = format!("Content-Range: bytes {start}-{}/*\r\n", end - 1);
                answer(partial, &unknown, part)?;
            }
            Manner::ChangesLength if nth > 0 => {
                let longer = format!("Content-Range: bytes {start}-{}/{}\r\n", end - 1, total + 1);
                answer(partial, &longer, part)?;
            }
            Manner::DropsAtFirst if nth == 0 => return None,
            Manner::DropsAtFirst if nth == 2 => {
                send(
                    &mut stream,
                    partial,
                    &content_range,
                    &part[..part.len() / 2],
                    part.len(),
                )?;
                return None;
            }
            Manner::BusyAlways => answer("503 Service Unavailable", "", b"")?,
            Manner::BusyAtFirst if nth < 2 => answer("503 Service Unavailable", "", b"")?,
            Manner::Redirects if !moved => {
                answer("302 Found", &format!("Location: /moved/{file}\r\n"), b"")?;
            }
            _ => answer(partial, &content_range, part)?,
        }
    }
}

fn send(
    stream: &mut TcpStream,
    status: &str,
    headers: &str,
    body: &[u8],
    length: usize,
) -> Option<()> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()
}
