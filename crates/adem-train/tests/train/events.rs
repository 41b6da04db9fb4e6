//! Reads TensorBoard's event files, by the definitions alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// A value of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    pub step: u64,
    pub tag: String,
    pub value: f32,
}

/// The scalars of a file whose records' sums are right and whose first event is its version.
pub fn scalars(file: &[u8]) -> Vec<Scalar> {
    let events = records(file);
    let (first, rest) = events.split_first().expect("an empty file");
    assert!(wall_time(first) > 1.7e9);
    assert_eq!(field(first, 3), Some(Value::Bytes(b"brain.Event:2")));
    let mut found = Vec::new();
    for event in rest {
        assert!(wall_time(event) >= wall_time(first));
        let Some(Value::Number(step)) = field(event, 2) else {
            panic!("no step");
        };
        let Some(Value::Bytes(summary)) = field(event, 5) else {
            panic!("no summary");
        };
        for (number, value) in fields(summary) {
            let (1, Value::Bytes(value)) = (number, value) else {
                panic!("field {number} of a summary");
            };
            let (Some(Value::Bytes(tag)), Some(Value::Number(bits))) =
                (field(value, 1), field(value, 2))
            else {
                panic!("no tag and value");
            };
            found.push(Scalar {
                step,
                tag: String::from_utf8(tag.to_vec()).unwrap(),
                value: f32::from_bits(u32::try_from(bits).unwrap()),
            });
        }
    }
    found
}

fn wall_time(event: &[u8]) -> f64 {
    match field(event, 1) {
        Some(Value::Number(bits)) => f64::from_bits(bits),
        _ => panic!("no time"),
    }
}

/// The contents of TFRecords.
fn records(mut file: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !file.is_empty() {
        let (length, rest) = file.split_at(8);
        let size = u64::from_le_bytes(length.try_into().unwrap());
        let (sum, rest) = rest.split_at(4);
        assert_eq!(sum, masked(length), "sum of a length");
        let (body, rest) = rest.split_at(usize::try_from(size).unwrap());
        let (sum, rest) = rest.split_at(4);
        assert_eq!(sum, masked(body), "sum of a record");
        found.push(body);
        file = rest;
    }
    found
}

/// The CRC-32C, bit by bit (RFC 3720, B.4), turned right by 15 bits, plus 0xa282ead8.
fn masked(bytes: &[u8]) -> [u8; 4] {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    let crc = !crc;
    let turned = crc.rotate_right(15);
    turned.wrapping_add(0xa282_ead8).to_le_bytes()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Value<'a> {
    /// A varint, or the bits of a float or double.
    Number(u64),
    Bytes(&'a [u8]),
}

fn field(message: &[u8], number: u64) -> Option<Value<'_>> {
    fields(message)
        .into_iter()
        .find_map(|(found, value)| (found == number).then_some(value))
}

/// The fields of a protobuf message, by number.
fn fields(mut message: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let value = match key & 7 {
            0 => Value::Number(varint(&mut message)),
            1 => Value::Number(fixed(&mut message, 8)),
            2 => {
                let length = usize::try_from(varint(&mut message)).unwrap();
                Value::Bytes(message.split_off(..length).unwrap())
            }
            5 => Value::Number(fixed(&mut message, 4)),
            wire => panic!("wire type {wire}"),
        };
        found.push((key >> 3, value));
    }
    found
}

fn fixed(message: &mut &[u8], bytes: usize) -> u64 {
    let taken = message.split_off(..bytes).unwrap();
    taken.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = *message.split_off_first().unwrap();
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}
