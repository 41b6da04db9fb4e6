//! Names of shards out of patterns with braces, as shells and the webdataset library expand them.

use crate::datasets::error::DataError;

/// Most shards of a data set.
pub const MAX_SHARDS: usize = 1_000_000;

/// Every name that a pattern stands for, in order: `{0000..0005}` counts, keeping the width of the
/// first number; `{a,b}` chooses; several braces multiply.
///
/// # Errors
/// [`DataError::Config`] for braces that do not close, nested braces, a range that runs backwards, or
/// more than [`MAX_SHARDS`] names.
pub fn expand(pattern: &str) -> Result<Vec<String>, DataError> {
    let refuse = |message: String| DataError::Config {
        field: "source.shards",
        message: format!("{pattern:?} {message}"),
    };
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, braced)) = rest.split_once('{') {
        let (inside, after) = braced
            .split_once('}')
            .ok_or_else(|| refuse("has a brace that does not close".to_owned()))?;
        if inside.contains('{') || before.contains('}') {
            return Err(refuse(
                "has braces inside braces, or one that does not open".to_owned(),
            ));
        }
        let choices = choices(inside).map_err(refuse)?;
        if names.len().saturating_mul(choices.len()) > MAX_SHARDS {
            return Err(refuse(format!("stands for more than {MAX_SHARDS} shards")));
        }
        names = names
            .iter()
            .flat_map(|name| choices.iter().map(move |c| format!("{name}{before}{c}")))
            .collect();
        rest = after;
    }
    if rest.contains('}') {
        return Err(refuse("has a brace that does not open".to_owned()));
    }
    for name in &mut names {
        name.push_str(rest);
    }
    Ok(names)
}

/// What stands between braces.
fn choices(inside: &str) -> Result<Vec<String>, String> {
    let Some((first, last)) = inside.split_once("..") else {
        return Ok(inside.split(',').map(str::to_owned).collect());
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u64>()
            .ok()
            .filter(|_| digits)
            .ok_or_else(|| format!("has a range with {text:?}, which is no number"))
    };
    let (from, to) = (number(first)?, number(last)?);
    if to < from {
        return Err(format!("has a range that runs from {from} back to {to}"));
    }
    if to - from >= MAX_SHARDS as u64 {
        return Err(format!("stands for more than {MAX_SHARDS} shards"));
    }
    let width = first.len();
    Ok((from..=to).map(|n| format!("{n:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn braces_count_and_choose() {
        let names = |pattern| expand(pattern).unwrap();
        assert_eq!(names("a.tar"), ["a.tar"]);
        assert_eq!(
            names("t-{0008..0010}.tar"),
            ["t-0008.tar", "t-0009.tar", "t-0010.tar"]
        );
        assert_eq!(names("{a,b}/{0..1}"), ["a/0", "a/1", "b/0", "b/1"]);
    }

    #[test]
    fn impossible_braces_are_refused() {
        for pattern in [
            "{0..1",
            "0..1}",
            "{2..1}",
            "{a..b}",
            "{-1..1}",
            "{{0..1}}",
            "{0..9999999}",
            "{0..1999}{0..1999}",
            "{0..18446744073709551615}",
        ] {
            assert!(
                matches!(expand(pattern), Err(DataError::Config { .. })),
                "{pattern}"
            );
        }
    }
}
