//! A folder as a browser sees it.
#![allow(clippy::unwrap_used)]

use adem_serve::Server;
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    thread,
};

/// A folder with two files, a secret beside it, and the server's `host:port`.
fn served() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("root")).unwrap();
    fs::write(folder.path().join("secret.txt"), "secret").unwrap();
    fs::write(folder.path().join("root/index.html"), "<p>hello").unwrap();
    fs::write(folder.path().join("root/engine.wasm"), "0123456789").unwrap();
    fs::write(folder.path().join("root/module.mjs"), "export {}").unwrap();
    let server = Server::bind(&folder.path().join("root"), 0).unwrap();
    let host = server
        .url()
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    thread::spawn(|| server.run());
    (folder, host)
}

/// The whole answer to one request.
fn ask(host: &str, request_line: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "{request_line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn files_come_with_their_media_type() {
    let (_folder, host) = served();
    let page = ask(&host, "GET /?engine=cpu", "");
    assert!(page.starts_with("HTTP/1.1 200") && page.ends_with("<p>hello"));
    assert!(page.contains("Content-Type: text/html"));
    let engine = ask(&host, "GET /engine.wasm", "");
    assert!(engine.contains("Content-Type: application/wasm") && engine.ends_with("0123456789"));
    let module = ask(&host, "GET /module.mjs", "");
    assert!(module.contains("Content-Type: text/javascript"));
}

#[test]
fn ranges_come_as_asked() {
    let (_folder, host) = served();
    for (range, bytes, part) in [
        ("bytes=2-4", "bytes 2-4/10", "\r\n\r\n234"),
        ("bytes=7-", "bytes 7-9/10", "\r\n\r\n789"),
        ("bytes=-2", "bytes 8-9/10", "\r\n\r\n89"),
        ("bytes=8-400", "bytes 8-9/10", "\r\n\r\n89"),
    ] {
        let answer = ask(&host, "GET /engine.wasm", &format!("Range: {range}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 206"), "{range}: {answer}");
        assert!(answer.contains(bytes) && answer.ends_with(part), "{answer}");
    }
    let beyond = ask(&host, "GET /engine.wasm", "Range: bytes=10-\r\n");
    assert!(beyond.starts_with("HTTP/1.1 416") && beyond.contains("bytes */10"));
}

#[test]
fn nothing_outside_the_folder_can_be_reached() {
    let (_folder, host) = served();
    for path in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/./../secret.txt",
        "//etc/passwd",
        "/absent",
        "/%",
    ] {
        let answer = ask(&host, &format!("GET {path}"), "");
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
}

#[test]
fn a_head_has_no_body_and_a_post_is_refused() {
    let (_folder, host) = served();
    let head = ask(&host, "HEAD /engine.wasm", "");
    assert!(head.contains("Content-Length: 10") && head.ends_with("\r\n\r\n"));
    assert!(ask(&host, "POST /engine.wasm", "").starts_with("HTTP/1.1 405"));
}

#[test]
fn one_connection_serves_many_requests() {
    let (_folder, host) = served();
    let mut stream = TcpStream::connect(&host).unwrap();
    let expected = "0123456789";
    for _ in 0..3 {
        write!(stream, "GET /engine.wasm HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        let mut answer = String::new();
        let mut byte = [0];
        while !answer.ends_with(expected) {
            stream.read_exact(&mut byte).unwrap();
            answer.push(char::from(byte[0]));
        }
        assert!(answer.starts_with("HTTP/1.1 200"));
    }
}
