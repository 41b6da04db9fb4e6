//! The maps of what each word looked at, and the numbers that change them.

use super::{PATIENCE, caption, driver::Browser, native, page, samples};

/// Patches that are crossed out on both maps.
const DROPPED: &str = "return [...document.querySelectorAll('.map')]
    .reduce((sum, map) => sum + Number(map.dataset.dropped), 0)";

/// Mean brightness of the first map.
const BRIGHTNESS: &str = "const canvas = document.querySelector('.map canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let sum = 0;
    for (let at = 0; at < data.length; at += 4) sum += data[at] + data[at + 1] + data[at + 2];
    return sum / (data.length / 4) / 3";

fn turn(browser: &Browser, slider: &str, value: &str) {
    let script = "const slider = document.querySelector(arguments[0]);
        slider.value = arguments[1];
        slider.dispatchEvent(new Event('input', { bubbles: true }))";
    browser.run(script, &[slider, value]);
}

/// Waits for maps that cross out `dropped` patches, of a caption that is written to its end: one
/// that is written anew to be looked at shows its old words until it begins, and then none.
fn maps(browser: &Browser, dropped: f64) {
    let script = format!(
        "const {{ state }} = document.querySelector('#caption').dataset;
         const dropped = (() => {{ {DROPPED} }})();
         return state === 'done' && dropped === {dropped}"
    );
    browser.until("the maps", &script, PATIENCE);
}

fn number(browser: &Browser, script: &str) -> f64 {
    browser.run(script, &[]).as_f64().unwrap()
}

#[test]
fn every_word_shows_what_it_kept_and_the_numbers_change_that_at_once() {
    let Some(url) = page() else { return };
    let captioner = native();
    let fusion = captioner.fusion().clone();
    let patches: usize = fusion.down_sample.iter().sum();
    let dropped_of = |gamma: f64| (gamma * patches as f64).floor();
    let browser = Browser::start(false);
    browser.open(&url);
    let said = caption(&browser, &samples()[0]);
    browser.click("#sight > summary");
    browser.until(
        "the panel",
        "return document.querySelector('#layer') !== null",
        PATIENCE,
    );
    // One layer drops its share of all patches, exactly but for ties, which are kept.
    turn(&browser, "#layer", "1");
    maps(&browser, dropped_of(fusion.drop_ratio));
    let words = browser.run(
        "return [...document.querySelectorAll('.word')].map((word) => word.innerText).join(' ')",
        &[],
    );
    assert_eq!(words.as_str(), Some(said.as_str()));
    let label = "return document.querySelector('.map canvas').getAttribute('aria-label')";
    let first = browser.run(label, &[]);
    browser.run(
        "document.querySelector('.word[tabindex=\"0\"]').focus()",
        &[],
    );
    browser.press("\u{E014}");
    let second = browser.run(label, &[]);
    assert_ne!(first, second);
    let place = "return [...document.querySelectorAll('.word')].indexOf(document.activeElement)";
    assert_eq!(browser.run(place, &[]), 1);

    let light = number(&browser, BRIGHTNESS);
    turn(&browser, "#gamma", "95");
    maps(&browser, dropped_of(0.95 * 0.95));
    let dark = number(&browser, BRIGHTNESS);
    assert!(dark < 0.7 * light, "{dark} of {light}");
    assert!(browser.text("#compare").contains(&said));
    browser.click("#reset");
    maps(&browser, dropped_of(fusion.drop_ratio));
    assert_eq!(browser.text("#caption"), said);
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn numbers_turned_before_a_picture_came_are_compared_with_the_trained_ones_all_the_same() {
    let Some(url) = page() else { return };
    let captioner = native();
    let bytes = std::fs::read(&samples()[0]).unwrap();
    let trained = super::text(&captioner, adem_pipeline::Request::caption(bytes));
    let browser = Browser::start(false);
    browser.open(&url);
    browser.wait("#engine", "data-model", &["ready"], PATIENCE);
    browser.click("#sight > summary");
    browser.until(
        "the numbers",
        "return document.querySelector('#alpha') !== null",
        PATIENCE,
    );
    turn(&browser, "#alpha", "0");
    let blind = caption(&browser, &samples()[0]);
    assert_ne!(blind, trained);
    browser.until(
        "what it says as trained",
        "return document.querySelector('#compare') !== null",
        PATIENCE,
    );
    assert!(browser.text("#compare").contains(&trained));
    // Nobody has asked for that caption: the one in view stays.
    assert_eq!(browser.text("#caption"), blind);
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn the_map_is_saved_as_a_picture() {
    let Some(url) = page() else { return };
    let browser = Browser::start(false);
    browser.open(&url);
    caption(&browser, &samples()[0]);
    browser.click("#sight > summary");
    browser.until(
        "the maps",
        "return document.querySelectorAll('.word').length > 3
            && document.querySelector('#caption').dataset.state === 'done'
            && document.querySelector('.map canvas').width > 300",
        PATIENCE,
    );
    browser.run(
        "const make = URL.createObjectURL;
         URL.createObjectURL = (blob) => { window.saved = blob; return make.call(URL, blob) }",
        &[],
    );
    browser.click("#export");
    browser.until("the file", "return window.saved instanceof Blob", PATIENCE);
    let size = browser.run(
        "return createImageBitmap(window.saved).then((it) => [it.width, it.height, window.saved.type])",
        &[],
    );
    assert_eq!(size[2], "image/png");
    assert!(size[0].as_u64() > size[1].as_u64(), "{size}");
}
