//! Bad input gets a clear refusal, and nothing else is disturbed by it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod device;
mod fragile;
mod packages;
mod pictures;

use std::path::Path;

use adem_package::Folder;
use adem_pipeline::testing::write_tiny_package;
use adem_pipeline::{Captioner, PipelineError, Request};
use burn::tensor::Device;

fn load(folder: &Path) -> Result<Captioner, PipelineError> {
    pollster::block_on(Captioner::load(
        Folder::new(folder),
        |_| {},
        &Device::flex(),
    ))
}

fn tiny() -> (tempfile::TempDir, Captioner) {
    let folder = tempfile::tempdir().unwrap();
    write_tiny_package(folder.path(), 6).unwrap();
    let captioner = load(folder.path()).unwrap();
    (folder, captioner)
}

fn run(captioner: &Captioner, request: Request) -> Result<String, PipelineError> {
    let session = captioner.start(request)?;
    pollster::block_on(session.finish()).map(|outcome| outcome.text)
}

fn assert_says(message: &str, words: &[&str], about: &str) {
    for word in words {
        assert!(
            message.contains(word),
            "{about}: {word:?} is not in {message:?}"
        );
    }
}

#[test]
fn broken_pictures_are_refused_in_words_and_the_next_is_captioned_as_ever() {
    let (_folder, captioner) = tiny();
    let caption = || run(&captioner, Request::caption(pictures::ordinary())).unwrap();
    let before = caption();
    for broken in pictures::broken() {
        let error = run(&captioner, Request::caption(broken.bytes)).unwrap_err();
        assert!(
            matches!(error, PipelineError::Picture(_)),
            "{}: {error}",
            broken.file
        );
        assert_says(&error.to_string(), broken.says, broken.file);
        assert_eq!(caption(), before);
    }
}

#[test]
fn odd_pictures_are_captioned_as_the_plain_ones_they_show() {
    let (_folder, captioner) = tiny();
    for odd in pictures::odd() {
        let caption = run(&captioner, Request::caption(odd.bytes)).unwrap();
        let plain = run(&captioner, Request::caption(odd.plain)).unwrap();
        assert_eq!(caption, plain, "{}", odd.file);
    }
    run(&captioner, Request::caption(pictures::one_pixel())).unwrap();
}

#[test]
fn the_tiny_model_tells_odd_pictures_apart() {
    // Or the comparison above would hold for a model that sees nothing.
    let (_folder, captioner) = tiny();
    let caption = |odd: pictures::Odd| run(&captioner, Request::caption(odd.bytes)).unwrap();
    let captions: std::collections::HashSet<_> = pictures::odd().into_iter().map(caption).collect();
    assert!(captions.len() > 1, "{captions:?}");
}

#[test]
fn questions_that_cannot_be_asked_are_refused_in_words() {
    let (_folder, captioner) = tiny();
    let ask = |question: &str| {
        run(
            &captioner,
            Request::question(pictures::ordinary(), question),
        )
        .map_err(|e| e.to_string())
    };
    let before = ask("how many circles are there?").unwrap();
    for empty in ["", "  \t\n"] {
        assert_says(
            &ask(empty).unwrap_err(),
            &["the question is empty"],
            "empty question",
        );
    }
    let words = "word ".repeat(10_000);
    let says = ["too long", "10000 words", "shorten the question"];
    assert_says(&ask(&words).unwrap_err(), &says, "10,000 words");
    assert_eq!(ask("how many circles are there?").unwrap(), before);
}

#[test]
fn damaged_packages_are_refused_in_words() {
    for damage in packages::damages() {
        let folder = tempfile::tempdir().unwrap();
        write_tiny_package(folder.path(), 5).unwrap();
        (damage.harm)(folder.path());
        let error = load(folder.path()).unwrap_err();
        assert!(
            matches!(error, PipelineError::Package(_)),
            "{}: {error}",
            damage.name
        );
        assert_says(&error.to_string(), damage.says, damage.name);
    }
}

#[test]
fn a_package_damaged_after_loading_disturbs_nothing() {
    let (folder, captioner) = tiny();
    let request = Request::caption(pictures::ordinary());
    let before = run(&captioner, request.clone()).unwrap();
    for damage in packages::damages() {
        if folder.path().join("adem.json").is_file() && damage.name != "missing shard" {
            (damage.harm)(folder.path());
        }
    }
    assert_eq!(run(&captioner, request).unwrap(), before);
}
