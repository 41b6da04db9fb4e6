//! Whatever the bytes, a parser answers and does not fall over.

use adem_import::{Input, TensorFile};
use proptest::prelude::*;

use crate::files::Named;
use crate::readers::each_format;

/// Opens bytes and reads every tensor that was found.
fn survive(bytes: Vec<u8>) {
    let Ok(file) = TensorFile::parse(Input::memory("arbitrary", bytes)) else {
        return;
    };
    for entry in file.entries() {
        if let Ok(bytes) = file.rows(entry, 0..entry.rows().min(4)) {
            entry.dtype.decode(&bytes);
        }
    }
}

fn sound() -> Vec<Vec<u8>> {
    let tensors = [
        Named::counted("layer.weight", &[3, 4], 0),
        Named::counted("bias", &[3], 50),
    ];
    let formats = each_format(&tensors).into_iter();
    formats.map(|(_, bytes)| bytes).collect()
}

/// The first bytes that tell each format.
const BEGINNINGS: [&[u8]; 6] = [
    b"",
    b"GGUF\x03\0\0\0",
    b"PK\x03\x04",
    b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02",
    b"\x20\0\0\0\0\0\0\0{",
    b"\x08\0\0\0\x08\0\0\0\x01\0\0\0\x02\0\0\0\x02\0\0\0\x04\0\0\0\x04\0\0\0",
];

proptest! {
    #[test]
    fn bytes_of_any_kind(which in 0..BEGINNINGS.len(), rest in prop::collection::vec(any::<u8>(), 0..400)) {
        survive([BEGINNINGS[which], &rest].concat());
    }

    #[test]
    fn sound_files_with_damaged_bytes(
        which in 0usize..4,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = sound().swap_remove(which);
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        survive(bytes);
    }

    #[test]
    fn pickles_of_any_kind(
        body in prop::collection::vec(
            prop::sample::select(b"(t)]}lduseab\x85\x86\x87NK\x01\x02q\x00h\x00X\x01\x00\x00\x00Q\x81R.0\x94\x90\x91".to_vec()),
            0..60,
        ),
    ) {
        let pickle = [b"\x80\x02", body.as_slice()].concat();
        let members = [crate::zip_file::Member::stored("x/data.pkl", &pickle)];
        survive(crate::zip_file::archive(&members, false));
    }
}

#[test]
fn every_sound_file_cut_short_anywhere_is_an_error() {
    for bytes in sound() {
        for length in 0..bytes.len() {
            let cut = bytes[..length].to_vec();
            let read = TensorFile::parse(Input::memory("cut", cut));
            assert!(read.is_err(), "{length} of {} bytes were read", bytes.len());
        }
    }
}
