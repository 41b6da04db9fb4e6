//! What a server's answer to a range request amounts to.

use std::ops::Range;

use crate::error::SourceError;
use crate::limits;

/// A server's answer. The body ends soon after [`body_limit`] where it is longer.
pub(super) struct Answer {
    pub status: u16,
    pub content_range: Option<String>,
    pub body: Vec<u8>,
}

/// Why there is no answer.
pub(super) enum Failure {
    /// Worth another attempt.
    Transient(String),
    /// Not worth one.
    Permanent(String),
}

/// One answer, sorted.
pub(super) enum Got {
    /// The bytes asked for, and the file's length where the server told.
    Part(Vec<u8>, Option<u64>),
    /// The whole file.
    Whole(Vec<u8>),
    /// The file has this length, and the range begins beyond it.
    Beyond(u64),
}

/// A request for a range, which is not empty, of a file.
pub(super) struct Asked<'a> {
    pub base: &'a str,
    pub file: &'a str,
    pub range: &'a Range<u64>,
}

/// Most bytes of body to accept for an answer of this status.
pub(super) fn body_limit(status: u16, range: &Range<u64>) -> u64 {
    match status {
        206 => range.end - range.start,
        200 => limits::SHARD_BYTES,
        _ => 0,
    }
}

/// The value of the Range header for `range`, which is not empty.
pub(super) fn range_header(range: &Range<u64>) -> String {
    format!("bytes={}-{}", range.start, range.end - 1)
}

impl Answer {
    /// Whether the same request may get another answer soon.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500..=599)
    }
}

impl Asked<'_> {
    pub(super) fn url(&self) -> String {
        format!("{}{}", self.base, self.file)
    }

    /// What `answer` says of the range, or why it does not answer it.
    pub(super) fn sort(&self, answer: Answer) -> Result<Got, SourceError> {
        let header = answer.content_range.as_deref().unwrap_or_default();
        match answer.status {
            200 if answer.body.len() as u64 > limits::SHARD_BYTES => Err(SourceError::TooLong {
                file: self.file.to_owned(),
                limit: limits::SHARD_BYTES,
            }),
            200 => Ok(Got::Whole(answer.body)),
            206 => self
                .part(header, answer.body.len() as u64)
                .map(|total| Got::Part(answer.body, total)),
            416 => match header.strip_prefix("bytes */").and_then(|n| n.parse().ok()) {
                Some(length) => Ok(Got::Beyond(length)),
                None => Err(self.wrong_range(header)),
            },
            404 | 410 => Err(SourceError::NotFound {
                file: self.file.to_owned(),
                place: format!("`{}`", self.base),
            }),
            status => Err(SourceError::Status {
                url: self.url(),
                status,
            }),
        }
    }

    /// Checks a partial answer with `got` bytes of body; returns the file's length if known.
    fn part(&self, header: &str, got: u64) -> Result<Option<u64>, SourceError> {
        let (sent, total) = parse_content_range(header).ok_or_else(|| self.wrong_range(header))?;
        // A server may cut a range at the end of the file, and only there.
        let cut = sent.end < self.range.end && total == Some(sent.end);
        let right = sent.start == self.range.start && (sent.end == self.range.end || cut);
        if !right || got > sent.end - sent.start {
            return Err(self.wrong_range(header));
        }
        let found = sent.start + got;
        if found < self.range.end {
            return Err(SourceError::Short {
                file: self.file.to_owned(),
                wanted: self.range.end,
                found,
            });
        }
        Ok(total)
    }

    fn wrong_range(&self, found: &str) -> SourceError {
        SourceError::ContentRange {
            url: self.url(),
            wanted: format!("{}-{}", self.range.start, self.range.end - 1),
            found: found.chars().take(100).collect(),
        }
    }
}

/// `bytes 0-99/1000` as `(0..100, Some(1000))`; `*` in place of the length as `None`.
fn parse_content_range(header: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (range, total) = header.strip_prefix("bytes ")?.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let start = first.parse().ok()?;
    let end = last.parse::<u64>().ok()?.checked_add(1)?;
    let total = match total {
        "*" => None,
        digits => Some(digits.parse().ok()?),
    };
    let consistent = start < end && total.is_none_or(|total| end <= total);
    consistent.then_some((start..end, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_and_nonsense_is_not() {
        assert_eq!(
            parse_content_range("bytes 0-99/1000"),
            Some((0..100, Some(1000)))
        );
        assert_eq!(parse_content_range("bytes 5-5/*"), Some((5..6, None)));
        for bad in [
            "",
            "bytes",
            "bytes 0-99",
            "bytes 9-0/10",
            "bytes 0-10/10",
            "bytes -1-2/10",
            "bytes 0-18446744073709551615/*",
            "items 0-1/2",
            "bytes */10",
        ] {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }
}
