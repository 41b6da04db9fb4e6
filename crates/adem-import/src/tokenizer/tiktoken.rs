//! Llama 3's own `tokenizer.model`: tiktoken's ranks, a token in base64 and its number on each line
//! (openai/tiktoken, `load.py`). Pattern and special tokens are not in the file; they are those of
//! meta-llama/llama3, `tokenizer.py`.
//!
//! tiktoken merges whichever two neighbours make the token of lowest rank. What those two are follows
//! from the ranks: by the time a token is made, all of lower rank that could be made within it have
//! been, so that its bytes, merged by the lower ranks alone, are its two parts. A token of which that
//! leaves more than two is made by no merge, only where a word is looked up whole.

use std::collections::HashMap;

use adem_data::tokenizer::byte_symbol;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::byte_level::{self, Cut};
use crate::error::{ImportError, excerpt};

const FORMAT: &str = "tiktoken";
/// Beginning of a file in which a line of the format must be.
const LOOKED_AT: usize = 1024;
/// Longest token, bytes.
const TOKEN_BYTES: usize = 512;
/// Special tokens after the ranks.
const SPECIAL: usize = 256;

/// Whether a line of the file's beginning is a token and its rank.
pub(super) fn is_tiktoken(bytes: &[u8]) -> bool {
    let first = &bytes[..bytes.len().min(LOOKED_AT)];
    first
        .split(|byte| *byte == b'\n')
        .any(|it| line(it).is_some())
}

/// The token and the rank of a line.
fn line(line: &[u8]) -> Option<(Vec<u8>, usize)> {
    let text = std::str::from_utf8(line).ok()?;
    let (token, rank) = text.trim_end_matches('\r').split_once(' ')?;
    let token = STANDARD.decode(token).ok()?;
    let rank = rank.parse().ok()?;
    (!token.is_empty()).then_some((token, rank))
}

/// The `tokenizer.json` of such a file.
pub(super) fn to_json(file: &str, bytes: &[u8]) -> Result<Vec<u8>, ImportError> {
    let fault = |reason: String| ImportError::malformed(file, FORMAT, reason);
    let tokens = tokens(bytes).map_err(fault)?;
    let pairs = tokens.iter().enumerate();
    let ranks: HashMap<&[u8], usize> = pairs.map(|(rank, it)| (it.as_slice(), rank)).collect();
    if let Some(byte) = (0..=u8::MAX).find(|byte| !ranks.contains_key(&[*byte][..])) {
        return Err(fault(format!("it has no token of the byte {byte:#04x}")));
    }
    let spelled = |token: &[u8]| token.iter().map(|b| byte_symbol(*b)).collect::<String>();
    let vocab = tokens.iter().enumerate();
    let vocab = vocab.map(|(rank, it)| (spelled(it), json!(rank))).collect();
    let merges = tokens.iter().enumerate().filter_map(|(rank, token)| {
        let (left, right) = token.split_at(parts(token, rank, &ranks)?);
        Some(json!([spelled(left), spelled(right)]))
    });
    let added = (0..SPECIAL).map(|i| byte_level::added(tokens.len() + i, &special(i), true));
    let merges: Vec<Value> = merges.collect();
    let json = byte_level::file(vocab, added.collect(), json!(merges), Cut::Llama3);
    serde_json::to_vec(&json).map_err(|e| fault(e.to_string()))
}

/// The tokens by their ranks, which are the numbers from 0 on.
fn tokens(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut lines = bytes.split(|byte| *byte == b'\n').enumerate();
    let mut found: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut tokens: Vec<Option<Vec<u8>>> = Vec::new();
    // More ranks than lines cannot be.
    let most = lines.clone().count();
    lines.try_for_each(|(index, text)| {
        let number = index + 1;
        if text.trim_ascii().is_empty() {
            return Ok(());
        }
        let Some((token, rank)) = line(text) else {
            let text = excerpt(&String::from_utf8_lossy(text));
            return Err(format!(
                "line {number} is `{text}`, and not a token in base64, a blank and its rank"
            ));
        };
        if token.len() > TOKEN_BYTES {
            let length = token.len();
            return Err(format!(
                "line {number}: a token of {length} bytes, at most {TOKEN_BYTES} are read"
            ));
        }
        if rank >= most {
            return Err(format!(
                "line {number}: rank {rank} among {most} lines; ranks go up from 0"
            ));
        }
        if let Some(before) = found.insert(token.clone(), number) {
            return Err(format!("line {number}: the token of line {before} again"));
        }
        if tokens.len() <= rank {
            tokens.resize(rank + 1, None);
        }
        match tokens[rank].replace(token) {
            None => Ok(()),
            Some(_) => Err(format!("line {number}: rank {rank} is there twice")),
        }
    })?;
    let missing = tokens.iter().position(Option::is_none);
    match missing {
        None => Ok(tokens.into_iter().flatten().collect()),
        Some(rank) => Err(format!("no line has rank {rank}")),
    }
}

/// Where `token` is put together of two others, if it is: what merging by the ranks below its own
/// leaves of its bytes.
fn parts(token: &[u8], rank: usize, ranks: &HashMap<&[u8], usize>) -> Option<usize> {
    // Where parts begin, with the end of the last; and the rank of each with the one after it.
    let mut bounds: Vec<usize> = (0..=token.len()).collect();
    let pair = |bounds: &[usize], at: usize| {
        let (begin, end) = (bounds.get(at)?, bounds.get(at + 2)?);
        let found = ranks.get(&token[*begin..*end]).copied();
        found.filter(|found| *found < rank)
    };
    let mut pairs: Vec<Option<usize>> = (0..token.len()).map(|at| pair(&bounds, at)).collect();
    loop {
        let made = pairs.iter().enumerate();
        let made = made.filter_map(|(at, rank)| rank.map(|rank| (rank, at)));
        let Some((_, at)) = made.min() else { break };
        bounds.remove(at + 1);
        pairs.remove(at + 1);
        pairs[at] = pair(&bounds, at);
        if at > 0 {
            pairs[at - 1] = pair(&bounds, at - 1);
        }
    }
    match bounds.as_slice() {
        [_, middle, _] => Some(*middle),
        _ => None,
    }
}

/// The name of special token `index`. Later releases give some reserved ones names; their ids stay.
fn special(index: usize) -> String {
    let reserved = |number: usize| format!("<|reserved_special_token_{number}|>");
    match index {
        0 => "<|begin_of_text|>".to_owned(),
        1 => "<|end_of_text|>".to_owned(),
        2..=5 => reserved(index - 2),
        6 => "<|start_header_id|>".to_owned(),
        7 => "<|end_header_id|>".to_owned(),
        8 => reserved(4),
        9 => "<|eot_id|>".to_owned(),
        _ => reserved(index - 5),
    }
}
