//! Zip archives, byte by byte.

pub struct Member<'a> {
    pub name: &'a str,
    pub bytes: &'a [u8],
    /// 0: stored; 8: deflated, says the header at least.
    pub method: u16,
}

impl<'a> Member<'a> {
    pub fn stored(name: &'a str, bytes: &'a [u8]) -> Self {
        Self {
            name,
            bytes,
            method: 0,
        }
    }
}

/// An archive of these members; with `long` its sizes and places are in zip64's fields.
pub fn archive(members: &[Member<'_>], long: bool) -> Vec<u8> {
    let mut file = Vec::new();
    let mut central = Vec::new();
    for member in members {
        let offset = file.len();
        let length = member.bytes.len();
        let name = member.name.as_bytes();
        file.extend(b"PK\x03\x04\x2d\0\0\0");
        file.extend(member.method.to_le_bytes());
        file.extend([0; 8]);
        file.extend([(length as u32).to_le_bytes(), (length as u32).to_le_bytes()].concat());
        file.extend((name.len() as u16).to_le_bytes());
        // As PyTorch does, values are aligned to 64 bytes with an extra field.
        let start = file.len() + 2 + name.len();
        let padding = (start + 4).next_multiple_of(64) - start;
        file.extend((padding as u16).to_le_bytes());
        file.extend(name);
        file.extend(b"FB");
        file.extend((padding as u16 - 4).to_le_bytes());
        file.resize(start + padding, b'Z');
        file.extend(member.bytes);

        central.extend(b"PK\x01\x02\x2d\0\x2d\0\0\0");
        central.extend(member.method.to_le_bytes());
        central.extend([0; 8]);
        let small = |value: usize| if long { u32::MAX } else { value as u32 };
        central.extend(small(length).to_le_bytes());
        central.extend(small(length).to_le_bytes());
        central.extend((name.len() as u16).to_le_bytes());
        central.extend(if long { [28u8, 0] } else { [0, 0] });
        central.extend([0; 10]);
        central.extend(small(offset).to_le_bytes());
        central.extend(name);
        if long {
            central.extend([1, 0, 24, 0]);
            for value in [length, length, offset] {
                central.extend((value as u64).to_le_bytes());
            }
        }
    }
    let (start, length) = (file.len(), central.len());
    file.extend(central);
    if long {
        let end = file.len() as u64;
        file.extend(b"PK\x06\x06");
        file.extend(44u64.to_le_bytes());
        file.extend([0x2d, 0, 0x2d, 0]);
        file.extend([0; 8]);
        for value in [members.len(), members.len(), length, start] {
            file.extend((value as u64).to_le_bytes());
        }
        file.extend(b"PK\x06\x07\0\0\0\0");
        file.extend(end.to_le_bytes());
        file.extend([1, 0, 0, 0]);
    }
    file.extend(b"PK\x05\x06\0\0\0\0");
    let count = if long { u16::MAX } else { members.len() as u16 };
    file.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    let place = |value: usize| if long { u32::MAX } else { value as u32 };
    file.extend(place(length).to_le_bytes());
    file.extend(place(start).to_le_bytes());
    file.extend([0, 0]);
    file
}
