//! Records of a shard: neighbouring entries whose names differ in their ending alone.

use super::tar::{Body, Entries, Entry, TarError};
use crate::datasets::error::RowFault;

/// Largest picture of a record, in bytes.
pub const MAX_PICTURE_BYTES: u64 = 64 << 20;
/// Largest text or JSON of a record, in bytes.
pub const MAX_TEXT_BYTES: u64 = 1 << 20;
/// Most entries of a record.
const MAX_ENTRIES: usize = 64;

const PICTURES: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// One record, as far as it is of use.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub key: String,
    pub picture: Option<Vec<u8>>,
    pub json: Option<Vec<u8>>,
    pub text: Option<Vec<u8>>,
    /// The first thing wrong with it.
    pub fault: Option<RowFault>,
    entries: usize,
}

/// Reads records one after the other.
pub(super) struct Groups {
    entries: Entries,
    /// The first entry of the next record, which was read to see that the last one is over.
    ahead: Option<Entry>,
    /// What ended the shard, to be told after the record before it.
    broken: Option<TarError>,
}

impl Groups {
    pub(super) fn new(entries: Entries) -> Self {
        Self {
            entries,
            ahead: None,
            broken: None,
        }
    }

    /// The first byte of the next record.
    pub(super) fn at(&self) -> u64 {
        self.ahead
            .as_ref()
            .map_or(self.entries.at(), |entry| entry.start)
    }

    /// The next record.
    pub(super) fn next(&mut self) -> Result<Option<Group>, TarError> {
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        let mut group: Option<Group> = None;
        loop {
            let entry = match self.ahead.take() {
                Some(entry) => Some(entry),
                None => match self.entries.next(limit) {
                    Ok(entry) => entry,
                    Err(broken) if group.as_ref().is_some_and(Group::is_usable) => {
                        self.broken = Some(broken);
                        return Ok(group);
                    }
                    Err(broken) => return Err(broken),
                },
            };
            let Some(entry) = entry else {
                return Ok(group);
            };
            let Some((key, ending)) = split(&entry.name) else {
                continue;
            };
            match &mut group {
                Some(group) if group.key == key => {
                    let ending = ending.to_owned();
                    group.add(&ending, entry.body);
                }
                Some(_) => {
                    self.ahead = Some(entry);
                    return Ok(group);
                }
                None => {
                    let mut first = Group {
                        key: key.to_owned(),
                        ..Group::default()
                    };
                    first.add(ending, entry.body);
                    group = Some(first);
                }
            }
        }
    }
}

impl Group {
    /// Whether it has both a picture and a text, so that what broke after it is not its own.
    fn is_usable(&self) -> bool {
        self.picture.is_some() && (self.json.is_some() || self.text.is_some())
    }

    fn add(&mut self, ending: &str, body: Body) {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            self.fault.get_or_insert(RowFault::Shard(format!(
                "a record has more than {MAX_ENTRIES} entries"
            )));
            return;
        }
        let bytes = match body {
            Body::Whole(bytes) => bytes,
            Body::Unwanted => return,
            Body::TooLarge { limit } => {
                let what = format!("its .{ending}");
                self.fault.get_or_insert(RowFault::TooLarge { what, limit });
                return;
            }
        };
        let place = match ending.to_ascii_lowercase().as_str() {
            "json" => &mut self.json,
            "txt" => &mut self.text,
            _ => &mut self.picture,
        };
        place.get_or_insert(bytes);
    }
}

/// How many bytes to keep of an entry of this name.
fn limit(name: &str) -> Option<u64> {
    let (_, ending) = split(name)?;
    let ending = ending.to_ascii_lowercase();
    if PICTURES.contains(&ending.as_str()) {
        Some(MAX_PICTURE_BYTES)
    } else if ending == "json" || ending == "txt" {
        Some(MAX_TEXT_BYTES)
    } else {
        None
    }
}

/// Key and ending of an entry: the ending begins at the first dot of the last part of the name, as in
/// the webdataset library. `None` for what is no part of a record: folders, hidden files, and files
/// about the shard (`__…__`).
fn split(name: &str) -> Option<(&str, &str)> {
    let base = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = name[base..].find('.')?;
    let (key, ending) = (&name[..base + dot], &name[base + dot + 1..]);
    let about_the_shard = name[base..].starts_with("__");
    (dot > 0 && !ending.is_empty() && !about_the_shard).then_some((key, ending))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_key_ends_at_the_first_dot_of_the_last_part() {
        assert_eq!(split("a/b.c/000.jpg"), Some(("a/b.c/000", "jpg")));
        assert_eq!(split("000.seg.png"), Some(("000", "seg.png")));
        for name in [
            "",
            "folder/",
            "no_ending",
            ".hidden",
            "a/._b.jpg",
            "__index__.json",
            "x.",
        ] {
            assert_eq!(split(name), None, "{name}");
        }
    }
}
