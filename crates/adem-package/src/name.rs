//! File and tensor names that may appear in a package.

use crate::limits;

/// Whether `name` is a file directly inside a package on every platform and in every address:
/// letters, digits, `.`, `_` and `-`, not starting with a dot. No separator, drive, parent
/// folder or escape can be spelt with these.
pub(crate) fn is_plain(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// What is wrong with a tensor's name, if anything.
pub(crate) fn tensor_name_fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("a tensor needs a name")
    } else if name.len() > limits::NAME_BYTES {
        Some("the tensor's name is too long")
    } else if name.chars().any(char::is_control) {
        Some("a tensor's name has no control characters")
    } else if name == "__metadata__" {
        Some("`__metadata__` is reserved by safetensors")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_stay_inside_the_folder_are_plain() {
        for good in [
            "tokenizer.json",
            "weights-00001-of-00002.safetensors",
            "a..b",
        ] {
            assert!(is_plain(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "/etc/passwd",
            "a\\b",
            "C:x",
            "x%2Fy",
            "a?b",
            "a#b",
            "a b",
            ".hidden",
            "é",
            "x\0",
            "~root/x",
        ] {
            assert!(!is_plain(bad), "{bad:?}");
        }
        assert!(!is_plain(&"a".repeat(129)));
    }
}
