//! What stays on the device: models, the page itself, and nothing of the pictures.

use super::{
    ENDS, PATIENCE, caption, copy, driver::Browser, gate::Gate, is_possible, page, root, samples,
    serve,
};
use std::fs;

const READY: [&str; 2] = ["ready", "unusable"];

fn open(browser: &Browser, url: &str) {
    browser.open(url);
    browser.wait("#engine", "data-model", &["ready"], PATIENCE);
}

fn weights(requests: &[String]) -> usize {
    let is_part = |path: &&String| path.contains("weights");
    requests.iter().filter(is_part).count()
}

#[test]
fn a_kept_model_is_not_fetched_again_and_a_rotten_one_is() {
    let Some(url) = page() else { return };
    let gate = Gate::before(&url);
    let browser = Browser::start(false);
    open(&browser, &gate.url());
    assert!(weights(&gate.requests()) > 0);
    let said = caption(&browser, &samples()[0]);

    open(&browser, &gate.url());
    assert_eq!(weights(&gate.requests()), 0);
    // One bit of the stored weights turns over.
    browser.run(
        "return (async () => {
            const models = await (await navigator.storage.getDirectory()).getDirectoryHandle('models');
            for await (const model of models.values()) for await (const [name, file] of model.entries()) {
                if (!name.startsWith('weights')) continue;
                const byte = new Uint8Array(await (await file.getFile()).slice(99999, 100000).arrayBuffer());
                byte[0] ^= 1;
                const writer = await file.createWritable({ keepExistingData: true });
                await writer.write({ type: 'write', position: 99999, data: byte });
                await writer.close();
            }
        })()",
        &[],
    );
    open(&browser, &gate.url());
    assert!(weights(&gate.requests()) > 0);
    assert_eq!(caption(&browser, &samples()[0]), said);

    browser.click("#models > summary");
    let listed = "return document.querySelectorAll('.models li').length";
    browser.until("one model", &format!("{listed} === 1"), PATIENCE);
    browser.click(".models .delete");
    browser.until("no model", &format!("{listed} === 0"), PATIENCE);
    open(&browser, &gate.url());
    assert!(weights(&gate.requests()) > 0);
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn a_download_that_is_cut_twenty_times_goes_on_where_it_ended() {
    let Some(url) = page() else { return };
    let gate = Gate::before(&url);
    gate.cut(20);
    let browser = Browser::start(false);
    browser.open(&gate.url());
    while browser.wait("#engine", "data-model", &READY, PATIENCE) == "unusable" {
        browser.click("#engine button");
        browser.wait(
            "#engine",
            "data-model",
            &["starting", "loading", "ready"],
            PATIENCE,
        );
    }
    assert_eq!(gate.cuts_left(), 0);
    assert!(!caption(&browser, &samples()[0]).is_empty());
}

#[test]
fn after_the_first_visit_the_page_works_without_a_network() {
    let Some(url) = page() else { return };
    let gate = Gate::before(&url);
    let browser = Browser::start(false);
    open(&browser, &gate.url());
    let said = caption(&browser, &samples()[0]);
    browser.until(
        "the page's own copy",
        "return navigator.serviceWorker.controller !== null",
        PATIENCE,
    );
    gate.shut();
    open(&browser, &gate.url());
    assert_eq!(caption(&browser, &samples()[0]), said);
    let sample = "return document.querySelector('#samples img').naturalWidth > 0";
    browser.until("the samples", sample, PATIENCE);
}

#[test]
fn a_new_build_replaces_the_old_one_whole_and_when_the_reader_wants_it() {
    if !is_possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("dist"), folder.path(), "engine-gpu");
    let browser = Browser::start(false);
    let url = serve(folder.path());
    open(&browser, &url);
    let controlled = "return navigator.serviceWorker.controller !== null";
    browser.until("the page's own copy", controlled, PATIENCE);
    // A file changes without its build: the old build goes on with its own.
    let page = folder.path().join("manifest.webmanifest");
    let text = fs::read_to_string(&page).unwrap();
    fs::write(&page, text.replace("ADEM-VL", "ANOTHER")).unwrap();
    let name = "return fetch('manifest.webmanifest').then((it) => it.json()).then((it) => it.name)";
    assert_eq!(browser.run(name, &[]), "ADEM-VL");
    // A build that is not whole never comes.
    let worker = folder.path().join("sw.js");
    let text = fs::read_to_string(&worker).unwrap();
    let version = text.split('"').nth(1).unwrap().to_owned();
    let other = text.replace(&version, "another");
    fs::write(&worker, &other).unwrap();
    open(&browser, &url);
    browser.run(
        "return navigator.serviceWorker.getRegistration().then((it) => it.update()).then(() => null, () => null)",
        &[],
    );
    assert_eq!(browser.run(name, &[]), "ADEM-VL");
    let one = "return caches.keys().then((names) => names.length === 1)";
    browser.until("nothing left of it", one, PATIENCE);
    // One that is whole waits until it is wanted.
    let digest = adem_package::Digest::of(&fs::read(&page).unwrap()).to_string();
    let start = other.find("manifest.webmanifest\", \"").unwrap() + 24;
    let whole = format!("{}{digest}{}", &other[..start], &other[start + 64..]);
    fs::write(&worker, whole).unwrap();
    open(&browser, &url);
    browser.until(
        "word of it",
        "return document.querySelector('.update') !== null",
        PATIENCE,
    );
    assert_eq!(browser.run(name, &[]), "ADEM-VL");
    browser.run("window.stale = true", &[]);
    browser.click(".update button");
    browser.until(
        "the new build",
        "return !window.stale && document.querySelector('#engine[data-model=ready]') !== null",
        PATIENCE,
    );
    assert_eq!(browser.run(name, &[]), "ANOTHER");
    let caches = browser.run("return caches.keys()", &[]);
    assert_eq!(caches, serde_json::json!(["adem-page-/-another"]));
}

#[test]
fn nothing_is_asked_of_anyone_while_captions_are_written() {
    let Some(url) = page() else { return };
    let gate = Gate::before(&url);
    let browser = Browser::start(false);
    open(&browser, &gate.url());
    browser.until(
        "the page's own copy",
        "return navigator.serviceWorker.controller !== null",
        PATIENCE,
    );
    browser.run(
        "window.long = [];
         new PerformanceObserver((list) => window.long.push(...list.getEntries().map((it) => it.duration)))
             .observe({ type: 'longtask' })",
        &[],
    );
    gate.requests();
    // The model is in a worker: the page itself is never busy for 50 ms. On a machine that does
    // other things as well a task takes longer than its work; one that is too long is so each time.
    let rounds: Vec<String> = (0..3)
        .map(|_| {
            for picture in samples() {
                caption(&browser, &picture);
            }
            let long = browser.run("return window.long.splice(0)", &[]);
            long.to_string()
        })
        .collect();
    assert_eq!(gate.requests(), [""; 0]);
    assert!(rounds.iter().any(|long| long == "[]"), "{rounds:?}");
}

#[test]
fn the_page_lets_nobody_in_and_talks_to_nobody() {
    let Some(url) = page() else { return };
    let browser = Browser::start(false);
    open(&browser, &url);
    let policy = browser
        .attribute("meta[http-equiv=Content-Security-Policy]", "content")
        .unwrap();
    assert!(
        !policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"),
        "{policy}"
    );
    let tried = browser.run(
        "return (async () => {
            const refused = [];
            document.addEventListener('securitypolicyviolation', (event) => refused.push(event.effectiveDirective));
            const script = document.createElement('script');
            script.textContent = 'window.intruder = true';
            document.head.append(script);
            document.body.setAttribute('style', 'color: red');
            await fetch('https://example.org/').catch(() => {});
            await new Promise((resolve) => setTimeout(resolve, 500));
            return [window.intruder ?? false, ...refused.sort()];
        })()",
        &[],
    );
    assert_eq!(
        tried,
        serde_json::json!([false, "connect-src", "script-src-elem", "style-src-attr"])
    );
}

#[test]
fn engines_talk_to_nobody_either() {
    let Some(url) = page() else { return };
    let elsewhere = Gate::before(&url);
    let browser = Browser::start(false);
    // A line of the test's own in front of the script that the page makes at the first visit, when
    // no server and no service worker says what a worker may do.
    let probe = "const tell = (word) => new BroadcastChannel('probe').postMessage(word);
        const ask = (url) => fetch(url, { mode: 'no-cors' }).then(() => 'talked', () => 'refused');
        tell([await ask(ELSEWHERE), await ask(OWN)]);"
        .replace("ELSEWHERE", &format!("{:?}", elsewhere.url()))
        .replace("OWN", &format!("{:?}", format!("{url}favicon.svg")));
    browser.before_each_page(&format!(
        "const make = URL.createObjectURL;
         URL.createObjectURL = (blob) => {{
             const script = blob.type === 'text/javascript';
             return make.call(URL, script ? new Blob([{probe:?}, blob], {{ type: blob.type }}) : blob);
         }};
         new BroadcastChannel('probe').onmessage = (event) => {{ window.probed = event.data }};"
    ));
    open(&browser, &url);
    browser.until(
        "word of the first engine",
        "return window.probed !== undefined",
        PATIENCE,
    );
    let probed = browser.run("return window.probed", &[]);
    assert_eq!(probed, serde_json::json!(["refused", "talked"]));
    assert_eq!(elsewhere.requests(), [""; 0]);
    // From then on the page's own copy of the script says it, with the origin that was asked for.
    let controlled = "return navigator.serviceWorker.controller !== null";
    browser.until("the page's own copy", controlled, PATIENCE);
    let policy =
        "return fetch(arguments[0]).then((it) => it.headers.get('Content-Security-Policy'))";
    let strict = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'";
    assert_eq!(browser.run(policy, &["worker.js?engine=cpu"]), strict);
    let allowed = "worker.js?engine=cpu&allow=https%3A%2F%2Fexample.org";
    assert_eq!(
        browser.run(policy, &[allowed]),
        format!("{strict} https://example.org")
    );
}

#[test]
fn an_engine_that_dies_is_started_again_and_its_caption_still_comes() {
    let Some(url) = page() else { return };
    let browser = Browser::start(false);
    browser.before_each_page(
        "window.engines = [];
         window.Worker = class extends Worker {
             constructor(...all) { super(...all); window.engines.push(this); }
         }",
    );
    open(&browser, &url);
    let said = caption(&browser, &samples()[0]);
    super::choose(&browser, &samples()[1]);
    browser.run(
        "const engine = window.engines.at(-1);
         engine.terminate();
         engine.dispatchEvent(new ErrorEvent('error', { message: 'killed by the test' }))",
        &[],
    );
    assert_eq!(
        browser.wait("#caption", "data-state", &ENDS, PATIENCE),
        "done"
    );
    assert!(browser.text("#notice").contains("killed by the test"));
    assert_eq!(caption(&browser, &samples()[0]), said);
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn three_hundred_captions_take_no_more_memory_than_thirty() {
    let Some(url) = page() else { return };
    let browser = Browser::start(false);
    open(&browser, &url);
    caption(&browser, &samples()[0]);
    browser.run(
        "window.memory = [];
         const caption = document.querySelector('#caption');
         new MutationObserver(() => {
             if (caption.dataset.state !== 'done' || window.memory.length === 300) return;
             window.memory.push(document.querySelector('#timings div:last-child dd').innerText);
             setTimeout(() => document.querySelector('#again').click());
         }).observe(caption, { attributeFilter: ['data-state'] });
         document.querySelector('#again').click()",
        &[],
    );
    let all = "return window.memory.length === 300";
    browser.until("three hundred captions", all, PATIENCE);
    let memory = browser.run("return window.memory", &[]);
    assert_eq!(memory[299], memory[29]);
    assert!(memory[0].as_str().unwrap().ends_with("MB"), "{}", memory[0]);
}
