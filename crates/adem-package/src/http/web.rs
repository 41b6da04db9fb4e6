//! Range requests through the browser's `fetch`, on a page or in a worker.

use std::ops::Range;
use std::time::Duration;

use wasm_bindgen::prelude::{JsCast, JsValue, wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use web_sys::js_sys::{Function, Promise, Reflect, Uint8Array};
use web_sys::{ReadableStreamDefaultReader, Request, RequestCache, RequestInit, Response};

use super::answer::{Answer, Failure, body_limit, range_header};

// Bound to the global scope, so that they are found in a page and in a worker alike.
#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_name = fetch)]
    fn global_fetch(request: &Request) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Function, milliseconds: f64);
}

/// The browser keeps the connections; there is nothing to hold here.
#[derive(Debug)]
pub(super) struct Client;

/// `fetch` decides; relative addresses are as good as absolute ones.
pub(super) fn supports(_base: &str) -> Result<(), &'static str> {
    Ok(())
}

/// Leaves the thread to the browser for `wait`.
pub(super) async fn sleep(wait: Duration) {
    let promise = Promise::new(&mut |resolve, _| {
        set_timeout(&resolve, wait.as_secs_f64() * 1000.0);
    });
    // A timer's promise is never rejected.
    let _ = JsFuture::from(promise).await;
}

impl Client {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) async fn get(&self, url: &str, range: &Range<u64>) -> Result<Answer, Failure> {
        let init = RequestInit::new();
        // A package may be replaced under the same address: stored parts are asked after.
        init.set_cache(RequestCache::NoCache);
        let request = Request::new_with_str_and_init(url, &init).map_err(permanent)?;
        request
            .headers()
            .set("Range", &range_header(range))
            .map_err(permanent)?;
        let answered = global_fetch(&request).map_err(transient)?;
        let response: Response = JsFuture::from(answered)
            .await
            .map_err(transient)?
            .dyn_into()
            .map_err(permanent)?;
        let status = response.status();
        let content_range = response.headers().get("Content-Range").map_err(permanent)?;
        let limit = body_limit(status, range);
        Ok(Answer {
            status,
            content_range,
            body: read_body(&response, limit).await?,
        })
    }
}

/// The body, chunk by chunk: one beyond the limit ends with the chunk that crosses it.
async fn read_body(response: &Response, limit: u64) -> Result<Vec<u8>, Failure> {
    let Some(stream) = response.body() else {
        return Ok(Vec::new());
    };
    let reader = ReadableStreamDefaultReader::new(&stream).map_err(permanent)?;
    let mut body = Vec::new();
    while limit > 0 && body.len() as u64 <= limit {
        let result = JsFuture::from(reader.read()).await.map_err(transient)?;
        let done = Reflect::get(&result, &"done".into()).map_err(permanent)?;
        if done.is_truthy() {
            return Ok(body);
        }
        let chunk: Uint8Array = Reflect::get(&result, &"value".into())
            .map_err(permanent)?
            .dyn_into()
            .map_err(permanent)?;
        body.extend(chunk.to_vec());
    }
    // Lets the connection go; that it was already lost does not matter.
    let _ = JsFuture::from(reader.cancel()).await;
    Ok(body)
}

/// `fetch` rejects for a lost connection and for a refused one alike.
fn transient(error: JsValue) -> Failure {
    Failure::Transient(message(&error))
}

fn permanent(error: JsValue) -> Failure {
    Failure::Permanent(message(&error))
}

fn message(error: &JsValue) -> String {
    Reflect::get(error, &"message".into())
        .ok()
        .and_then(|text| text.as_string())
        .unwrap_or_else(|| format!("{error:?}"))
}
