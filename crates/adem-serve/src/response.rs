//! Finding and sending a file.

use crate::request::Request;
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Component, Path, PathBuf},
};

/// An answer: status line, headers, and where its body comes from.
pub(crate) struct Response {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Body,
}

enum Body {
    Text(String),
    Part(File, Range<u64>),
}

impl Response {
    /// The answer to `request` for a file under `root`.
    pub fn to(request: &Request, root: &Path) -> Self {
        if request.unsupported {
            return Response::refusal("405 Method Not Allowed");
        }
        let Some((path, file)) = request.path.as_deref().and_then(|path| open(root, path)) else {
            return Response::refusal("404 Not Found");
        };
        let Ok(length) = file.metadata().map(|metadata| metadata.len()) else {
            return Response::refusal("404 Not Found");
        };
        let mut headers = vec![
            ("Content-Type", media_type(&path).to_owned()),
            ("Accept-Ranges", "bytes".to_owned()),
            // A rebuilt page is seen at once; nothing here is meant to be kept.
            ("Cache-Control", "no-cache".to_owned()),
        ];
        let (status, part) = match request.range.as_deref().map(|range| parse(range, length)) {
            // A range of another unit, or several at once, may be ignored.
            None | Some(Asked::Other) => ("200 OK", 0..length),
            Some(Asked::Part(part)) => {
                headers.push((
                    "Content-Range",
                    format!("bytes {}-{}/{length}", part.start, part.end - 1),
                ));
                ("206 Partial Content", part)
            }
            Some(Asked::Beyond) => {
                let mut refusal = Response::refusal("416 Range Not Satisfiable");
                refusal
                    .headers
                    .push(("Content-Range", format!("bytes */{length}")));
                return refusal;
            }
        };
        Response {
            status,
            headers,
            body: Body::Part(file, part),
        }
    }

    fn refusal(status: &'static str) -> Self {
        Response {
            status,
            headers: vec![("Content-Type", "text/plain; charset=utf-8".to_owned())],
            body: Body::Text(format!("{status}\n")),
        }
    }

    /// Writes the answer; without its body where `head` says so.
    pub fn send(self, stream: &mut impl Write, head: bool) -> io::Result<()> {
        let length = match &self.body {
            Body::Text(text) => text.len() as u64,
            Body::Part(_, part) => part.end - part.start,
        };
        let mut text = format!("HTTP/1.1 {}\r\nContent-Length: {length}\r\n", self.status);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        stream.write_all(text.as_bytes())?;
        if head {
            return Ok(());
        }
        match self.body {
            Body::Text(text) => stream.write_all(text.as_bytes()),
            Body::Part(mut file, part) => {
                file.seek(SeekFrom::Start(part.start))?;
                io::copy(&mut file.take(length), stream).map(drop)
            }
        }
    }
}

/// The file that `path` names under `root`, a folder's `index.html` included. Nothing outside
/// `root` can be named.
fn open(root: &Path, path: &str) -> Option<(PathBuf, File)> {
    let relative = Path::new(path.trim_start_matches('/'));
    if !relative
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    {
        return None;
    }
    let mut found = root.join(relative).canonicalize().ok()?;
    if found.is_dir() {
        found.push("index.html");
    }
    if !found.starts_with(root) {
        return None;
    }
    File::open(&found).ok().map(|file| (found, file))
}

enum Asked {
    Part(Range<u64>),
    Beyond,
    Other,
}

/// The bytes that a `Range` header asks for of a file of `length` bytes.
fn parse(range: &str, length: u64) -> Asked {
    let Some((first, last)) = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
    else {
        return Asked::Other;
    };
    let part = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Ok(first), Err(_)) if last.is_empty() => first..length,
        (Err(_), Ok(suffix)) if first.is_empty() => length.saturating_sub(suffix)..length,
        _ => return Asked::Other,
    };
    if part.start < part.end {
        Asked::Part(part)
    } else {
        Asked::Beyond
    }
}

/// The media type that goes with a file's extension.
fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("webp") => "image/webp",
        Some("md" | "txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
