//! WebAssembly modules (<https://webassembly.github.io/spec/core/binary/modules.html>), as far as
//! this program looks into them.

/// What every module of version 1 begins with.
const MAGIC: &[u8] = b"\0asm\x01\0\0\0";
/// The section of imports.
const IMPORTS: u8 = 2;

/// Bytes still to be read.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

/// Something that a module imports.
pub(crate) struct Import<'a> {
    /// The module it comes from.
    from: &'a [u8],
    /// Its name there.
    name: &'a [u8],
    /// What it is, as it is written: its kind first.
    kind: &'a [u8],
}

impl Import<'_> {
    pub(crate) fn is_function(&self) -> bool {
        self.kind.first() == Some(&0)
    }
}

impl<'a> Reader<'a> {
    /// The sections of a module.
    pub(crate) fn of(module: &'a [u8]) -> Option<Self> {
        module.strip_prefix(MAGIC).map(Self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// An unsigned LEB128 number.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Some(value);
            }
        }
        None
    }

    /// As many bytes as the number before them says.
    pub(crate) fn part(&mut self) -> Option<Self> {
        let length = usize::try_from(self.number()?).ok()?;
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Self(part))
    }

    /// What a section of imports holds.
    pub(crate) fn imports(&mut self) -> Option<Vec<Import<'a>>> {
        let mut imports = Vec::new();
        for _ in 0..self.number()? {
            let (from, name) = (self.part()?.0, self.part()?.0);
            let start = self.0;
            match self.byte()? {
                0 => {
                    self.number()?;
                }
                1 => {
                    self.byte()?;
                    self.limits()?;
                }
                2 => self.limits()?,
                _ => {
                    self.number()?;
                    self.byte()?;
                }
            }
            let kind = start.get(..start.len() - self.0.len())?;
            imports.push(Import { from, name, kind });
        }
        Some(imports)
    }

    fn limits(&mut self) -> Option<()> {
        let flags = self.byte()?;
        self.number()?;
        if flags & 1 == 1 {
            self.number()?;
        }
        Some(())
    }
}

/// The module with its imported functions under the names that `rename` gives them; `None` where it
/// cannot be read.
pub(crate) fn rename_imports(
    module: &[u8],
    mut rename: impl FnMut(&str) -> String,
) -> Option<Vec<u8>> {
    let mut renamed = MAGIC.to_vec();
    let mut sections = Reader::of(module)?;
    while !sections.is_empty() {
        let kind = sections.byte()?;
        let mut section = sections.part()?;
        renamed.push(kind);
        if kind != IMPORTS {
            put(&mut renamed, section.rest());
            continue;
        }
        let imports = section.imports()?;
        let mut written = Vec::new();
        number(&mut written, imports.len());
        for import in imports {
            put(&mut written, import.from);
            match import.is_function() {
                true => {
                    let name = rename(std::str::from_utf8(import.name).ok()?);
                    put(&mut written, name.as_bytes());
                }
                false => put(&mut written, import.name),
            }
            written.extend(import.kind);
        }
        put(&mut renamed, &written);
    }
    Some(renamed)
}

/// A length and as many bytes.
fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    number(to, bytes.len());
    to.extend(bytes);
}

/// An unsigned LEB128 number.
fn number(to: &mut Vec<u8>, mut value: usize) {
    while value >= 128 {
        to.push(value as u8 | 128);
        value >>= 7;
    }
    to.push(value as u8);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{MAGIC, number, rename_imports};

    #[test]
    fn functions_get_other_names_and_the_rest_stays() {
        let name = "f".repeat(200);
        let imports = |first: &str| {
            let mut section = vec![2, 1, b'a'];
            number(&mut section, first.len());
            section.extend(first.as_bytes());
            section.extend([0, 0, 1, b'a', 1, b'm', 2, 1, 1, 9]);
            let mut all = vec![2];
            number(&mut all, section.len());
            [all, section].concat()
        };
        let module = |first: &str| [MAGIC, &[1, 1, 0], &imports(first), &[10, 1, 0]].concat();
        let mut seen = Vec::new();
        let renamed = rename_imports(&module(&name), |old| {
            seen.push(old.to_owned());
            "b".to_owned()
        });
        assert_eq!(renamed.unwrap(), module("b"));
        assert_eq!(seen, [name.as_str()]);
        let same = rename_imports(&module(&name), str::to_owned).unwrap();
        assert_eq!(same, module(&name));
        let cut = &same[..same.len() - 1];
        assert!(rename_imports(cut, str::to_owned).is_none());
        assert!(rename_imports(b"text", str::to_owned).is_none());
    }
}
