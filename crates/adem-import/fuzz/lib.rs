//! What every target does with its bytes.

use adem_import::{Format, Input, TensorFile};

/// Most rows of a tensor that are read.
const ROWS: u64 = 4;

/// Opens bytes, and reads the beginning of every tensor if they are of `format`.
pub fn read(format: Format, bytes: &[u8]) {
    let Ok(file) = TensorFile::parse(Input::memory("fuzzed", bytes.to_vec())) else {
        return;
    };
    if file.format() != format {
        return;
    }
    for entry in file.entries() {
        if let Ok(rows) = file.rows(entry, 0..entry.rows().min(ROWS)) {
            entry.dtype.decode(&rows);
        }
    }
}
