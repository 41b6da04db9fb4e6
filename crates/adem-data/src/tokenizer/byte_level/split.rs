//! Where a text is cut before pairs are merged: what the regular expressions of known tokenizers
//! match, written out.

use serde_json::Value;

use super::unicode::{Class, LETTER, NUMBER, OTHER, SPACE, class};
use crate::tokenizer::TokenizerError;
use crate::tokenizer::json::{field, refused};

/// Most steps of one file.
const STEPS: usize = 8;

/// GPT-2's pattern, which `ByteLevel` has built in.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// Llama 3's pattern, before and after its `\p{N}{1,3}`.
const LLAMA3: [&str; 2] = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];

/// One way of cutting; a file's steps each cut what the one before has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A space is put before a text that does not begin with one.
    Space,
    /// Digits lie apart from all else, each alone or as they stand together.
    Digits { alone: bool },
    /// GPT-2's pattern.
    Gpt2,
    /// Llama 3's pattern, with so many digits together.
    Llama3 { digits: usize },
}

/// Whether the field `pre_tokenizer` is of a byte-level tokenizer.
pub(in crate::tokenizer) fn is_byte_level(pre_tokenizer: &Value) -> bool {
    let mut steps = each(pre_tokenizer).iter();
    steps.any(|step| field(step, "type") == "ByteLevel")
}

/// The steps in the field.
fn each(pre_tokenizer: &Value) -> &[Value] {
    match field(pre_tokenizer, "pretokenizers").as_array() {
        Some(all) if field(pre_tokenizer, "type") == "Sequence" => all,
        _ => std::slice::from_ref(pre_tokenizer),
    }
}

/// The steps of the field `pre_tokenizer`, the last of them `ByteLevel`.
pub(super) fn steps(pre_tokenizer: &Value) -> Result<Vec<Step>, TokenizerError> {
    let all = each(pre_tokenizer);
    let mut steps = Vec::new();
    for (index, it) in all.iter().enumerate() {
        let off = |name: &str| *field(it, name) == false;
        let known = match field(it, "type").as_str() {
            Some("ByteLevel") if index + 1 == all.len() => {
                let space = (!off("add_prefix_space")).then_some(Step::Space);
                [space, (!off("use_regex")).then_some(Step::Gpt2)]
            }
            Some("Digits") => {
                let alone = *field(it, "individual_digits") == true;
                [Some(Step::Digits { alone }), None]
            }
            Some("Split")
                if field(it, "behavior") == "Isolated" && *field(it, "invert") != true =>
            {
                let regex = field(field(it, "pattern"), "Regex").as_str();
                [regex.and_then(pattern), None]
            }
            _ => [None; 2],
        };
        let last = index + 1 == all.len();
        if (known == [None; 2] && !last)
            || index >= STEPS
            || (last && field(it, "type") != "ByteLevel")
        {
            return Err(refused(
                "pre_tokenizer",
                it,
                "ByteLevel, after Digits or a Split by GPT-2's or Llama 3's pattern",
            ));
        }
        steps.extend(known.into_iter().flatten());
    }
    Ok(steps)
}

/// The step that cuts as this regular expression does.
fn pattern(regex: &str) -> Option<Step> {
    if regex == GPT2 {
        return Some(Step::Gpt2);
    }
    let [before, after] = LLAMA3;
    let digits = regex.strip_prefix(before)?.strip_suffix(after)?;
    let digits = match digits {
        "" => 1,
        "{1,3}" => 3,
        "+" => usize::MAX,
        _ => return None,
    };
    Some(Step::Llama3 { digits })
}

impl Step {
    /// Length in bytes of the first part of `text`, which is not empty.
    pub fn first(self, text: &str) -> usize {
        let mut chars = text.chars();
        let Some(first) = chars.next() else { return 0 };
        let is = class(first);
        let second = chars.next();
        let next = second.map(class);
        match self {
            Self::Space => text.len(),
            Self::Digits { alone } => match is {
                NUMBER if alone => first.len_utf8(),
                NUMBER => run(text, NUMBER, usize::MAX),
                _ => run(text, !NUMBER, usize::MAX),
            },
            Self::Gpt2 => {
                if let Some(end) = contraction(text, false) {
                    return end;
                }
                // A space belongs to what follows it.
                let (skip, is) = match next {
                    Some(next) if first == ' ' => (1, next),
                    _ => (0, is),
                };
                match is {
                    SPACE => blank(text),
                    is => skip + run(&text[skip..], is, usize::MAX),
                }
            }
            Self::Llama3 { digits } => {
                if let Some(end) = contraction(text, true) {
                    return end;
                }
                // Letters take what stands before them along, but for newlines and numbers.
                let taken = is & (SPACE | OTHER) != 0 && !matches!(first, '\r' | '\n');
                let skip = match is {
                    LETTER => 0,
                    _ if taken && next == Some(LETTER) => first.len_utf8(),
                    // Marks take a space before them along, and newlines after them.
                    _ if first == ' ' && next == Some(OTHER) => 1,
                    NUMBER => return run(text, NUMBER, digits),
                    OTHER => 0,
                    _ => return newlines(text).unwrap_or_else(|| blank(text)),
                };
                let wanted = if skip > 0 { next.unwrap_or(is) } else { is };
                let mut end = skip + run(&text[skip..], wanted, usize::MAX);
                let newline = |byte: Option<&u8>| matches!(byte, Some(b'\r' | b'\n'));
                while wanted == OTHER && newline(text.as_bytes().get(end)) {
                    end += 1;
                }
                end
            }
        }
    }
}

/// Length in bytes of the characters of `wanted` that `text` begins with, at most so many of them.
#[inline(never)]
fn run(text: &str, wanted: Class, most: usize) -> usize {
    let mut chars = text.chars();
    let mut left = most;
    loop {
        let rest = chars.as_str().len();
        match chars.next() {
            Some(c) if left > 0 && class(c) & wanted != 0 => left -= 1,
            _ => return text.len() - rest,
        }
    }
}

/// White space at the beginning of `text` up to its last newline, `\s*[\r\n]+`.
fn newlines(text: &str) -> Option<usize> {
    let spaces = &text.as_bytes()[..run(text, SPACE, usize::MAX)];
    let last = spaces.iter().rposition(|b| matches!(b, b'\r' | b'\n'));
    last.map(|last| last + 1)
}

/// White space at the beginning of `text`, without the last of it where a word follows, as
/// `\s+(?!\S)|\s+` has it.
fn blank(text: &str) -> usize {
    let end = run(text, SPACE, usize::MAX);
    match text[..end].chars().next_back() {
        Some(last) if last.len_utf8() < end && end < text.len() => end - last.len_utf8(),
        _ => end,
    }
}

/// `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` at the beginning of `text`, in bytes.
#[inline(never)]
fn contraction(text: &str, capitals: bool) -> Option<usize> {
    let mut letters = text.strip_prefix('\'')?.chars();
    let small = |c: char| match c {
        // A letter s of old print is one for regular expressions, too.
        '\u{17f}' if capitals => 's',
        c if capitals => c.to_ascii_lowercase(),
        c => c,
    };
    let first = letters.next()?;
    match (small(first), letters.next().map(small)) {
        ('s' | 't' | 'm' | 'd', _) => Some(1 + first.len_utf8()),
        ('r' | 'v', Some('e')) | ('l', Some('l')) => Some(3),
        _ => None,
    }
}
