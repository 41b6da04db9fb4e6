//! Makes what `wasm-bindgen` writes smaller: names that nobody reads, comments and indentation.

use crate::{
    seal::{base64, read, write},
    shell::{Failure, step},
    sizes::files,
    wasm::rename_imports,
    web::dist,
};
use sha2::{Digest, Sha384};
use std::{fs, path::Path};

/// Shrinks every program in `dist/` with its script, and the scripts of our own.
pub(crate) fn shrink() -> Result<(), Failure> {
    step("shrinking scripts");
    let page = dist().join("index.html");
    let mut index = String::from_utf8_lossy(&read(&page)?).into_owned();
    let mut replace = |path: &Path, before: &[u8], after: &[u8]| -> Result<(), Failure> {
        let digest = |bytes: &[u8]| base64(&Sha384::digest(bytes));
        index = index.replace(&digest(before), &digest(after));
        fs::write(path, after).map_err(|source| Failure::File {
            path: path.to_owned(),
            source,
        })
    };
    for path in files(&dist())? {
        if path.extension().is_none_or(|extension| extension != "js") {
            continue;
        }
        let before = read(&path)?;
        let mut script = plain(&String::from_utf8_lossy(&before));
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let program = path.with_file_name(format!("{stem}_bg.wasm"));
        if program.is_file() {
            let module = read(&program)?;
            let mut names = Names::default();
            let renamed = rename_imports(&module, |name| names.short(name));
            let renamed = renamed.ok_or_else(|| unknown(&program))?;
            script = names.apply(&script).ok_or_else(|| unknown(&path))?;
            replace(&program, &module, &renamed)?;
        }
        replace(&path, &before, script.as_bytes())?;
    }
    write(&page, &index)
}

fn unknown(path: &Path) -> Failure {
    Failure::Program(format!(
        "{}: is not what this version of wasm-bindgen was seen to write",
        path.display()
    ))
}

/// A script without indentation, empty lines and comments that have lines of their own. Neither
/// text over several lines nor code behind a comment is expected; both are left as they are.
fn plain(script: &str) -> String {
    if script
        .lines()
        .any(|line| line.matches('`').count() % 2 == 1)
    {
        return script.to_owned();
    }
    let mut out = String::with_capacity(script.len());
    let mut inside = false;
    for line in script.lines().map(str::trim) {
        let opens = line.starts_with("/*");
        let closes = line.ends_with("*/");
        if inside || opens {
            inside = !closes;
        } else if !line.is_empty() && !line.starts_with("//") {
            out += line;
            out.push('\n');
        }
    }
    out
}

/// Short names for imported functions.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    /// The short name of a function that has not come before.
    fn short(&mut self, name: &str) -> String {
        self.0.push(name.to_owned());
        Self::of(self.0.len() - 1)
    }

    /// The name of this number, which no word of JavaScript begins like.
    fn of(number: usize) -> String {
        format!("_{number:x}")
    }

    /// The script with the functions that it gives to the program under their short names; `None`
    /// unless each is there once.
    fn apply(&self, script: &str) -> Option<String> {
        let mut out = script.to_owned();
        for (number, name) in self.0.iter().enumerate() {
            let key = format!("\n{name}: ");
            if out.matches(&key).count() != 1 {
                return None;
            }
            out = out.replace(&key, &format!("\n{}: ", Self::of(number)));
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Names, plain};

    #[test]
    fn comments_and_indentation_go_and_texts_stay() {
        let script = "/**\n * What it does.\n */\nfunction f() {\n    // why\n\n    return `a  b`; // c\n}\n/* one */\nf();";
        assert_eq!(
            plain(script),
            "function f() {\nreturn `a  b`; // c\n}\nf();\n"
        );
        let text = "f(`\n  a`);";
        assert_eq!(plain(text), text);
    }

    #[test]
    fn every_function_is_given_under_its_short_name() {
        let mut names = Names::default();
        assert_eq!(
            [names.short("__wbg_a_1"), names.short("__wbg_a_12")],
            ["_0", "_1"]
        );
        let script = "x = {\n__wbg_a_1: f,\n__wbg_a_12: function() {\n},\n";
        let short = "x = {\n_0: f,\n_1: function() {\n},\n";
        assert_eq!(names.apply(script).unwrap(), short);
        assert!(names.apply(short).is_none());
    }
}
