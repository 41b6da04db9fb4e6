//! What goes wrong on the way, and leaves the page as good as it was.

use super::{
    ENDS, PATIENCE, caption, copy, driver::Browser, is_possible, page, root, samples, serve,
};
use std::fs;
use std::path::Path;

const PROBLEM: &str = "return document.querySelector('#choice-problem').textContent !== ''";

fn ready(browser: &Browser) {
    browser.wait("#engine", "data-model", &["ready"], PATIENCE);
}

fn pressed(browser: &Browser, model: &str) -> bool {
    browser.attribute(model, "aria-pressed").as_deref() == Some("true")
}

/// The page in a folder of the test's own.
fn own(folder: &Path) {
    copy(&root().join("dist"), folder, "engine-gpu");
}

#[test]
fn a_model_that_is_not_there_leaves_the_one_in_use() {
    if !is_possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    own(folder.path());
    fs::remove_dir_all(folder.path().join("package-q8")).unwrap();
    fs::remove_dir_all(folder.path().join("package")).unwrap();
    let browser = Browser::start(false);
    browser.open(&format!("{}?model=scenes", serve(folder.path())));
    ready(&browser);
    // Two in a row: what is said is about the newer one, and both are gone.
    browser.click("#photo");
    browser.click("#photo-q8");
    browser.until("what is wrong", PROBLEM, PATIENCE);
    ready(&browser);
    assert!(browser.text("#choice-problem").contains("package-q8"));
    assert!(pressed(&browser, "#scenes"));
    let scene = root().join("web/samples/scene-7000000048.jpg");
    assert!(caption(&browser, &scene).contains("heart"));
    assert_eq!(super::ask(&browser, "what colour is the heart?"), "done");
}

#[test]
fn the_model_that_was_asked_for_last_is_the_one_that_comes() {
    if !is_possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    own(folder.path());
    fs::remove_dir_all(folder.path().join("scenes")).unwrap();
    let browser = Browser::start(false);
    let url = serve(folder.path());
    browser.open(&url);
    ready(&browser);
    let said = caption(&browser, &samples()[0]);
    browser.click("#scenes");
    browser.click("#photo-q8");
    let other = "return document.querySelector('.model').textContent.startsWith('photo-q8')";
    browser.until("the newer one", other, PATIENCE);
    assert!(pressed(&browser, "#photo-q8"));
    assert_eq!(browser.text("#choice-problem"), "");
    // What the model before it said is marked as such.
    assert_eq!(browser.text("#caption"), said);
    let notes = "return [...document.querySelectorAll('.words .note')].some((it) => it.textContent.startsWith('Written by photo.'))";
    browser.until("whose words they are", notes, PATIENCE);
    // It is remembered by its name: the next visit asks for its newest build.
    browser.open(&url);
    browser.until("the same one", other, PATIENCE);
}

#[test]
fn without_storage_the_model_is_kept_in_memory() {
    let Some(url) = page() else { return };
    let browser = Browser::start(false);
    // As over plain HTTP, in front of the script that the page makes at the first visit.
    let none = "Object.defineProperty(navigator, 'storage', { value: undefined });";
    browser.before_each_page(&format!(
        "const make = URL.createObjectURL;
         URL.createObjectURL = (blob) => {{
             const script = blob.type === 'text/javascript';
             return make.call(URL, script ? new Blob([{none:?}, blob], {{ type: blob.type }}) : blob);
         }}"
    ));
    browser.open(&url);
    ready(&browser);
    let kept = browser.text("#unkept");
    assert!(kept.contains("in memory only"), "{kept}");
    assert!(!caption(&browser, &samples()[0]).is_empty());
}

#[test]
fn a_page_without_its_program_says_so() {
    if !is_possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    own(folder.path());
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("adem-web") && name.ends_with(".wasm") {
            fs::remove_file(path).unwrap();
        }
    }
    let browser = Browser::start(false);
    browser.open(&serve(folder.path()));
    let said =
        "return document.querySelector('#boot').textContent.includes('could not be started')";
    browser.until("what is wrong", said, PATIENCE);
}

#[test]
fn copies_of_the_page_in_two_folders_leave_each_other_alone() {
    if !is_possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        own(&folder.path().join(name));
    }
    let url = serve(folder.path());
    let browser = Browser::start(false);
    for (name, count) in [("a/", 1), ("b/", 2)] {
        browser.open(&format!("{url}{name}"));
        ready(&browser);
        let controlled = "return navigator.serviceWorker.controller !== null";
        browser.until("the page's own copy", controlled, PATIENCE);
        let caches = browser.run("return caches.keys().then((names) => names.length)", &[]);
        assert_eq!(caches, count);
    }
    // A copy that the browser has thrown away is fetched, whichever build the server has by now.
    browser.run(
        "return caches.keys().then((names) => Promise.all(names.map((name) => caches.delete(name))))",
        &[],
    );
    let index = folder.path().join("a/index.html");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replace("<title>ADEM-VL", "<title>newer")).unwrap();
    browser.open(&format!("{url}a/"));
    ready(&browser);
    assert_eq!(browser.run("return document.title", &[]), "newer");
}

#[test]
fn a_picture_taken_away_while_it_is_read_lets_the_others_go_on() {
    let Some(url) = page() else { return };
    let browser = Browser::start(false);
    browser.before_each_page(
        "const read = Blob.prototype.arrayBuffer;
         Blob.prototype.arrayBuffer = async function () {
             await new Promise((resolve) => setTimeout(resolve, 1500));
             return read.call(this);
         }",
    );
    browser.open(&url);
    ready(&browser);
    let pictures = samples();
    let paths: Vec<&str> = pictures.iter().map(|path| path.to_str().unwrap()).collect();
    browser.type_into("#file", &paths.join("\n"));
    browser.wait("#caption", "data-state", &["looking"], PATIENCE);
    browser.click(".card .remove");
    let both = "return document.querySelectorAll('.card[data-state=done]').length === 2";
    browser.until("the others", both, PATIENCE);
    assert_eq!(
        browser.wait("#caption", "data-state", &ENDS, PATIENCE),
        "done"
    );
    let focused = "return document.activeElement.className";
    assert_eq!(browser.run(focused, &[]), "choose");
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn a_camera_that_is_asked_for_twice_goes_off_at_once() {
    let Some(url) = page() else { return };
    let browser = Browser::with_camera();
    browser.before_each_page(
        "window.streams = [];
         const media = MediaDevices.prototype.getUserMedia;
         MediaDevices.prototype.getUserMedia = async function (wanted) {
             const stream = await media.call(this, wanted);
             window.streams.push(stream);
             return stream;
         }",
    );
    browser.open(&url);
    ready(&browser);
    browser.run(
        "const camera = document.querySelector('#camera'); camera.click(); camera.click()",
        &[],
    );
    let seen = "return document.querySelector('.camera video')?.videoWidth > 0";
    browser.until("the camera", seen, PATIENCE);
    browser.click("#camera");
    browser.click("#camera-close");
    let off = "return window.streams.length > 0
        && window.streams.every((it) => it.getTracks().every((track) => track.readyState === 'ended'))";
    browser.until("its light out", off, PATIENCE);
}
