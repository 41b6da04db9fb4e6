#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = adem_import::tokenizer_json("fuzzed", bytes.to_vec());
});
