//! What meets the weights of a model while it runs, for those who round them.

use std::collections::BTreeMap;
use std::mem::size_of;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Tensor;

use crate::{cpu, host};

/// Sums over the rows of activations that a matrix `[n, k]` was multiplied with: X^T X, `[k, k]`, or
/// of that its diagonal.
#[derive(Debug)]
pub struct Gram {
    columns: usize,
    shared: Arc<Shared>,
    sums: Mutex<Sums>,
}

/// What all matrices of a model share.
#[derive(Debug)]
struct Shared {
    /// Whether rows are counted now.
    looking: AtomicBool,
    /// Bytes that more of X^T X may take.
    left: AtomicUsize,
}

/// Sums, and over how many rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sums {
    /// Columns, k.
    pub columns: usize,
    /// Rows.
    pub rows: u64,
    /// X^T X, `[k, k]`, or its diagonal, `[k]`; nothing before the first row.
    pub values: Vec<f32>,
}

impl Gram {
    /// Adds the rows of `x`, `[batch, rows, k]`.
    pub(crate) fn add(&self, x: &Tensor<3>) {
        if !self.shared.looking.load(Ordering::Relaxed) {
            return;
        }
        let x = host::view(x);
        let (k, rows) = (self.columns, x.len() / self.columns.max(1));
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        if sums.values.is_empty() {
            let whole = k.saturating_mul(k);
            let bytes = whole.saturating_mul(size_of::<f32>());
            let fits = |left: usize| left.checked_sub(bytes);
            let left = &self.shared.left;
            let took = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
            sums.columns = k;
            sums.values = vec![0.0; if took.is_ok() { whole } else { k }];
        }
        sums.rows += rows as u64;
        if sums.values.len() == k {
            for row in x.chunks_exact(k) {
                for (sum, x) in sums.values.iter_mut().zip(row) {
                    *sum += x * x;
                }
            }
            return;
        }
        let mut across = vec![0.0; x.len()];
        for (row, values) in x.chunks_exact(k).enumerate() {
            for (column, value) in values.iter().enumerate() {
                across[column * rows + row] = *value;
            }
        }
        let products = cpu::times(&across, &across, rows);
        for (sum, product) in sums.values.iter_mut().zip(products) {
            *sum += product;
        }
    }

    /// What it has seen, which it then has no more.
    pub fn take(&self) -> Sums {
        std::mem::take(&mut *self.sums.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What meets each weight of a model, by the weight's name.
///
/// For models on the CPU backend; on others nothing is seen.
#[derive(Debug)]
pub struct Watches {
    shared: Arc<Shared>,
    grams: BTreeMap<String, Arc<Gram>>,
}

impl Watches {
    /// None yet. Their X^T X may take `bytes` of memory together; matrices that come when those are
    /// used up get the diagonal alone.
    pub fn new(bytes: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                looking: AtomicBool::new(true),
                left: AtomicUsize::new(bytes),
            }),
            grams: BTreeMap::new(),
        }
    }

    /// That of the weight `name` with `columns` inputs.
    pub fn of(&mut self, name: &str, columns: usize) -> Arc<Gram> {
        let new = || {
            Arc::new(Gram {
                columns,
                shared: Arc::clone(&self.shared),
                sums: Mutex::default(),
            })
        };
        let gram = self.grams.entry(name.to_owned()).or_insert_with(new);
        Arc::clone(gram)
    }

    /// Counts what comes from now on, or not.
    pub fn look(&self, on: bool) {
        self.shared.looking.store(on, Ordering::Relaxed);
    }

    /// All of them, sorted by name; those that have seen nothing are left out.
    pub fn take(self) -> BTreeMap<String, Sums> {
        let all = self
            .grams
            .into_iter()
            .map(|(name, gram)| (name, gram.take()));
        all.filter(|(_, sums)| sums.rows > 0).collect()
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::Matrix;

    #[test]
    fn what_a_matrix_is_multiplied_with_is_summed_while_somebody_looks() {
        let device = Device::flex();
        let mut watches = Watches::new(4 * 3 * 3);
        let rows = |values: Vec<f32>, k: usize| {
            let count = values.len() / k;
            host::tensor::<3>(values, [1, count, k], &device)
        };
        let matrix = |watches: &mut Watches, name: &str, k: usize| {
            let weights = host::tensor::<2>(vec![1.0; 2 * k], [2, k], &device);
            Matrix::fixed(weights).watched(watches.of(name, k))
        };
        let [a, b, unused] =
            [("a", 3), ("b", 2), ("c", 2)].map(|(name, k)| matrix(&mut watches, name, k));
        drop(unused);
        a.times(rows(vec![1.0, 2.0, 3.0, 0.0, -1.0, 4.0], 3), None);
        watches.look(false);
        a.times(rows(vec![9.0; 3], 3), None);
        watches.look(true);
        a.times(rows(vec![1.0, 0.0, 0.0], 3), None);
        // The first has used up the room for products.
        b.times(rows(vec![1.0, 2.0, 3.0, 4.0], 2), None);
        let seen = watches.take();
        let products = vec![2.0, 2.0, 3.0, 2.0, 5.0, 2.0, 3.0, 2.0, 25.0];
        let expected = [("a", 3, 3, products), ("b", 2, 2, vec![10.0, 20.0])];
        let expected = expected.map(|(name, columns, rows, values)| {
            let sums = Sums {
                columns,
                rows,
                values,
            };
            (name.to_owned(), sums)
        });
        assert_eq!(seen, BTreeMap::from(expected));
    }
}
