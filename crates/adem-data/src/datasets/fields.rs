//! Picture, question and texts out of a JSON object, under the names that data sets use.

use serde_json::{Map, Value};

use super::error::RowFault;
use super::sample::Prompt;

/// Names of the field that names the picture's file.
pub(super) const PICTURE: [&str; 6] =
    ["image", "file_name", "filename", "file", "filepath", "path"];
/// Names of the field that holds captions: a text or a list of them.
pub(super) const CAPTION: [&str; 3] = ["captions", "caption", "text"];
const QUESTION: &str = "question";
const ANSWER: [&str; 2] = ["answers", "answer"];

/// The first of the named fields that is there and not null.
pub(super) fn find<'a>(
    object: &'a Map<String, Value>,
    names: &[&'static str],
) -> Option<(&'static str, &'a Value)> {
    names
        .iter()
        .filter_map(|&name| Some((name, object.get(name)?)))
        .find(|(_, value)| !value.is_null())
}

/// A text field.
///
/// # Errors
/// [`RowFault::Field`] for another type.
pub(super) fn text(field: &'static str, value: &Value) -> Result<String, RowFault> {
    match value {
        Value::String(text) => Ok(text.clone()),
        other => Err(RowFault::Field {
            field,
            message: format!("is {}, must be a text", kind(other)),
        }),
    }
}

/// A text, or a list of texts.
///
/// # Errors
/// [`RowFault::Field`] for other types.
pub(super) fn texts(field: &'static str, value: &Value) -> Result<Vec<String>, RowFault> {
    match value {
        Value::Array(list) => list.iter().map(|item| text(field, item)).collect(),
        one => Ok(vec![text(field, one)?]),
    }
}

/// What an object asks and what may be answered: `question` with `answer`, or captions.
///
/// # Errors
/// [`RowFault`] where neither is there or one is of the wrong type.
pub(super) fn prompt_and_targets(
    object: &Map<String, Value>,
) -> Result<(Prompt, Vec<String>), RowFault> {
    if let Some((field, question)) = find(object, &[QUESTION]) {
        let (answer, value) = find(object, &ANSWER).ok_or(RowFault::Missing("answer"))?;
        let question = text(field, question)?;
        if question.trim().is_empty() {
            return Err(RowFault::Empty("question"));
        }
        return Ok((Prompt::Question(question), texts(answer, value)?));
    }
    let (field, value) = find(object, &CAPTION).ok_or(RowFault::Missing("caption"))?;
    Ok((Prompt::Caption, texts(field, value)?))
}

/// What the texts of a prompt are called in messages.
pub(super) fn target_name(prompt: &Prompt) -> &'static str {
    match prompt {
        Prompt::Caption => "caption",
        Prompt::Question(_) | Prompt::Exact(_) => "answer",
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
