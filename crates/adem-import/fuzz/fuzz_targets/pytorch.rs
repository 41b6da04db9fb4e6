#![no_main]

use adem_import::Format;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| adem_import_fuzz::read(Format::PyTorch, bytes));
