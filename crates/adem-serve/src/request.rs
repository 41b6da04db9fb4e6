//! Reading a request.

use std::io::{self, BufRead, Read};

/// Longest request head that is read; browsers send about 1 kB.
const LONGEST_HEAD: u64 = 16 * 1024;

/// What of a request matters for a static file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Path without query, percent-decoded, starting with `/`; `None` where it makes no sense.
    pub path: Option<String>,
    /// `HEAD`: the answer's body stays away.
    pub head: bool,
    /// Neither `GET` nor `HEAD`.
    pub unsupported: bool,
    /// The `Range` header's value.
    pub range: Option<String>,
    /// Whether the connection ends with the answer.
    pub close: bool,
}

impl Request {
    /// The next request, or `None` where the visitor has hung up or talks something else.
    pub fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut head = reader.take(LONGEST_HEAD);
        let mut line = String::new();
        head.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Ok(None);
        };
        let mut request = Request {
            path: decode(target.split(['?', '#']).next().unwrap_or(target)),
            head: method == "HEAD",
            unsupported: !matches!(method, "GET" | "HEAD"),
            range: None,
            close: false,
        };
        loop {
            line.clear();
            if head.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let header = line.trim_end();
            if header.is_empty() {
                return Ok(Some(request));
            }
            let Some((name, value)) = header.split_once(':') else {
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "range" => request.range = Some(value.trim().to_owned()),
                "connection" => request.close = value.trim().eq_ignore_ascii_case("close"),
                // A body would be taken for the next request.
                "content-length" | "transfer-encoding" => request.close = true,
                _ => {}
            }
        }
    }
}

/// `%20` and the like undone; `None` where that gives no text.
fn decode(path: &str) -> Option<String> {
    let mut bytes = path.bytes();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(decoded)
        .ok()
        .filter(|path| path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> Option<Request> {
        Request::read(&mut text.as_bytes()).unwrap()
    }

    #[test]
    fn the_path_comes_without_query_and_escapes() {
        let request =
            read("GET /a%20b/c.png?v=1 HTTP/1.1\r\nHost: x\r\nRange: bytes=0-3\r\n\r\n").unwrap();
        assert_eq!(request.path.as_deref(), Some("/a b/c.png"));
        assert_eq!(request.range.as_deref(), Some("bytes=0-3"));
        assert!(!request.head && !request.close && !request.unsupported);
    }

    #[test]
    fn broken_escapes_have_no_path() {
        for target in ["/%", "/%4", "/%zz", "/%ff", "http://elsewhere/"] {
            let request = read(&format!("GET {target} HTTP/1.1\r\n\r\n")).unwrap();
            assert_eq!(request.path, None, "{target}");
        }
    }

    #[test]
    fn an_endless_head_is_not_read_to_its_end() {
        let endless = format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(100_000));
        assert_eq!(read(&endless), None);
    }
}
