//! Handing out what was written: the clipboard and files.

use crate::{gallery::Item, output::Progress};
use adem_protocol::Task;
use js_sys::{Array, Uint8Array};
use leptos::prelude::*;
use serde::Serialize;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

/// What is handed out about a picture: its file's name and the texts, nothing else of it.
#[derive(Serialize)]
pub struct Record {
    picture: String,
    caption: String,
    /// The model that wrote the caption.
    model: String,
    questions: Vec<Question>,
}

#[derive(Serialize)]
struct Question {
    question: String,
    answer: String,
    model: String,
}

/// The records of `items`; texts that are not done are left out.
pub fn records(items: &[Item]) -> Vec<Record> {
    let text = |output: &crate::output::Output| match output.progress {
        Progress::Done | Progress::Stopped => output.text.clone(),
        _ => String::new(),
    };
    let by = |output: &crate::output::Output| {
        let by = output.by.as_ref();
        by.map_or_else(String::new, |by| by.name.clone())
    };
    let record = |item: &Item| Record {
        picture: item.name(),
        caption: item.caption.with_untracked(text),
        model: item.caption.with_untracked(by),
        questions: item
            .answers
            .get_untracked()
            .into_iter()
            .filter_map(|answer| {
                answer.with_untracked(|answer| match &answer.task {
                    Some(Task::Question(question)) => Some(Question {
                        question: question.clone(),
                        answer: text(answer),
                        model: by(answer),
                    }),
                    _ => None,
                })
            })
            .collect(),
    };
    items.iter().map(record).collect()
}

/// As JSON text.
pub fn json(records: &[Record]) -> String {
    serde_json::to_string_pretty(records).unwrap_or_default()
}

/// As CSV text (RFC 4180): one line a caption and one a question. The mark before it tells
/// spreadsheets that it is UTF-8.
pub fn csv(records: &[Record]) -> String {
    let mut text = String::from("\u{feff}picture,question,text,model\r\n");
    let mut line = |fields: [&str; 4]| {
        let fields = fields.map(field);
        text.push_str(&fields.join(","));
        text.push_str("\r\n");
    };
    for record in records {
        line([&record.picture, "", &record.caption, &record.model]);
        for question in &record.questions {
            let Question {
                question,
                answer,
                model,
            } = question;
            line([&record.picture, question, answer, model]);
        }
    }
    text
}

fn field(text: &str) -> String {
    // A spreadsheet would take such a text for a formula.
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        "'"
    } else {
        ""
    };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

/// As plain text: captions, one a line.
pub fn plain(records: &[Record]) -> String {
    let lines: Vec<String> = records
        .iter()
        .map(|record| match records.len() {
            1 => record.caption.clone(),
            _ => format!("{}: {}", record.picture, record.caption),
        })
        .collect();
    lines.join("\n")
}

/// Puts `text` on the clipboard; `false` where the browser does not let us.
pub async fn copy(text: &str) -> bool {
    let Some(window) = web_sys::window() else {
        return false;
    };
    let clipboard = window.navigator().clipboard();
    if clipboard.is_undefined() {
        return false;
    }
    JsFuture::from(clipboard.write_text(text)).await.is_ok()
}

/// Gives the reader a file with this text.
pub fn download(name: &str, kind: &str, text: &str) {
    let parts = Array::of1(&Uint8Array::from(text.as_bytes()));
    let options = BlobPropertyBag::new();
    options.set_type(kind);
    if let Ok(blob) = Blob::new_with_u8_array_sequence_and_options(&parts, &options) {
        save(name, &blob);
    }
}

/// Gives the reader a file.
pub fn save(name: &str, blob: &Blob) {
    let link = || {
        let document = web_sys::window()?.document()?;
        let link: HtmlAnchorElement = document.create_element("a").ok()?.unchecked_into();
        let url = Url::create_object_url_with_blob(blob).ok()?;
        link.set_href(&url);
        link.set_download(name);
        link.click();
        // The download has its own hold of the file by then.
        set_timeout(
            move || drop(Url::revoke_object_url(&url)),
            std::time::Duration::from_secs(10),
        );
        Some(())
    };
    let _ = link();
}
