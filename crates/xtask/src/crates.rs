//! What the page's programs are made of: bytes of code by crate.

use crate::{
    seal::read,
    shell::{Failure, cargo, run, step, target_folder},
    tools,
    wasm::Reader,
};
use std::collections::BTreeMap;

/// The programs, and how Cargo builds each.
const PROGRAMS: [(&str, &[&str]); 3] = [
    ("adem-web", &["--package", "adem-web"]),
    (
        "engine-cpu",
        &[
            "--package",
            "adem-engine",
            "--bin",
            "engine-cpu",
            "--features",
            "cpu",
        ],
    ),
    (
        "engine-gpu",
        &[
            "--package",
            "adem-engine",
            "--bin",
            "engine-gpu",
            "--features",
            "gpu",
        ],
    ),
];

/// Crates that are named; the others are summed up.
const NAMED: usize = 16;

/// Builds each program with the names of its functions and prints the bytes of each crate's.
///
/// Names are for debugging: generic code counts for the crate whose function it is, inlined code
/// for the crate it was inlined into, and what `wasm-bindgen` takes out afterwards is left out.
pub(crate) fn print() -> Result<(), Failure> {
    tools::for_web()?;
    for (program, options) in PROGRAMS {
        step(format_args!("{program}: bytes of code by crate"));
        let mut build = cargo();
        build.args([
            "rustc",
            "--locked",
            "--profile",
            "web",
            "--target",
            tools::WASM,
        ]);
        run(build.args(options).args(["--", "-C", "strip=none"]))?;
        let folder = target_folder().join(tools::WASM).join("web");
        let path = folder.join(program).with_extension("wasm");
        let bytes = read(&path)?;
        let functions = functions(&bytes).ok_or_else(|| {
            Failure::Program(format!("{}: not a program with names", path.display()))
        })?;
        let mut crates: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, bytes) in &functions {
            if !name.starts_with("__wbindgen_describe") {
                *crates.entry(owner(name)).or_default() += bytes;
            }
        }
        let mut crates: Vec<_> = crates.into_iter().collect();
        crates.sort_by_key(|(name, bytes)| (std::cmp::Reverse(*bytes), *name));
        let rest: u64 = crates.iter().skip(NAMED).map(|(_, bytes)| bytes).sum();
        for (name, bytes) in crates.iter().take(NAMED) {
            println!("{bytes:>12}  {name}");
        }
        println!("{rest:>12}  {} others", crates.len().saturating_sub(NAMED));
    }
    Ok(())
}

/// The crate that a function's demangled name mentions first.
fn owner(name: &str) -> &str {
    let bounds = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':');
    let mut paths = name.split(bounds).filter(|word| word.contains("::"));
    paths
        .find_map(|path| {
            let first = path.split("::").next()?;
            (!first.is_empty()).then_some(first)
        })
        .unwrap_or("(no crate)")
}

/// Demangled name and length of the code of every function of a WebAssembly module that has names
/// (<https://webassembly.github.io/spec/core/binary/modules.html>, and its appendix on names).
fn functions(module: &[u8]) -> Option<Vec<(String, u64)>> {
    let mut module = Reader::of(module)?;
    let (mut imported, mut lengths, mut names) = (0, Vec::new(), BTreeMap::new());
    while !module.is_empty() {
        let kind = module.byte()?;
        let mut section = module.part()?;
        match kind {
            2 => {
                imported = section
                    .imports()?
                    .iter()
                    .filter(|i| i.is_function())
                    .count() as u64
            }
            10 => {
                for _ in 0..section.number()? {
                    lengths.push(section.part()?.rest().len() as u64);
                }
            }
            0 if section.part()?.rest() == b"name" => {
                while !section.is_empty() {
                    let kind = section.byte()?;
                    let mut part = section.part()?;
                    if kind != 1 {
                        continue;
                    }
                    for _ in 0..part.number()? {
                        let index = part.number()?;
                        let name = String::from_utf8_lossy(part.part()?.rest()).into_owned();
                        names.insert(index, name);
                    }
                }
            }
            _ => {}
        }
    }
    if names.is_empty() {
        return None;
    }
    let named = lengths.into_iter().zip(imported..).map(|(bytes, index)| {
        let name = names.get(&index).map_or("", String::as_str);
        (format!("{:#}", rustc_demangle::demangle(name)), bytes)
    });
    Some(named.collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{functions, owner};

    #[test]
    fn a_function_belongs_to_the_crate_named_first() {
        assert_eq!(owner("burn_flex::ops::cat::cat"), "burn_flex");
        assert_eq!(owner("<image::Decoder as core::fmt::Debug>::fmt"), "image");
        assert_eq!(
            owner("<&mut serde_json::Deserializer<R> as T>::f"),
            "serde_json"
        );
        assert_eq!(owner("main"), "(no crate)");
    }

    #[test]
    fn functions_are_read_with_their_names_and_lengths() {
        let module = [
            &b"\0asm\x01\0\0\0"[..],
            // One imported function, and one memory.
            &[2, 14, 2, 1, b'a', 1, b'f', 0, 0, 1, b'a', 1, b'm', 2, 0, 1],
            // Two bodies, of 2 and 3 bytes.
            &[10, 8, 2, 2, 0, 11, 3, 0, 1, 11],
            &[
                0, 14, 4, b'n', b'a', b'm', b'e', 1, 7, 2, 1, 1, b'x', 2, 1, b'y',
            ],
        ];
        let found = functions(&module.concat()).unwrap();
        assert_eq!(found, [("x".to_owned(), 2), ("y".to_owned(), 3)]);
        assert!(functions(b"\0asm\x01\0\0\0").is_none());
    }
}
