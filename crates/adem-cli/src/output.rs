//! What is printed: plain lines, streamed text, or JSON objects.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use adem_pipeline::{Outcome, Timings};
use serde::Serialize;

use crate::error::CliError;

/// Milliseconds by stage.
#[derive(Debug, Serialize)]
struct Ms {
    picture: f64,
    vision: f64,
    prefill: f64,
    decode: f64,
}

impl From<Timings> for Ms {
    fn from(t: Timings) -> Self {
        let exact_enough = |ms: f64| (ms * 1000.0).round() / 1000.0;
        Self {
            picture: exact_enough(t.picture_ms),
            vision: exact_enough(t.vision_ms),
            prefill: exact_enough(t.prefill_ms),
            decode: exact_enough(t.decode_ms),
        }
    }
}

/// One described picture.
#[derive(Debug, Serialize)]
struct Described<'a> {
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caption: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a str>,
    tokens: usize,
    complete: bool,
    ms: Ms,
}

#[derive(Debug, Serialize)]
struct Failed<'a> {
    file: &'a str,
    error: String,
}

/// Prints texts about pictures.
#[derive(Debug)]
pub struct Printer {
    json: bool,
    stream: bool,
    /// Say which picture a line is about.
    names: bool,
    open_line: bool,
}

impl Printer {
    /// A printer for `pictures` pictures. Text is shown as it comes where somebody looks on.
    pub fn new(json: bool, pictures: usize) -> Self {
        let stream = !json && io::stdout().is_terminal();
        Self {
            json,
            stream,
            names: pictures > 1,
            open_line: false,
        }
    }

    /// More text about `file`.
    pub fn text(&mut self, file: &str, text: &str) -> Result<(), CliError> {
        if !self.stream || text.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        if !self.open_line && self.names {
            write!(out, "{file}: ").map_err(CliError::Output)?;
        }
        self.open_line = true;
        write!(out, "{text}")
            .and_then(|()| out.flush())
            .map_err(CliError::Output)
    }

    /// A finished text about `file`; an answer where there was a `question`.
    pub fn done(
        &mut self,
        file: &str,
        question: Option<&str>,
        outcome: &Outcome,
    ) -> Result<(), CliError> {
        let text = outcome.text.as_str();
        if self.json {
            return json(&Described {
                file,
                question,
                caption: question.is_none().then_some(text),
                answer: question.map(|_| text),
                tokens: outcome.tokens,
                complete: outcome.complete,
                ms: outcome.timings.into(),
            });
        }
        match (std::mem::take(&mut self.open_line), self.names) {
            (true, _) => line(""),
            (false, true) => line(&format!("{file}: {text}")),
            (false, false) => line(text),
        }
    }

    /// `file` could not be described.
    pub fn failed(&mut self, file: &str, error: &CliError) -> Result<(), CliError> {
        if self.json {
            return json(&Failed {
                file,
                error: error.to_string(),
            });
        }
        if std::mem::take(&mut self.open_line) {
            line("")?;
        }
        eprintln!("adem: {file}: {error}");
        Ok(())
    }
}

/// Prints `value` as one line of JSON.
pub fn json(value: &impl Serialize) -> Result<(), CliError> {
    let text =
        serde_json::to_string(value).map_err(|error| CliError::Output(io::Error::other(error)))?;
    line(&text)
}

/// Prints a report: one JSON object where that was asked for, else its words.
pub fn report(report: &(impl Serialize + Display), as_json: bool) -> Result<(), CliError> {
    match as_json {
        true => json(report),
        false => line(report.to_string().trim_end()),
    }
}

/// Prints one line.
pub fn line(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(CliError::Output)
}

/// A length of time in the words of a person.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.round().max(0.0) as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// So many of a thing: "1 shard", "2 shards".
pub fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

/// Bytes in the words of a person.
pub fn size(bytes: u64) -> String {
    let mb = bytes as f64 / 1e6;
    match mb {
        0.0..1000.0 => format!("{mb:.0} MB"),
        _ => format!("{:.1} GB", mb / 1000.0),
    }
}
