//! Shards from a server: streamed, continued where they stopped, and refused by name.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use adem_data::datasets::{Captions, DataError, DataSource, Mark, Part, Shards};

use crate::support::{Folder, draw, order, record, shards, strict, tar, write_shards};

/// How the server behaves.
#[derive(Clone, Copy, Default)]
struct Manner {
    /// Answers requests for a part with that part.
    ranges: bool,
    /// Hangs up after so many bytes of each body.
    hangs_up: Option<usize>,
    /// Sends everybody on to `/moved/`.
    moved: bool,
}

/// Serves one file; returns its address and the ranges asked for.
fn serve(content: Vec<u8>, manner: Manner) -> (String, Arc<Mutex<Vec<Option<usize>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that went away is no affair of the test's.
            let _ = stream.map(|stream| answer(stream, &content, manner, &log));
        }
    });
    (format!("http://{address}"), asked)
}

fn answer(
    mut stream: TcpStream,
    content: &[u8],
    manner: Manner,
    log: &Mutex<Vec<Option<usize>>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut from = None;
    for line in lines {
        let line = line?.to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().ok();
        }
    }
    log.lock().unwrap().push(from);
    if !request.contains("/s.tar") {
        return stream.write_all(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
    }
    if manner.moved && !request.contains("/moved/") {
        return stream.write_all(
            b"HTTP/1.1 302 Found\r\nLocation: /moved/s.tar\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
    }
    let (status, start) = match from {
        Some(from) if manner.ranges && from >= content.len() => {
            let head = format!(
                "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                content.len()
            );
            return stream.write_all(head.as_bytes());
        }
        Some(from) if manner.ranges => ("206 Partial Content", from),
        _ => ("200 OK", 0),
    };
    let body = &content[start..];
    let range = format!(
        "Content-Range: bytes {start}-{}/{}\r\n",
        content.len() - 1,
        content.len()
    );
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{}Connection: close\r\n\r\n",
        body.len(),
        if start > 0 { &range } else { "" }
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body[..manner.hangs_up.unwrap_or(body.len()).min(body.len())])?;
    stream.flush()?;
    // Wait for the other side, so that what was sent is not lost.
    stream.shutdown(std::net::Shutdown::Write)?;
    let _ = stream.read(&mut [0]);
    Ok(())
}

fn content() -> Vec<u8> {
    let records = (0..40).flat_map(|r| record(&format!("{r:03}"), 2, &[5; 3000]));
    tar(&records.collect::<Vec<_>>())
}

fn source(url: &str, path: &str) -> Shards {
    let pattern = format!("{url}/{path}");
    Shards::new(&[pattern], ".".as_ref(), Captions::Each, 8, None).unwrap()
}

#[test]
fn a_served_shard_reads_like_a_local_one_and_continues_by_range() {
    let folder = Folder::new();
    folder.write("s.tar", content());
    let local = shards(&folder, &["s.tar".into()], Captions::Each, 8).unwrap();
    let order = order(3, 1, true, Part::WHOLE);
    let expected = draw(&local, &order, &Mark::default(), &strict());
    for ranges in [true, false] {
        let (url, asked) = serve(
            content(),
            Manner {
                ranges,
                ..Manner::default()
            },
        );
        let served = source(&url, "s.tar");
        assert_eq!(served.samples().unwrap(), None);
        let same = |from: &Mark, rest: usize| {
            let drawn = draw(&served, &order, from, &strict());
            assert_eq!(drawn.len(), expected.len() - rest);
            for ((a, at), (b, bt)) in drawn.iter().zip(&expected[rest..]) {
                assert_eq!(
                    (&a.id, a.turn, &a.targets, &a.picture, at),
                    (&b.id, b.turn, &b.targets, &b.picture, bt)
                );
            }
        };
        same(&Mark::default(), 0);
        asked.lock().unwrap().clear();
        same(&expected[60].1, 61);
        let from = Some(expected[60].1.byte as usize);
        assert_eq!(*asked.lock().unwrap(), [from]);
    }
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let (url, asked) = serve(
        content(),
        Manner {
            ranges: true,
            hangs_up: Some(50_000),
            ..Manner::default()
        },
    );
    let order = order(0, 0, false, Part::WHOLE);
    let drawn = draw(&source(&url, "s.tar"), &order, &Mark::default(), &strict());
    assert_eq!(drawn.len(), 80);
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked[..3], [None, Some(50_000), Some(100_000)]);
}

#[test]
fn what_the_server_does_not_have_is_an_error_with_its_address() {
    let (url, _) = serve(
        content(),
        Manner {
            ranges: true,
            ..Manner::default()
        },
    );
    let order = order(0, 0, false, Part::WHOLE);
    let mut records = source(&url, "other.tar")
        .records(&order, &Mark::default(), &strict())
        .unwrap();
    let error = records.next().unwrap_err();
    assert!(matches!(error, DataError::Http { .. }), "{error:?}");
    let message = error.to_string();
    assert!(
        message.contains("other.tar") && message.contains("404"),
        "{message}"
    );
}

#[test]
fn a_redirect_is_followed_with_the_range() {
    let manner = Manner {
        ranges: true,
        hangs_up: Some(70_000),
        moved: true,
    };
    let (url, asked) = serve(content(), manner);
    let order = order(0, 0, false, Part::WHOLE);
    let drawn = draw(&source(&url, "s.tar"), &order, &Mark::default(), &strict());
    assert_eq!(drawn.len(), 80);
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked[..4], [None, None, Some(70_000), Some(70_000)]);
}

#[test]
fn a_secure_address_whose_server_knows_no_tls_is_refused_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let visits = Arc::new(Mutex::new(0));
    let count = Arc::clone(&visits);
    thread::spawn(move || {
        for stream in listener.incoming() {
            *count.lock().unwrap() += 1;
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    for scheme in ["https", "HTTPS"] {
        let url = format!("{scheme}://{address}");
        let mut records = source(&url, "s.tar")
            .records(
                &order(0, 0, false, Part::WHOLE),
                &Mark::default(),
                &strict(),
            )
            .unwrap();
        let error = records.next().unwrap_err();
        assert!(matches!(error, DataError::Http { .. }), "{error:?}");
        let message = error.to_string();
        assert!(
            message.contains(&format!("{url}/s.tar: no secure connection")),
            "{message}"
        );
    }
    assert_eq!(*visits.lock().unwrap(), 2);
}

#[test]
fn local_and_served_shards_mix_and_other_schemes_are_refused() {
    let folder = Folder::new();
    let mut names = write_shards(&folder, &[2], 2, b"x");
    let (url, _) = serve(
        content(),
        Manner {
            ranges: true,
            ..Manner::default()
        },
    );
    names.push(format!("{url}/{{s,s}}.tar"));
    let mixed = shards(&folder, &names, Captions::Each, 8).unwrap();
    let order = order(0, 0, true, Part::WHOLE);
    assert_eq!(
        draw(&mixed, &order, &Mark::default(), &strict()).len(),
        4 + 80 + 80
    );
    let error = shards(&folder, &["s3://bucket/a.tar".into()], Captions::Each, 8).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("s3://bucket/a.tar") && message.contains("https://"),
        "{message}"
    );
}
