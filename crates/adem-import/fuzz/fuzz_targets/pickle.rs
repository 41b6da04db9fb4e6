#![no_main]

use adem_import::Format;

/// What stands before the pickle a file of before PyTorch 1.6 is about.
const BEFORE: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}(X\x0d\0\0\0little_endian\x88u.";

libfuzzer_sys::fuzz_target!(|pickle: &[u8]| {
    adem_import_fuzz::read(Format::PyTorch, &[BEFORE, pickle].concat());
});
