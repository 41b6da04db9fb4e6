//! Packages behind an HTTP address.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use adem_package::{
    Dtype, Http, MANIFEST_FILE, Package, PackageError, SourceError, WeightSource, Weights,
    WriteOptions, limits, write,
};
use pollster::block_on;

use crate::craft::{TOKENIZER, draft, files, names, tensor};
use crate::server::{Manner, Server};

const SHARD: &str = "weights-00001-of-00001.safetensors";

/// A package whose one shard takes two parts, and the values in it.
fn package() -> (BTreeMap<String, Vec<u8>>, Vec<f32>) {
    let folder = tempfile::tempdir().unwrap();
    let big = tensor("big", &[(limits::PART_BYTES / 4) as usize + 1000], 3);
    let values = big.data.clone();
    let options = WriteOptions {
        dtype: Dtype::F32,
        shard_bytes: limits::SHARD_BYTES,
    };
    write(folder.path(), draft(), TOKENIZER, [big], &options).unwrap();
    (files(folder.path()), values)
}

async fn load(server: &Server) -> Result<Weights, PackageError> {
    let package = Package::open(Http::new(&server.url)?).await?;
    package.load_weights(|_| {}).await
}

fn refused(manner: Manner) -> PackageError {
    let server = Server::start(package().0, manner);
    let error = block_on(load(&server)).expect_err("the package loads");
    names(&error, &[SHARD]);
    error
}

#[test]
fn a_package_loads_in_parts() {
    let (files, values) = package();
    let length = files[SHARD].len() as u64;
    let server = Server::start(files, Manner::Proper);
    let mut weights = block_on(load(&server)).unwrap();
    assert!(weights.take("big", &[values.len()]).unwrap() == values);
    let part = limits::PART_BYTES;
    let expected = [
        "bytes=0-0".to_owned(),
        format!("bytes=0-{}", part - 1),
        format!("bytes={part}-{}", length - 1),
    ];
    assert_eq!(*server.asked.lock().unwrap(), expected);
}

#[test]
fn a_server_that_ignores_ranges_is_asked_once() {
    let (files, values) = package();
    let server = Server::start(files, Manner::IgnoresRange);
    let mut weights = block_on(load(&server)).unwrap();
    assert!(weights.take("big", &[values.len()]).unwrap() == values);
    assert_eq!(server.asked.lock().unwrap().len(), 1);
}

#[test]
fn servers_that_recover_redirect_or_keep_the_length_to_themselves_are_put_up_with() {
    for manner in [
        Manner::DropsAtFirst,
        Manner::BusyAtFirst,
        Manner::Redirects,
        Manner::UnknownLength,
    ] {
        let (files, values) = package();
        let server = Server::start(files, manner);
        let mut weights = block_on(load(&server)).unwrap_or_else(|e| panic!("{manner:?}: {e}"));
        assert!(weights.take("big", &[values.len()]).unwrap() == values);
    }
}

#[test]
fn a_missing_shard_is_not_found() {
    let error = refused(Manner::NotFound);
    assert!(
        matches!(error, PackageError::Source(SourceError::NotFound { .. })),
        "{error}"
    );
}

#[test]
fn a_refusal_is_reported_with_its_status() {
    let error = refused(Manner::Forbidden);
    assert!(
        matches!(
            error,
            PackageError::Source(SourceError::Status { status: 403, .. })
        ),
        "{error}"
    );
}

#[test]
fn a_body_shorter_than_its_part_is_short() {
    let error = refused(Manner::ShortBody);
    assert!(
        matches!(error, PackageError::Source(SourceError::Short { .. })),
        "{error}"
    );
}

#[test]
fn other_bytes_than_those_asked_for_are_refused() {
    for manner in [Manner::WrongRange, Manner::NoRange, Manner::LongBody] {
        let error = refused(manner);
        assert!(
            matches!(
                error,
                PackageError::Source(SourceError::ContentRange { .. })
            ),
            "{manner:?}: {error}"
        );
        names(&error, &["0-0"]);
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_refused() {
    for manner in [Manner::ChangesLength, Manner::Shrinks] {
        let error = refused(manner);
        assert!(
            matches!(error, PackageError::Source(SourceError::Changed { .. })),
            "{manner:?}: {error}"
        );
    }
}

#[test]
fn a_server_that_stays_busy_is_given_up_after_four_attempts() {
    let server = Server::start(package().0, Manner::BusyAlways);
    let error = block_on(load(&server)).unwrap_err();
    assert!(
        matches!(error, PackageError::Source(SourceError::Transport { .. })),
        "{error}"
    );
    names(&error, &[SHARD, "4 attempts", "503"]);
    assert_eq!(server.asked.lock().unwrap().len(), 4);
}

#[test]
fn a_place_without_a_server_or_a_package_is_named() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let nobody = format!("http://127.0.0.1:{port}/model/");
    let error = block_on(Package::open(Http::new(&nobody).unwrap())).unwrap_err();
    names(&error, &[&nobody, MANIFEST_FILE, "4 attempts"]);

    let empty = Server::start(BTreeMap::new(), Manner::Proper);
    let error = block_on(Package::open(Http::new(&empty.url).unwrap())).unwrap_err();
    assert!(
        matches!(error, PackageError::Source(SourceError::NotFound { .. })),
        "{error}"
    );
    names(&error, &[&empty.url, MANIFEST_FILE]);
}

/// Answers whatever comes in the clear; returns its address.
fn plain_server() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    address
}

#[test]
fn a_secure_address_whose_server_knows_no_tls_is_refused_at_once() {
    let base = format!("https://{}/model/", plain_server());
    let error = block_on(Package::open(Http::new(&base).unwrap())).unwrap_err();
    let why = "in 1 attempts: no secure connection";
    names(&error, &[&base, MANIFEST_FILE, why]);
}

#[test]
fn addresses_this_build_cannot_read_say_what_to_do() {
    for (base, reason) in [
        ("ftp://example.org/model", "http://"),
        ("models/scenes", "http://"),
        ("http://example.org/model?version=2", "no query"),
        ("http://example.org/model#x", "no fragment"),
        ("https://example.org/model#x", "no fragment"),
    ] {
        let error = Http::new(base).unwrap_err();
        names(&error.into(), &[base, reason]);
    }
}

#[test]
fn ranges_are_answered_exactly() {
    let (files, _) = package();
    let bytes = files[SHARD].clone();
    let length = bytes.len() as u64;
    for manner in [Manner::Proper, Manner::IgnoresRange] {
        let server = Server::start(files.clone(), manner);
        let source = Http::new(&server.url).unwrap();
        let read = |range| block_on(source.read(SHARD, range));
        assert_eq!(block_on(source.len(SHARD)).unwrap(), length);
        assert_eq!(read(5..9).unwrap(), bytes[5..9]);
        assert_eq!(read(length - 3..length).unwrap(), bytes[bytes.len() - 3..]);
        assert_eq!(read(7..7).unwrap(), b"");
        let beyond = read(length - 3..length + 1).unwrap_err();
        assert!(
            matches!(beyond, SourceError::Short { .. }),
            "{manner:?}: {beyond}"
        );
        let outside = block_on(source.read("../secret", 0..1)).unwrap_err();
        assert!(matches!(outside, SourceError::Name { .. }), "{outside}");
    }
}
