//! What a visitor downloads.

use crate::{
    shell::{Failure, step},
    web::dist,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// One file of the page.
struct Item {
    name: String,
    raw: u64,
    brotli: u64,
}

/// Bytes allowed for page and engine, brotli.
const CPU_LIMIT: u64 = 600_000;
const GPU_LIMIT: u64 = 2_500_000;

/// Prints the size of each file in `dist/`, raw and brotli, and the totals for both engines.
pub(crate) fn print() -> Result<(), Failure> {
    step("sizes in bytes (brotli: quality 11)");
    let mut items = Vec::new();
    for path in files(&dist())? {
        items.push(measure(&path)?);
    }
    println!("{:>12} {:>12}  file", "raw", "brotli");
    for item in &items {
        println!("{:>12} {:>12}  {}", item.raw, item.brotli, item.name);
    }
    let mut over = Vec::new();
    for (engine, other, limit) in [
        ("CPU", "engine-gpu", CPU_LIMIT),
        ("WebGPU", "engine-cpu", GPU_LIMIT),
    ] {
        let code = items
            .iter()
            .filter(|item| item.name.ends_with(".js") || item.name.ends_with(".wasm"))
            .filter(|item| !item.name.starts_with(other));
        let (raw, brotli) = code.fold((0, 0), |(raw, brotli), item| {
            (raw + item.raw, brotli + item.brotli)
        });
        println!(
            "{raw:>12} {brotli:>12}  JS and WASM, page and {engine} engine (limit {limit} brotli)"
        );
        if brotli > limit {
            over.push(engine);
        }
    }
    if over.is_empty() {
        Ok(())
    } else {
        Err(Failure::Program(format!(
            "the size limit of the page with its {} engine",
            over.join(" and its ")
        )))
    }
}

fn measure(path: &Path) -> Result<Item, Failure> {
    let bytes = fs::read(path).map_err(|source| Failure::File {
        path: path.to_owned(),
        source,
    })?;
    let name = path.strip_prefix(dist()).unwrap_or(path);
    Ok(Item {
        name: name.to_string_lossy().replace('\\', "/"),
        raw: bytes.len() as u64,
        brotli: compressed(&bytes),
    })
}

/// Length of `bytes` after the compression that hosts keep ready (quality 11, 16 MiB window).
fn compressed(bytes: &[u8]) -> u64 {
    let mut writer = brotli::CompressorWriter::new(Counter(0), 1 << 16, 11, 24);
    let written = std::io::Write::write_all(&mut writer, bytes);
    // The counter never refuses a byte.
    debug_assert!(written.is_ok());
    writer.into_inner().0
}

/// Counts what is written to it.
struct Counter(u64);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// All files below `folder`, sorted.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let wrong = |source| Failure::File {
        path: folder.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::compressed;

    #[test]
    fn repetition_compresses_and_noise_does_not() {
        assert!(compressed(&vec![7; 100_000]) < 100);
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(10_000)
        .collect();
        assert!(compressed(&noise) >= 9_900);
    }
}
