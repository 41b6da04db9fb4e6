//! The built page in a real browser: its captions are those of the native program.
//!
//! Needs `dist/` (`cargo xtask web --release`) and ChromeDriver; `cargo xtask test` sees to both.
//! Where they are missing the tests say so and pass, unless `ADEM_BROWSER` or `CI` is set.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod audit;
mod driver;
mod figures;
mod firefox;
mod flow;
mod gate;
mod keeping;
mod mishaps;
#[path = "../faults/packages.rs"]
mod packages;
mod peers;
#[path = "../faults/pictures.rs"]
mod pictures;
mod search;
mod sight;
mod streaming;

use adem_package::Folder;
use adem_pipeline::testing::write_tiny_package;
use adem_pipeline::{Captioner, Request};
use adem_serve::Server;
use burn::tensor::Device;
use driver::Browser;
use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// On a software GPU, with every shader compiled for the first time.
const PATIENCE: Duration = Duration::from_secs(300);

/// Ends of a text: reached, given up, or refused.
const ENDS: [&str; 3] = ["done", "stopped", "failed"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The page's address, or `None` where the tests cannot run and need not.
fn page() -> Option<String> {
    let dist = root().join("dist");
    is_possible().then(|| serve(&dist))
}

fn serve(folder: &Path) -> String {
    let server = Server::bind(folder, 0).unwrap();
    let url = server.url();
    thread::spawn(|| server.run());
    url
}

/// Whether the tests can run; a failure where they cannot but must.
fn is_possible() -> bool {
    let dist = root().join("dist");
    let missing = if !dist.join("index.html").is_file() {
        "dist/ is missing: run `cargo xtask web --release`"
    } else if !driver::is_installed() {
        "chromedriver is missing: run `apt-get install chromium chromium-driver`"
    } else {
        return true;
    };
    let needed = ["CI", "ADEM_BROWSER"]
        .into_iter()
        .any(|name| env::var_os(name).is_some());
    assert!(!needed, "{missing}");
    eprintln!("skipped: {missing}");
    false
}

/// Asks for the model of drawn scenes, which answers questions.
const SCENES: &str = "?model=scenes";

/// Three photographs of the samples.
fn samples() -> Vec<PathBuf> {
    let mut pictures: Vec<PathBuf> = fs::read_dir(root().join("web/samples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("photo-") && name.ends_with(".jpg")
        })
        .collect();
    pictures.sort();
    pictures.truncate(3);
    assert_eq!(pictures.len(), 3, "web/samples has at least three pictures");
    pictures
}

/// What the native program makes of the model beside the page.
fn native() -> Captioner {
    native_of("package")
}

fn native_of(folder: &str) -> Captioner {
    let package = Folder::new(root().join("dist").join(folder));
    pollster::block_on(Captioner::load(package, |_| {}, &Device::flex())).unwrap()
}

fn text(captioner: &Captioner, request: Request) -> String {
    pollster::block_on(captioner.start(request).unwrap().finish())
        .unwrap()
        .text
        .trim()
        .to_owned()
}

/// Gives the page a picture. The end that the caption has reached before is struck out, so that
/// whoever waits sees the next one.
fn choose(browser: &Browser, picture: &Path) {
    strike(browser, "#caption");
    browser.type_into("#file", picture.to_str().unwrap());
}

/// Marks an element, so that a later state is known to be new; waits for it, as the page's own
/// program may not have run yet.
fn strike(browser: &Browser, selector: &str) {
    let script = "const found = document.querySelector(arguments[0]);
        found?.setAttribute('data-state', 'struck');
        return found !== null";
    let start = Instant::now();
    while browser.run(script, &[selector]) != true {
        assert!(start.elapsed() < PATIENCE, "there is no {selector}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Asks the page a question; gives the end its answer has come to.
fn ask(browser: &Browser, question: &str) -> String {
    let script = "const field = document.querySelector('#question');
        field.value = arguments[0];
        field.dispatchEvent(new Event('input', { bubbles: true }))";
    browser.run(script, &[question]);
    strike(browser, "#answer");
    browser.click("#ask button");
    browser.wait("#answer", "data-state", &ENDS, PATIENCE)
}

/// Gives the page a picture and waits for its caption.
fn caption(browser: &Browser, picture: &Path) -> String {
    choose(browser, picture);
    let end = browser.wait("#caption", "data-state", &ENDS, PATIENCE);
    assert_eq!(end, "done", "{}", browser.text("#problem"));
    browser.text("#caption")
}

/// Three captions and an answer on the engine `kind` equal the native ones; nothing goes wrong,
/// and nothing leaves the page's origin.
fn page_equals_native(webgpu: bool, address: &str, kind: &str) {
    let Some(url) = page() else { return };
    let captioner = native();
    let browser = Browser::start(webgpu);
    browser.open(&format!("{url}{address}"));
    browser.wait("#engine", "data-model", &["ready", "unusable"], PATIENCE);
    assert_eq!(
        browser.attribute("#engine", "data-kind").as_deref(),
        Some(kind),
        "{}",
        browser.text("#engine")
    );
    for picture in samples() {
        let bytes = fs::read(&picture).unwrap();
        let expected = text(&captioner, Request::caption(bytes));
        assert_eq!(
            caption(&browser, &picture),
            expected,
            "{}",
            picture.display()
        );
    }
    let switch = |model: &str| {
        browser.click(&format!("#{model}"));
        let pressed = format!(
            "return document.querySelector('#{model}[aria-pressed=true]') !== null
                && document.querySelector('#engine[data-model=ready]') !== null"
        );
        browser.until("the other model", &pressed, PATIENCE);
    };
    let picture = &samples()[1];
    let bytes = fs::read(picture).unwrap();
    switch("photo-q8");
    let expected = text(&native_of("package-q8"), Request::caption(bytes));
    assert_eq!(caption(&browser, picture), expected);
    // The other model answers questions; the picture is described anew first.
    let (picture, question) = (&samples()[2], "what colour is the background?");
    let captioner = native_of("scenes");
    let bytes = fs::read(picture).unwrap();
    assert!(browser.attribute("#ask", "hidden").is_some());
    switch("scenes");
    let expected = text(&captioner, Request::caption(bytes.clone()));
    assert_eq!(caption(&browser, picture), expected);
    let expected = text(&captioner, Request::question(bytes, question));
    let end = ask(&browser, question);
    assert_eq!(end, "done", "{}", browser.text("#question-problem"));
    assert_eq!(browser.text("#answer"), expected);
    assert_eq!(browser.console(), [""; 0]);
    let requests = browser.requests();
    let elsewhere: Vec<_> = requests
        .iter()
        .filter(|request| !request.starts_with(&url) && request.starts_with("http"))
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    assert!(
        requests
            .iter()
            .any(|request| request.ends_with("/scenes/adem.json"))
    );
}

#[test]
fn a_text_can_be_stopped() {
    let Some(url) = page() else { return };
    let browser = Browser::start(true);
    // Software WebGPU is slow enough to be interrupted.
    browser.open(&format!("{url}?engine=gpu"));
    choose(&browser, &samples()[0]);
    browser.wait("#caption", "data-state", &["looking", "writing"], PATIENCE);
    browser.click("#stop");
    assert_eq!(
        browser.attribute("#caption", "data-state").as_deref(),
        Some("stopped")
    );
    assert!(browser.attribute("#stop", "aria-disabled").as_deref() == Some("true"));
    // Whoever uses the keyboard is not sent back to the beginning of the page.
    let focused = "return document.activeElement.id";
    assert_eq!(browser.run(focused, &[]), "stop");
    browser.click("#again");
    browser.wait("#caption", "data-state", &["looking", "writing"], PATIENCE);
    assert_eq!(browser.run(focused, &[]), "stop");
    browser.click("#stop");
    // The engine does the next job, and nothing of the stopped one comes after.
    choose(&browser, &samples()[1]);
    browser.wait("#caption", "data-state", &["writing"], PATIENCE);
    browser.click("#stop");
    let written = browser.text("#caption");
    thread::sleep(Duration::from_secs(2));
    assert_eq!(browser.text("#caption"), written);
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn a_picture_can_be_dropped_pasted_or_taken_from_the_samples() {
    let Some(url) = page() else { return };
    let browser = Browser::start(false);
    browser.open(&url);
    let give = "const response = await fetch(arguments[0]);
        const transfer = new DataTransfer();
        transfer.items.add(new File([await response.blob()], 'given.jpg'));
        const event = arguments[1] === 'drop'
            ? new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true })
            : new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true });
        document.body.dispatchEvent(event)";
    let there = "return document.querySelector('#samples img') !== null";
    browser.until("the samples", there, PATIENCE);
    let sample = browser.run("return document.querySelector('#samples img').src", &[]);
    let sample = sample.as_str().unwrap();
    strike(&browser, "#caption");
    browser.click("#samples button");
    assert_eq!(
        browser.wait("#caption", "data-state", &ENDS, PATIENCE),
        "done"
    );
    let expected = browser.text("#caption");
    for way in ["drop", "paste"] {
        strike(&browser, "#caption");
        browser.run(
            &format!("return (async (...arguments) => {{ {give} }})(...arguments)"),
            &[sample, way],
        );
        assert_eq!(
            browser.wait("#caption", "data-state", &ENDS, PATIENCE),
            "done",
            "{way}"
        );
        assert_eq!(browser.text("#caption"), expected, "{way}");
    }
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn where_the_webgpu_engine_does_not_start_the_cpu_takes_over_and_says_why() {
    if !is_possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("dist"), folder.path(), "engine-gpu");
    let browser = Browser::start(true);
    browser.open(&format!("{}?engine=gpu", serve(folder.path())));
    browser.wait("#engine", "data-model", &["ready"], PATIENCE);
    assert_eq!(
        browser.attribute("#engine", "data-kind").as_deref(),
        Some("cpu")
    );
    let reason = browser.text("#reason");
    assert!(reason.contains("WebGPU"), "{reason}");
    assert!(!caption(&browser, &samples()[0]).is_empty());
}

/// Copies a folder without the files whose names start with `omitted`.
fn copy(from: &Path, to: &Path, omitted: &str) {
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry
            .map(|entry| (entry.path(), entry.file_name()))
            .unwrap();
        if path.is_dir() {
            fs::create_dir(to.join(&name)).unwrap();
            copy(&path, &to.join(&name), omitted);
        } else if !name.to_string_lossy().starts_with(omitted) {
            fs::copy(&path, to.join(&name)).unwrap();
        }
    }
}

#[test]
fn on_webgpu_the_page_says_what_the_native_program_says() {
    page_equals_native(true, "?engine=gpu", "gpu");
}

#[test]
fn without_webgpu_the_page_says_what_the_native_program_says() {
    page_equals_native(false, "", "cpu");
}

#[test]
fn what_is_no_picture_or_no_question_is_explained_and_the_page_goes_on() {
    let Some(url) = page() else { return };
    let folder = tempfile::tempdir().unwrap();
    let browser = Browser::start(false);
    browser.open(&format!("{url}{SCENES}"));
    for broken in pictures::broken() {
        let file = folder.path().join(broken.file);
        fs::write(&file, broken.bytes).unwrap();
        choose(&browser, &file);
        let end = browser.wait("#caption", "data-state", &ENDS, PATIENCE);
        assert_eq!(end, "failed", "{}", broken.file);
        let said = browser.text("#problem");
        assert!(said.starts_with(broken.file), "{said:?}");
        for words in broken.says {
            assert!(said.contains(words), "{words:?} is not in {said:?}");
        }
        let picture = &samples()[0];
        assert!(!caption(&browser, picture).is_empty());
        assert_eq!(browser.text("#problem"), "");
    }
    for question in ["", &"word ".repeat(10_000)] {
        assert_eq!(ask(&browser, question), "failed");
        let said = browser.text("#question-problem");
        assert!(said.len() > 20, "{said:?}");
    }
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn odd_pictures_are_captioned_as_the_native_program_does_the_plain_ones_they_show() {
    let Some(url) = page() else { return };
    let captioner = native();
    let folder = tempfile::tempdir().unwrap();
    let browser = Browser::start(false);
    browser.open(&url);
    let pixel = pictures::Odd {
        file: "pixel.png",
        bytes: pictures::one_pixel(),
        plain: pictures::one_pixel(),
    };
    for odd in pictures::odd().into_iter().chain([pixel]) {
        let file = folder.path().join(odd.file);
        fs::write(&file, &odd.bytes).unwrap();
        let expected = text(&captioner, Request::caption(odd.plain));
        let name = odd.file;
        assert_eq!(caption(&browser, &file), expected, "{name}");
    }
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn a_damaged_model_is_refused_in_words() {
    if !is_possible() {
        return;
    }
    let browser = Browser::start(false);
    for damage in packages::damages() {
        let folder = tempfile::tempdir().unwrap();
        copy(&root().join("dist"), folder.path(), "engine-gpu");
        let package = folder.path().join("package");
        fs::remove_dir_all(&package).unwrap();
        write_tiny_package(&package, 5).unwrap();
        (damage.harm)(&package);
        browser.open(&serve(folder.path()));
        let state = browser.wait("#engine", "data-model", &["ready", "unusable"], PATIENCE);
        assert_eq!(state, "unusable", "{}", damage.name);
        let said = browser.text("#engine .model");
        for words in damage.says {
            assert!(
                said.contains(words),
                "{}: {words:?} is not in {said:?}",
                damage.name
            );
        }
    }
}
