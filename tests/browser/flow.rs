//! What a reader does with the page: several pictures, the camera, questions, keys, files.

use super::{
    ENDS, PATIENCE, SCENES, ask, caption, driver::Browser, native, page, samples, strike, text,
};
use adem_pipeline::Request;
use std::fs;

/// Waits until `script` gives true.
fn until(browser: &Browser, what: &str, script: &str) {
    browser.until(what, script, PATIENCE);
}

#[test]
fn several_pictures_are_described_one_after_another_and_handed_out_in_files() {
    let Some(url) = page() else { return };
    let captioner = native();
    let browser = Browser::start(false);
    browser.open(&url);
    let pictures = samples();
    let paths: Vec<&str> = pictures.iter().map(|path| path.to_str().unwrap()).collect();
    strike(&browser, "#caption");
    browser.type_into("#file", &paths.join("\n"));
    until(
        &browser,
        "three captions",
        "return document.querySelectorAll('.card[data-state=done]').length === 3",
    );
    // What the page would save is caught on its way.
    browser.run(
        "window.saved = [];
         const make = URL.createObjectURL;
         URL.createObjectURL = (blob) => { window.saved.push(blob); return make.call(URL, blob) }",
        &[],
    );
    browser.click("#save-json");
    browser.click("#save-csv");
    let saved = browser.run(
        "return Promise.all(window.saved.map((blob) => blob.text()))",
        &[],
    );
    let json: serde_json::Value = serde_json::from_str(saved[0].as_str().unwrap()).unwrap();
    for (place, picture) in pictures.iter().enumerate() {
        let expected = text(&captioner, Request::caption(fs::read(picture).unwrap()));
        let card = format!(".card:nth-child({}) .said", place + 1);
        assert_eq!(browser.text(&card), expected);
        assert_eq!(json[place]["caption"], expected);
        let name = picture.file_name().unwrap().to_str().unwrap();
        assert_eq!(json[place]["picture"], name);
        assert_eq!(json[place]["model"], "photo");
        let line = format!("\"{name}\",\"\",\"{expected}\",\"photo\"\r\n");
        assert!(saved[1].as_str().unwrap().contains(&line), "{line}");
    }
    // The third comes into view, and goes.
    browser.click(".card:nth-child(3) .choose");
    assert_eq!(
        browser.text("#caption"),
        browser.text(".card:nth-child(3) .said")
    );
    browser.click(".card:nth-child(3) .remove");
    until(
        &browser,
        "two pictures",
        "return document.querySelectorAll('.card').length === 2",
    );
    assert_eq!(
        browser.text("#caption"),
        browser.text(".card:nth-child(2) .said")
    );
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn questions_about_a_picture_are_remembered_with_it() {
    let Some(url) = page() else { return };
    let browser = Browser::start(false);
    browser.open(&format!("{url}{SCENES}"));
    let pictures = samples();
    caption(&browser, &pictures[0]);
    let questions = [
        "what colour is the background?",
        "how many shapes are there?",
    ];
    let answers = questions.map(|question| {
        assert_eq!(ask(&browser, question), "done");
        browser.text("#answer")
    });
    browser.click("#history summary");
    assert_eq!(browser.text("#history dt"), questions[0]);
    assert_eq!(browser.text("#history dd"), answers[0]);
    caption(&browser, &pictures[1]);
    assert_eq!(browser.text("#answer"), "");
    browser.click(".card:nth-child(1) .choose");
    assert_eq!(browser.text("#answer"), answers[1]);
    assert_eq!(browser.text("#asked"), questions[1]);
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn the_camera_gives_one_picture_or_one_after_another() {
    let Some(url) = page() else { return };
    let browser = Browser::with_camera();
    browser.open(&url);
    browser.wait("#engine", "data-model", &["ready"], PATIENCE);
    browser.click("#camera");
    until(
        &browser,
        "the camera",
        "return document.querySelector('.camera video')?.videoWidth > 0",
    );
    browser.click("#shoot");
    assert_eq!(
        browser.wait("#caption", "data-state", &ENDS, PATIENCE),
        "done"
    );
    assert!(!browser.text("#caption").is_empty());
    browser.run(
        "window.frames_seen = new Set();
         new MutationObserver(() => {
             const shown = document.querySelector('#preview')?.src;
             if (shown) window.frames_seen.add(shown);
         }).observe(document.body, { subtree: true, attributes: true, childList: true })",
        &[],
    );
    browser.click("#live");
    until(
        &browser,
        "five frames",
        "return window.frames_seen.size >= 5",
    );
    // However many frames, it is one picture.
    let cards = browser.run("return document.querySelectorAll('.card').length", &[]);
    assert_eq!(cards, 2);
    browser.click("#stop");
    until(
        &browser,
        "the end of it",
        "return document.querySelector('#live').getAttribute('aria-pressed') === 'false'",
    );
    browser.click("#camera-close");
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn everything_can_be_reached_with_the_keyboard_alone() {
    let Some(url) = page() else { return };
    let browser = Browser::start(false);
    browser.open(&format!("{url}{SCENES}"));
    browser.wait("#engine", "data-model", &["ready"], PATIENCE);
    let focused = "const at = document.activeElement; return at.id || at.className || at.tagName";
    let mut reached = Vec::new();
    for _ in 0..40 {
        browser.press("\u{E004}");
        let at = browser.run(focused, &[]);
        let at = at.as_str().unwrap().to_owned();
        if at == "sample" && !reached.contains(&at) {
            browser.press("\u{E007}");
            browser.wait("#caption", "data-state", &["done"], PATIENCE);
        }
        reached.push(at);
    }
    for wanted in [
        "photo",
        "scenes",
        "file",
        "camera",
        "sample",
        "copy",
        "again",
        "question",
        "save-json",
        "choose",
        "remove",
    ] {
        assert!(
            reached.iter().any(|at| at == wanted),
            "{wanted}: {reached:?}"
        );
    }
    assert_eq!(browser.console(), [""; 0]);
}
