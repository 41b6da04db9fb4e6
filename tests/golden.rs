//! Where the golden values lie, what a folder of them holds, and the tensors of a fixture.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The folder of golden values: `ADEM_GOLDEN`, else this crate's own compact set.
pub fn root() -> PathBuf {
    from_environment("ADEM_GOLDEN").unwrap_or_else(|| crate_folder().join("golden"))
}

/// The folder of test data that is not part of the repository: `ADEM_DATA`, else the one beside
/// the repository. It may be absent.
pub fn data() -> PathBuf {
    from_environment("ADEM_DATA").unwrap_or_else(|| crate_folder().join("../../shared/data"))
}

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder named by a variable; one that is not absolute starts at the repository's root, where
/// the command was typed, not at this crate, where Cargo runs the tests.
fn from_environment(variable: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable)?;
    Some(crate_folder().join("..").join(folder))
}

/// Everything in `category` that `wanted` takes, sorted.
///
/// # Panics
/// When there is none: a missing category must not pass for a green one.
pub fn entries(category: &str, wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let folder = root().join(category);
    let mut found: Vec<PathBuf> = match fs::read_dir(&folder) {
        Ok(entries) => entries
            .map(|e| e.unwrap().path())
            .filter(|p| wanted(p))
            .collect(),
        Err(error) => panic!("golden values: {}: {error}", folder.display()),
    };
    found.sort();
    assert!(
        !found.is_empty(),
        "golden values: {} holds no fixture",
        folder.display()
    );
    found
}

/// The last part of a path, for messages.
pub fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// A JSON file.
///
/// # Panics
/// When it cannot be read.
pub fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A tensor of a fixture: shape and values, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Array<T> {
    /// Lengths of the dimensions.
    pub shape: Vec<usize>,
    /// Values, the last dimension running fastest.
    pub values: Vec<T>,
}

impl<T: Clone> Array<T> {
    /// Entry `index` of the first dimension.
    pub fn row(&self, index: usize) -> Self {
        let size: usize = self.shape[1..].iter().product();
        Self {
            shape: self.shape[1..].to_vec(),
            values: self.values[index * size..(index + 1) * size].to_vec(),
        }
    }
}

/// The tensors of one safetensors file, and those its `.links.json` borrows from other files.
#[derive(Debug)]
pub struct Tensors {
    file: PathBuf,
    floats: BTreeMap<String, Array<f32>>,
    ints: BTreeMap<String, Array<i64>>,
}

impl Tensors {
    /// Reads a file.
    ///
    /// # Panics
    /// When the file or one that it borrows from is unreadable.
    pub fn open(file: &Path) -> Self {
        let mut tensors = Self::read(file);
        let links = file.with_extension("links.json");
        if links.exists() {
            tensors.borrow(&links);
        }
        tensors
    }

    fn read(file: &Path) -> Self {
        let bytes = fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let parsed =
            SafeTensors::deserialize(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let mut tensors = Self {
            file: file.to_owned(),
            floats: BTreeMap::new(),
            ints: BTreeMap::new(),
        };
        for (name, view) in parsed.tensors() {
            let shape = view.shape().to_vec();
            match view.dtype() {
                Dtype::F32 => {
                    let values = numbers(view.data(), f32::from_le_bytes);
                    tensors.floats.insert(name, Array { shape, values });
                }
                Dtype::I64 => {
                    let values = numbers(view.data(), i64::from_le_bytes);
                    tensors.ints.insert(name, Array { shape, values });
                }
                other => panic!("{}: `{name}` is {other:?}", file.display()),
            }
        }
        tensors
    }

    fn borrow(&mut self, links: &Path) {
        let mut lenders: BTreeMap<String, Self> = BTreeMap::new();
        for (name, link) in json(links).as_object().unwrap() {
            let (file, lent) = (link[0].as_str().unwrap(), link[1].as_str().unwrap());
            let lender = lenders
                .entry(file.to_owned())
                .or_insert_with(|| Self::read(&root().join(file)));
            match lender.floats.get(lent) {
                Some(array) => {
                    self.floats.insert(name.clone(), array.clone());
                }
                None => {
                    self.ints.insert(name.clone(), lender.i64(lent).clone());
                }
            }
        }
    }

    /// Names of all float tensors.
    pub fn float_names(&self) -> impl Iterator<Item = &str> {
        self.floats.keys().map(String::as_str)
    }

    /// Names of all integer tensors.
    pub fn int_names(&self) -> impl Iterator<Item = &str> {
        self.ints.keys().map(String::as_str)
    }

    /// The float tensor `name`, where there is one.
    pub fn find(&self, name: &str) -> Option<&Array<f32>> {
        self.floats.get(name)
    }

    /// The float tensor `name`.
    ///
    /// # Panics
    /// When there is none.
    pub fn f32(&self, name: &str) -> &Array<f32> {
        self.find(name)
            .unwrap_or_else(|| panic!("{}: no `{name}`", self.file.display()))
    }

    /// The integer tensor `name`.
    ///
    /// # Panics
    /// When there is none.
    pub fn i64(&self, name: &str) -> &Array<i64> {
        self.ints
            .get(name)
            .unwrap_or_else(|| panic!("{}: no `{name}`", self.file.display()))
    }
}

fn numbers<T, const N: usize>(bytes: &[u8], number: fn([u8; N]) -> T) -> Vec<T> {
    bytes
        .chunks_exact(N)
        .map(|c| number(c.try_into().unwrap()))
        .collect()
}
