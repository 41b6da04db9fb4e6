//! The zip archives that `torch.save` writes: members stored as they are, so that a tensor is a
//! range of the file.
//!
//! A compressed member is refused, not unpacked: PyTorch writes none, and what is never unpacked
//! cannot grow. Format: PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5.3 (zip64).

use std::ops::Range;

use crate::error::{ImportError, excerpt};
use crate::input::Input;
use crate::limits;

const FORMAT: &str = "PyTorch zip";
/// Bytes of the record that ends an archive, without its comment.
const END_BYTES: u64 = 22;
/// Bytes of the pointer to zip64's longer record, which stands before it.
const LOCATOR_BYTES: u64 = 20;
const END_64_BYTES: u64 = 56;
const LOCAL_BYTES: u64 = 30;
const CENTRAL_BYTES: usize = 46;
/// Longest comment.
const COMMENT_BYTES: u64 = 0xffff;

/// A file inside the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub name: String,
    /// Bytes of the archive.
    pub span: Range<u64>,
}

/// Where the list of members is.
struct Directory {
    span: Range<u64>,
    count: u64,
}

/// The list of an archive's members, none of them looked at yet.
pub(super) struct Listing(Vec<Central>);

/// Reads the list at the archive's end.
pub(super) fn list(input: &Input) -> Result<Listing, ImportError> {
    let refuse = |reason: String| ImportError::malformed(input.name(), FORMAT, reason);
    let directory = directory(input)?;
    let length = directory.span.end - directory.span.start;
    let count = directory.count;
    if length > limits::HEADER_BYTES || count > limits::TENSORS as u64 {
        let reason = format!("its directory has {length} bytes for {count} members; too many");
        return Err(refuse(reason));
    }
    let bytes = input.read(directory.span)?;
    let mut rest = bytes.as_slice();
    let mut listed = Vec::new();
    for index in 0..count {
        let entry = Central::read(&mut rest)
            .ok_or_else(|| refuse(format!("its directory is damaged at member {index}")))?;
        listed.push(entry);
    }
    if !rest.is_empty() {
        return Err(refuse(
            "bytes follow the last member of its directory".into(),
        ));
    }
    Ok(Listing(listed))
}

impl Listing {
    /// Paths of the members.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|entry| entry.name.as_str())
    }

    /// Where the members are; no two overlap or have one name, and none is packed.
    pub fn members(self, input: &Input) -> Result<Vec<Member>, ImportError> {
        let members = self.0.into_iter().map(|entry| entry.member(input));
        let members = members.collect::<Result<Vec<_>, _>>()?;
        check(input, &members)?;
        Ok(members)
    }
}

fn check(input: &Input, members: &[Member]) -> Result<(), ImportError> {
    let refuse = |reason: String| Err(ImportError::malformed(input.name(), FORMAT, reason));
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by_key(|member| (member.span.start, member.span.end));
    if let Some(pair) = sorted
        .windows(2)
        .find(|pair| pair[0].span.end > pair[1].span.start)
    {
        let names = [pair[0], pair[1]].map(|member| excerpt(&member.name));
        return refuse(format!("members `{}` and `{}` overlap", names[0], names[1]));
    }
    sorted.sort_by_key(|member| &member.name);
    match sorted.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => refuse(format!(
            "member `{}` is there twice",
            excerpt(&pair[0].name)
        )),
        None => Ok(()),
    }
}

/// Finds the directory from the archive's end.
fn directory(input: &Input) -> Result<Directory, ImportError> {
    let refuse = |reason: &str| ImportError::malformed(input.name(), FORMAT, reason);
    let start = input.length().saturating_sub(END_BYTES + COMMENT_BYTES);
    let tail = input.read(start..input.length())?;
    let found = (0..tail.len().saturating_sub(END_BYTES as usize - 1))
        .rev()
        .find(|&at| {
            let comment = u16_at(&tail, at + 20).map(u64::from);
            tail[at..].starts_with(b"PK\x05\x06")
                && comment == Some((tail.len() - at) as u64 - END_BYTES)
        })
        .ok_or_else(|| refuse("it has no end; copy the file again"))?;
    let end = &tail[found..];
    let at = start + found as u64;
    let small = |offset| u16_at(end, offset).map(u64::from);
    let word = |offset| u32_at(end, offset).map(u64::from);
    let (Some(count), Some(length), Some(offset)) = (small(10), word(12), word(16)) else {
        return Err(refuse("its end is damaged"));
    };
    let mut directory = Some(Directory {
        span: offset..offset.saturating_add(length),
        count,
    });
    if count == 0xffff || length == 0xffff_ffff || offset == 0xffff_ffff {
        directory = directory_64(input, at)?;
    }
    directory
        .filter(|it| it.span.start <= it.span.end && it.span.end <= at)
        .ok_or_else(|| refuse("its directory is not where its end says"))
}

/// The directory of an archive with more or longer members than the first format counts.
fn directory_64(input: &Input, end: u64) -> Result<Option<Directory>, ImportError> {
    let Some(start) = end.checked_sub(LOCATOR_BYTES) else {
        return Ok(None);
    };
    let locator = input.read(start..end)?;
    let at = u64_at(&locator, 8).filter(|_| locator.starts_with(b"PK\x06\x07"));
    let Some(at) = at.filter(|at| at.checked_add(END_64_BYTES).is_some_and(|e| e <= start)) else {
        return Ok(None);
    };
    let record = input.read(at..at + END_64_BYTES)?;
    if !record.starts_with(b"PK\x06\x06") {
        return Ok(None);
    }
    let fields = (
        u64_at(&record, 32),
        u64_at(&record, 40),
        u64_at(&record, 48),
    );
    let (Some(count), Some(length), Some(offset)) = fields else {
        return Ok(None);
    };
    Ok(offset.checked_add(length).map(|end| Directory {
        span: offset..end,
        count,
    }))
}

/// A member as the directory has it.
struct Central {
    name: String,
    flags: u16,
    method: u16,
    packed: u64,
    unpacked: u64,
    /// Where its own header is.
    offset: u64,
}

impl Central {
    /// Takes an entry off the front of `rest`; `None` where it is none.
    fn read(rest: &mut &[u8]) -> Option<Self> {
        let entry = rest.get(..CENTRAL_BYTES)?;
        if !entry.starts_with(b"PK\x01\x02") {
            return None;
        }
        let lengths = [28, 30, 32].map(|at| u16_at(entry, at).map(usize::from));
        let [Some(name), Some(extra), Some(comment)] = lengths else {
            return None;
        };
        let mut after = rest.get(CENTRAL_BYTES..)?;
        let mut take = |length: usize| {
            let (head, tail) = after.split_at_checked(length)?;
            after = tail;
            Some(head)
        };
        let (name, extra) = (take(name)?, take(extra)?);
        take(comment)?;
        let mut fields = [24, 20, 42].map(|at| u32_at(entry, at).map_or(0, u64::from));
        longer(&mut fields, extra)?;
        let central = Self {
            name: String::from_utf8(name.to_vec()).ok()?,
            flags: u16_at(entry, 8)?,
            method: u16_at(entry, 10)?,
            unpacked: fields[0],
            packed: fields[1],
            offset: fields[2],
        };
        *rest = after;
        Some(central)
    }

    /// Where the member's bytes are.
    fn member(self, input: &Input) -> Result<Member, ImportError> {
        let fail = |what: String| {
            let reason = format!("member `{}` {what}", excerpt(&self.name));
            ImportError::malformed(input.name(), FORMAT, reason)
        };
        let climbs = self.name.split(['/', '\\']).any(|part| part == "..");
        if climbs || self.name.starts_with(['/', '\\']) || self.name.contains(['\0', ':']) {
            return Err(fail("has a path that leads out of the archive".into()));
        }
        if self.flags & 1 != 0 {
            return Err(fail("is encrypted".into()));
        }
        if self.method != 0 || self.packed != self.unpacked {
            return Err(fail(format!(
                "is compressed to {} of {} bytes; PyTorch stores members as they are, save the file again with it",
                self.packed, self.unpacked
            )));
        }
        let outside = || fail("lies beyond the archive's end".into());
        let begin = self.offset;
        let end = begin.checked_add(LOCAL_BYTES).ok_or_else(outside)?;
        if end > input.length() {
            return Err(outside());
        }
        let local = input.read(begin..end)?;
        let (Some(name), Some(extra)) = (u16_at(&local, 26), u16_at(&local, 28)) else {
            return Err(outside());
        };
        if !local.starts_with(b"PK\x03\x04") {
            return Err(fail("is not where the directory says".into()));
        }
        let start = end + u64::from(name) + u64::from(extra);
        let stop = start.checked_add(self.unpacked).ok_or_else(outside)?;
        if stop > input.length() {
            return Err(outside());
        }
        Ok(Member {
            name: self.name,
            span: start..stop,
        })
    }
}

/// Replaces those of `fields` (size, packed size, offset) that are full by zip64's.
fn longer(fields: &mut [u64; 3], mut extra: &[u8]) -> Option<()> {
    while fields.contains(&0xffff_ffff) {
        let (kind, length) = (u16_at(extra, 0)?, usize::from(u16_at(extra, 2)?));
        let mut body = extra.get(4..4 + length)?;
        if kind == 1 {
            for field in fields.iter_mut().filter(|field| **field == 0xffff_ffff) {
                *field = u64_at(body, 0)?;
                body = &body[8..];
            }
            return Some(());
        }
        extra = &extra[4 + length..];
    }
    Some(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
