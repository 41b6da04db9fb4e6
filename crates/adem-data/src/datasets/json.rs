//! Large JSON files element by element, each with its line: one broken element costs one row, and a
//! file that was cut off still gives the rows before the cut.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::error::{DataError, RowFault};

/// Largest annotation file that is read, in bytes: several times the largest of the known ones.
pub(super) const MAX_FILE_BYTES: u64 = 2 << 30;

/// Reads an annotation file.
///
/// # Errors
/// [`DataError::File`]: not readable, too large, or not UTF-8.
pub(super) fn read_text(path: &Path) -> Result<String, DataError> {
    let file = File::open(path).map_err(|e| DataError::file(path, e))?;
    let length = file.metadata().map_err(|e| DataError::file(path, e))?.len();
    let too_large = || {
        let message = format!("is larger than {MAX_FILE_BYTES} bytes; split it, or use shards");
        DataError::file(path, message)
    };
    if length > MAX_FILE_BYTES {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| DataError::file(path, e))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(too_large());
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = 1 + e.as_bytes()[..valid]
            .iter()
            .filter(|&&b| b == b'\n')
            .count();
        DataError::file(
            path,
            format!("line {line} is not UTF-8; save the file as UTF-8"),
        )
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// What a JSON text holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Object,
}

/// An element of a list, or a member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// Line of its first character, from 1.
    pub line: u64,
    /// The member's name; empty in a list.
    pub key: String,
    /// Its JSON text, not looked into yet.
    pub text: &'a str,
}

/// A place where a text stops being a list or an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    pub line: u64,
    pub fault: RowFault,
}

/// The elements of a list or object.
pub(super) struct Elements<'a> {
    text: &'a str,
    kind: Kind,
    at: usize,
    line: u64,
    done: bool,
}

impl<'a> Elements<'a> {
    /// The elements of `text`, whose first line is the file's line `line`; `None` where it is neither
    /// a list nor an object.
    pub(super) fn new(text: &'a str, line: u64) -> Option<Self> {
        let mut elements = Self {
            text,
            kind: Kind::List,
            at: 0,
            line,
            done: false,
        };
        elements.pass_while(|b| b.is_ascii_whitespace());
        elements.kind = match elements.peek()? {
            b'[' => Kind::List,
            b'{' => Kind::Object,
            _ => return None,
        };
        elements.at += 1;
        Some(elements)
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn pass_while(&mut self, what: impl Fn(u8) -> bool) {
        while let Some(byte) = self.peek().filter(|&b| what(b)) {
            self.line += u64::from(byte == b'\n');
            self.at += 1;
        }
    }

    /// Passes over a value: everything up to a comma or closing bracket outside of its own brackets
    /// and strings. `None` where the text ends before.
    fn pass_value(&mut self) -> Option<()> {
        let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
        loop {
            let byte = self.peek()?;
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'[' | b'{' => depth += 1,
                b',' | b']' | b'}' if depth == 0 => return Some(()),
                b']' | b'}' => depth -= 1,
                _ => {}
            }
            self.line += u64::from(byte == b'\n');
            self.at += 1;
        }
    }

    /// Passes over a member's name and its colon.
    fn pass_key(&mut self) -> Option<String> {
        let start = self.at;
        let mut escaped = false;
        self.at += usize::from(self.peek()? == b'"');
        if self.at == start {
            return None;
        }
        loop {
            let byte = self.peek()?;
            self.at += 1;
            self.line += u64::from(byte == b'\n');
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => break,
                _ => {}
            }
        }
        let key = serde_json::from_str(self.text.get(start..self.at)?).ok()?;
        self.pass_while(|b| b.is_ascii_whitespace());
        if self.peek()? != b':' {
            return None;
        }
        self.at += 1;
        Some(key)
    }

    fn broken(&mut self, line: u64, message: &str) -> Broken {
        self.done = true;
        Broken {
            line,
            fault: RowFault::Json(message.to_owned()),
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        const CUT: &str = "the file ends before this element does; copy or download it again";
        if self.done {
            return None;
        }
        self.pass_while(|b| b.is_ascii_whitespace() || b == b',');
        let mut line = self.line;
        match self.peek() {
            None => return Some(Err(self.broken(line, "the file ends before its list does"))),
            Some(b']' | b'}') => {
                self.done = true;
                return None;
            }
            Some(_) => {}
        }
        let mut key = String::new();
        if self.kind == Kind::Object {
            match self.pass_key() {
                Some(found) => key = found,
                None if self.peek().is_none() => return Some(Err(self.broken(line, CUT))),
                None => {
                    let message = "a member's name in double quotes and a colon should stand here";
                    return Some(Err(self.broken(line, message)));
                }
            }
            self.pass_while(|b| b.is_ascii_whitespace());
            line = self.line;
        }
        let start = self.at;
        if self.pass_value().is_none() {
            // What is between brackets or quotes shows that it is cut when it is parsed; the rest of
            // a cut list of rows is thus still read row by row.
            if !self.text[start..].starts_with(['{', '[', '"']) {
                return Some(Err(self.broken(line, CUT)));
            }
            self.done = true;
        }
        let text = self.text.get(start..self.at).unwrap_or_default().trim_end();
        Some(Ok(Element { line, key, text }))
    }
}

/// Reads one element.
///
/// # Errors
/// [`RowFault::Json`].
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, RowFault> {
    serde_json::from_str(text).map_err(|e| RowFault::Json(without_place(&e)))
}

/// The message alone: the line it names counts from the element's first.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rfind(" at line ") {
        Some(end) => message[..end].to_owned(),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    fn all(text: &str) -> Vec<Result<Element<'_>, Broken>> {
        Elements::new(text, 1).unwrap().collect()
    }

    #[test]
    fn elements_carry_their_lines() {
        let text = "[\n{\"a\": [1,\n2]},\n\n  3 , \"x,]\\\"\"\n]";
        let lines: Vec<_> = all(text)
            .into_iter()
            .map(|e| e.unwrap())
            .map(|e| (e.line, e.text))
            .collect();
        assert_eq!(
            lines,
            [(2, "{\"a\": [1,\n2]}"), (5, "3"), (5, "\"x,]\\\"\"")]
        );
    }

    #[test]
    fn a_cut_file_gives_what_was_before_the_cut() {
        let text = "[{\"a\": 1},\n{\"b\": \"tw";
        let found = all(text);
        assert_eq!(found.len(), 2);
        assert!(parse::<Value>(found[0].as_ref().unwrap().text).is_ok());
        let cut = found[1].as_ref().unwrap();
        assert_eq!(cut.line, 2);
        assert!(parse::<Value>(cut.text).is_err());
        assert_eq!(all("{\"a\": 1, \"b").len(), 2);
        assert!(all("[1").last().unwrap().is_err());
        assert!(all("{1: 2}")[0].is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a\\\\\"\\[\\]{},: \n\u{e9}]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a\"\\\\,}]{0,3}", inner, 0..4)
                    .prop_map(|m| Value::Object(Map::from_iter(m))),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_document_comes_apart_into_its_parts(value in any_json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.unwrap();
            let parts = Elements::new(&text, 1);
            match &value {
                Value::Array(items) => {
                    let found: Vec<Value> = parts.unwrap().map(|e| parse(e.unwrap().text).unwrap()).collect();
                    prop_assert_eq!(&found, items);
                }
                Value::Object(map) => {
                    let found: Map<String, Value> = parts.unwrap()
                        .map(|e| e.unwrap())
                        .map(|e| (e.key, parse(e.text).unwrap()))
                        .collect();
                    prop_assert_eq!(&found, map);
                }
                _ => prop_assert!(parts.is_none()),
            }
        }

        #[test]
        fn no_text_stops_it(text: String) {
            if let Some(parts) = Elements::new(&text, 1) {
                prop_assert!(parts.count() <= text.len());
            }
        }
    }
}
