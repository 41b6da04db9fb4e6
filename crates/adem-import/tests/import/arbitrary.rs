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

/// The fuzzing targets' seeds, written where `ADEM_FUZZ_SEEDS` says, a folder for each target.
#[test]
fn seeds_are_sound_and_written_where_that_is_asked_for() {
    let names = ["safetensors", "pytorch", "pytorch", "gguf"];
    let mut seeds: Vec<_> = names.into_iter().zip(sound()).collect();
    seeds.push(("llama2c", llama2c()));
    let legacy = seeds[2].1.clone();
    for (target, bytes) in &seeds {
        let read = TensorFile::parse(Input::memory(*target, bytes.clone()));
        assert!(!read.unwrap().entries().is_empty(), "{target}");
    }
    // What follows the magic number, version and system.
    let system = b"little_endian\x88u.";
    let at = legacy.windows(system.len()).position(|part| part == system);
    seeds.push(("pickle", legacy[at.unwrap() + system.len()..].to_vec()));
    // A piece, and a trainer that says BPE.
    seeds.push(("tokenizer", b"\x0a\x03\x0a\x01a\x12\x02\x18\x02".to_vec()));
    seeds.push(("tokenizer", b"IQ== 0\nIg== 1\nISI= 2\n".to_vec()));
    let Some(folder) = std::env::var_os("ADEM_FUZZ_SEEDS") else {
        return;
    };
    for (index, (target, bytes)) in seeds.iter().enumerate() {
        let folder = std::path::Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("seed-{index}")), bytes).unwrap();
    }
}

/// The smallest model llama2.c can write.
fn llama2c() -> Vec<u8> {
    let [dim, hidden, layers, heads, kv_heads, vocab, context] = [4, 4, 1, 1, 1, 3, 2];
    let sizes = [dim, hidden, layers, heads, kv_heads, vocab, context];
    let mut bytes: Vec<u8> = sizes
        .iter()
        .flat_map(|size: &i32| size.to_le_bytes())
        .collect();
    let floats = vocab * dim + dim + 4 * dim * dim + dim + 3 * hidden * dim + dim + context * dim;
    bytes.resize(bytes.len() + 4 * floats as usize, 0);
    bytes
}
