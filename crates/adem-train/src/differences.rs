//! What two runs' settings differ in, in words.

use serde_json::Value;

/// Most differences that are told.
const SHOWN: usize = 3;

/// Names what the settings `saved`, a JSON text, have otherwise than `wanted`.
pub(crate) fn differences(saved: &str, wanted: &str) -> String {
    let parse = |text| serde_json::from_str::<Value>(text).unwrap_or_default();
    let mut all = Vec::new();
    compare(String::new(), &parse(saved), &parse(wanted), &mut all);
    let more = all.len().saturating_sub(SHOWN);
    all.truncate(SHOWN);
    if more > 0 {
        all.push(format!("{more} more"));
    }
    all.join("; ")
}

fn compare(path: String, saved: &Value, wanted: &Value, all: &mut Vec<String>) {
    match (saved, wanted) {
        (Value::Object(a), Value::Object(b)) => {
            let new = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(new) {
                let path = match path.as_str() {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                let get = |object: &serde_json::Map<String, Value>| object.get(key).cloned();
                let [a, b] = [a, b].map(|it| get(it).unwrap_or_default());
                compare(path, &a, &b, all);
            }
        }
        (a, b) if a == b => {}
        (a, b) => all.push(format!("`{path}` was {a} and is {b}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_by_its_path() {
        let told = |a, b| differences(a, b);
        assert_eq!(
            told(
                r#"{"a":{"lr":1,"x":2},"b":1}"#,
                r#"{"a":{"lr":2,"x":2},"c":"d"}"#
            ),
            r#"`a.lr` was 1 and is 2; `b` was 1 and is null; `c` was null and is "d""#
        );
        let many = r#"{"a":1,"b":1,"c":1,"d":1,"e":1}"#;
        assert!(told(many, "{}").ends_with("; 2 more"));
    }
}
