//! JSON whose faults are named by the path of their field.

use serde::de::DeserializeOwned;

/// A field that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}`: {reason}")]
pub struct Misfit {
    /// Where it stands: `shards[0].bytes`; `.` for the whole text.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads a `T` from JSON text.
///
/// The text is walked a second time for the path of a fault: that is a fraction of the code which a
/// deserialiser needs that notes its path as it goes.
///
/// # Errors
/// [`Misfit`], with the path of the field.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Misfit> {
    serde_json::from_slice(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let reason = error.to_string();
        let place = format!(" at line {line} column {column}");
        Misfit {
            path: path_at(text, offset(text, line, column)),
            reason: reason.strip_suffix(&place).unwrap_or(&reason).to_owned(),
        }
    })
}

/// Bytes before a place as `serde_json` counts it: lines from 1, columns read so far.
fn offset(text: &[u8], line: usize, column: usize) -> usize {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let before: usize = lines.take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    before + column
}

/// An object or array that is open, and which of its values is being read.
enum Level {
    Object(String),
    Array(usize),
}

/// The path of what is being read `end` bytes into valid JSON, or ends there.
fn path_at(text: &[u8], end: usize) -> String {
    let mut levels = Vec::new();
    let mut key = false;
    let mut at = 0;
    while let Some(byte) = text[..end.min(text.len())].get(at) {
        let start = at;
        at += 1;
        match byte {
            b'{' => {
                levels.push(Level::Object(String::new()));
                key = true;
            }
            b'[' => levels.push(Level::Array(0)),
            // What just ended is its parent's value.
            b'}' | b']' => drop(levels.pop()),
            b':' => key = false,
            b',' => match levels.last_mut() {
                Some(Level::Array(index)) => *index += 1,
                Some(Level::Object(name)) => {
                    name.clear();
                    key = true;
                }
                None => {}
            },
            b'"' => {
                at = string_end(text, at);
                if let (true, Some(Level::Object(name))) = (key, levels.last_mut()) {
                    let text = text.get(start..at).unwrap_or_default();
                    *name = serde_json::from_slice(text).unwrap_or_default();
                }
            }
            _ => {}
        }
    }
    let mut path = String::new();
    for level in levels {
        match level {
            Level::Object(name) if name.is_empty() => {}
            Level::Object(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&name);
            }
            Level::Array(index) => path.push_str(&format!("[{index}]")),
        }
    }
    match path.is_empty() {
        true => ".".to_owned(),
        false => path,
    }
}

/// Behind the quotation mark that ends the string whose content begins at `at`.
fn string_end(text: &[u8], mut at: usize) -> usize {
    while let Some(byte) = text.get(at) {
        at += match byte {
            b'"' => return at + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    at
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Outer {
        name: String,
        inner: Option<Inner>,
        #[serde(default)]
        list: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        size: u32,
        pair: [f32; 2],
    }

    fn path(text: &str) -> String {
        parse::<Outer>(text.as_bytes()).unwrap_err().path
    }

    #[test]
    fn a_fault_is_named_by_its_path() {
        let cases = [
            (r#"{"name": 5}"#, "name"),
            (r#"{"name": {}}"#, "name"),
            (
                r#"{"name": "a", "inner": {"size": -1, "pair": [0, 0]}}"#,
                "inner.size",
            ),
            (
                r#"{"name": "a", "inner": {"size": "x", "pair": [0, 0]}}"#,
                "inner.size",
            ),
            (
                r#"{"name": "a", "inner": {"size": 1, "pair": [0]}}"#,
                "inner.pair",
            ),
            (
                r#"{"name": "a", "inner": {"size": 1, "pair": [0, true]}}"#,
                "inner.pair[1]",
            ),
            (r#"{"name": "a", "inner": {"size": 1}}"#, "inner"),
            (
                r#"{"name": "a", "inner": {"size": 1, "size": 2}}"#,
                "inner.size",
            ),
            (r#"{"name": "a", "inner": {"colour": 1}}"#, "inner.colour"),
            (
                r#"{"name": "a\"],:{", "list": [{"size": 1, "pair": [0, 1]}, {"size": null}]}"#,
                "list[1].size",
            ),
            (
                r#"{"name": "a", "list": [{"size": 1, "pair": [0, 1]}, 3]}"#,
                "list[1]",
            ),
            (
                "{\n\"name\": \"a\",\n\"list\": [\n{\"size\": 1.5}]}",
                "list[0].size",
            ),
            (r#"{"inner": null}"#, "."),
            ("[]", "."),
        ];
        for (text, expected) in cases {
            assert_eq!(path(text), expected, "{text}");
        }
    }

    #[test]
    fn the_reason_leaves_lines_and_columns_out() {
        let misfit = parse::<Outer>(br#"{"name": 5}"#).unwrap_err();
        assert_eq!(
            misfit.to_string(),
            "`name`: invalid type: integer `5`, expected a string"
        );
    }
}
