//! A run's numbers as TensorBoard reads them: files `events.out.tfevents.*`.
//!
//! A file is a row of TFRecords: the length of what follows (u64), its masked CRC-32C, as many bytes,
//! and theirs, all little-endian. Each holds an `Event` of TensorFlow's `event.proto`, whose few
//! fields used here are written by hand. TensorBoard reads the files of a folder by name, so a run
//! that goes on begins another file with a later time in its name.
//!
//! No `SessionLog` is written: it would hide every later step of all tags, and the stages of a run
//! count their steps separately. A step that was done twice, after a kill, has the same values.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What the first event of a file says.
const FILE_VERSION: &str = "brain.Event:2";

/// The event file of one process; it is made with the first event.
pub(crate) struct Events {
    folder: PathBuf,
    file: Option<File>,
}

impl Events {
    /// Events in a file of its own in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.into(),
            file: None,
        }
    }

    /// Adds the values `scalars`, by tag, at `step`.
    pub(crate) fn add(&mut self, step: u64, scalars: &[(String, f32)]) -> io::Result<()> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let file = match &mut self.file {
            Some(file) => file,
            closed => closed.insert(create(&self.folder, now)?),
        };
        // In one piece, so that a killed process leaves whole records.
        file.write_all(&record(&summary(now.as_secs_f64(), step, scalars)))
    }
}

fn create(folder: &Path, now: Duration) -> io::Result<File> {
    let (seconds, micros) = (now.as_secs(), now.subsec_micros());
    let name = format!("events.out.tfevents.{seconds:010}.{micros:06}.adem");
    let mut file = OpenOptions::new()
        .create_new(true)
        .append(true)
        .open(folder.join(name))?;
    file.write_all(&record(&version(now.as_secs_f64())))?;
    Ok(file)
}

/// An event as it lies in a file.
fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    [
        &length[..],
        &masked(&length).to_le_bytes(),
        event,
        &masked(event).to_le_bytes(),
    ]
    .concat()
}

/// TFRecord's check sum: a CRC-32C, turned and moved so that the sum of a record that holds sums is
/// no trivial one.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

/// `Event { wall_time = 1, file_version = 3 }`.
fn version(wall_time: f64) -> Vec<u8> {
    let mut event = Message::default();
    event.double(1, wall_time);
    event.bytes(3, FILE_VERSION.as_bytes());
    event.0
}

/// `Event { wall_time = 1, step = 2, summary = 5 }`, `Summary { value = 1 }`,
/// `Value { tag = 1, simple_value = 2 }`.
fn summary(wall_time: f64, step: u64, scalars: &[(String, f32)]) -> Vec<u8> {
    let mut values = Message::default();
    for (tag, scalar) in scalars {
        let mut value = Message::default();
        value.bytes(1, tag.as_bytes());
        value.float(2, *scalar);
        values.bytes(1, &value.0);
    }
    let mut event = Message::default();
    event.double(1, wall_time);
    event.integer(2, step);
    event.bytes(5, &values.0);
    event.0
}

/// Wire types of protobuf's encoding.
const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const LENGTH: u64 = 2;
const FOUR_BYTES: u64 = 5;

/// A protobuf message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    /// Seven bits a byte, lowest first; the top bit says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn integer(&mut self, field: u64, value: u64) {
        self.key(field, VARINT);
        self.varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, EIGHT_BYTES);
        self.0.extend(value.to_le_bytes());
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, FOUR_BYTES);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.key(field, LENGTH);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }
}

#[cfg(test)]
#[path = "../tests/train/events.rs"]
mod events;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::events::{Scalar, scalars};
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Written by TensorBoard 2.21.0 (Python):
    /// `RecordWriter(file).write(event.SerializeToString())` from
    /// `tensorboard.summary.writer.record_writer`, with the events
    /// `Event(wall_time=1700000000.25, file_version="brain.Event:2")` and
    /// `Event(wall_time=1700000000.5, step=300, summary=Summary(value=[
    /// Summary.Value(tag="tune/loss", simple_value=2.5),
    /// Summary.Value(tag="tune/lr", simple_value=0.001)]))`.
    #[test]
    fn records_are_the_bytes_of_tensorboards_own_writer() {
        assert_eq!(
            hex(&record(&version(1_700_000_000.25))),
            "1800000000000000a37f4b220900001040fc54d9411a0d627261696e2e4576656e743a32338d2fe9"
        );
        let values = [("tune/loss".to_owned(), 2.5), ("tune/lr".to_owned(), 0.001)];
        assert_eq!(
            hex(&record(&summary(1_700_000_000.5, 300, &values))),
            "300000000000000095f5d05f0900002040fc54d94110ac022a220a100a0974756e652f6c6f73731500\
             0020400a0e0a0774756e652f6c72156f12833a7ca236cc"
        );
    }

    #[test]
    fn values_come_back_from_a_file_and_every_process_has_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let steps = [0, 1, 127, 128, 16_384, u64::from(u32::MAX), i64::MAX as u64];
        let long = "a/".repeat(100);
        let value = |step: u64| (step as f32).sqrt() - 1.0;
        for part in [&steps[..4], &steps[4..]] {
            let mut events = Events::new(folder.path());
            for step in part {
                let of = |tag: &str| (tag.to_owned(), value(*step));
                events.add(*step, &[of("see/loss"), of(&long)]).unwrap();
            }
            std::thread::sleep(Duration::from_micros(10));
        }
        // Made, but without anything to say.
        Events::new(folder.path());
        let mut files: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert_eq!(files.len(), 2);
        let found: Vec<Scalar> = files
            .iter()
            .flat_map(|file| scalars(&std::fs::read(file).unwrap()))
            .collect();
        let expected = steps.iter().flat_map(|&step| {
            ["see/loss", &long].map(|tag| Scalar {
                step,
                tag: tag.to_owned(),
                value: value(step),
            })
        });
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}
