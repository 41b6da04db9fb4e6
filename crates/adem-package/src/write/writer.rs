//! A package whose tensors come piece by piece, so that none of them need ever be in memory whole.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::commit::{holds, own};
use super::partial::{Partial, Sealed};
use super::plan::{Plan, Planned};
use super::sink::{Halt, Sink};
use super::staged::{put, sealed};
use super::stream::{Found, StreamError, StreamOptions, StreamTensor};
use super::{Commit, Draft, Layout, manifest, shard_name};
use crate::digest::{Digest, Hasher};
use crate::error::PackageError;
use crate::manifest::{Manifest, ShardEntry, TOKENIZER_FILE};
use crate::quant::{BLOCK, Method, Quantisation, ScaleType, Scheme};

/// Writes a package as [`write`](crate::write()) does, its shards one by one or several at once, and
/// holds only what its callers hold.
///
/// Shards are gathered in the folder `NAME.partial` beside the package's own (or in `.partial` within
/// it, where it is on another disk than its parent), which is locked: nobody else writes the same
/// package meanwhile. Once all are complete they are given their places, the manifest last, and that
/// folder goes. An interruption of any kind leaves the package's folder as it was; what becomes of
/// the shards, [`StreamOptions::origin`] says. Their values must not depend on anything but the origin.
pub struct StreamWriter<'a> {
    folder: &'a Path,
    draft: Draft,
    tokenizer: &'a [u8],
    options: &'a StreamOptions,
    stop: &'a AtomicBool,
    plan: Plan<'a>,
    layouts: Vec<Layout>,
    partial: Mutex<Partial>,
    /// Shards that were there, and where.
    kept: Vec<Option<(Sealed, PathBuf)>>,
    found: Found,
}

impl<'a> StreamWriter<'a> {
    /// Plans the package, and looks at what an earlier attempt has left: every shard is read again
    /// and compared with its digest. `stop` ends this and [`write`](Self::write) when it becomes true.
    ///
    /// # Errors
    /// A tensor that cannot be written or a draft that makes no valid manifest, as
    /// [`write`](crate::write()) has them; [`PackageError::Busy`] where another program writes the
    /// same package; [`PackageError::Occupied`]; [`PackageError::Foreign`]; [`PackageError::Write`];
    /// [`PackageError::Stopped`].
    pub fn open(
        folder: &'a Path,
        draft: Draft,
        tokenizer: &'a [u8],
        tensors: &'a [StreamTensor],
        options: &'a StreamOptions,
        stop: &'a AtomicBool,
    ) -> Result<Self, PackageError> {
        own(folder)?;
        let plan = Plan::new(tensors)?;
        let layouts = plan.lay_out(options.shard_bytes)?;
        let fingerprint = options
            .origin
            .map(|origin| fingerprint(origin, options.method, &layouts));
        let (kept, found) = (vec![None; layouts.len()], Found::default());
        let mut writer = Self {
            partial: Mutex::new(Partial::open(folder, fingerprint)?),
            folder,
            draft,
            tokenizer,
            options,
            stop,
            plan,
            layouts,
            kept,
            found,
        };
        match writer.look().and_then(|()| writer.check_draft()) {
            Ok(()) => Ok(writer),
            Err(e) => {
                writer.close(true);
                Err(e)
            }
        }
    }

    /// What an earlier attempt has left.
    pub fn found(&self) -> Found {
        self.found
    }

    /// Whether the tensor is in a shard that is complete: it will not be asked for.
    pub fn is_kept(&self, tensor: &str) -> bool {
        let Some(planned) = self.planned(tensor) else {
            return false;
        };
        let holds = |layout: &Layout| {
            let mut placed = layout.tensors.iter();
            placed.any(|placed| placed.slot == planned.slots.start)
        };
        let shard = self.layouts.iter().position(holds);
        shard.is_some_and(|shard| self.kept[shard].is_some())
    }

    /// How the tensor will be quantised, if it will.
    pub fn scheme(&self, tensor: &str) -> Option<(Scheme, ScaleType)> {
        let (entry, _) = self.planned(tensor)?.quantised.as_ref()?;
        Some((entry.scheme, entry.scale))
    }

    /// Writes the package. `fill` is called once for each tensor of a shard that is not there yet, by
    /// several threads at once, with the [`Sink`] to give all its values to; `done` with the number of
    /// shards that are complete, after each.
    ///
    /// The bytes of the package do not depend on the number of threads, nor on interruptions.
    ///
    /// # Errors
    /// Those of [`write`](crate::write()), a weight too large for its scale
    /// ([`PackageError::Unscalable`]), a tensor that `fill` gave too few or too many values
    /// ([`PackageError::Unwritable`]), and whatever `fill` returns: the first of them in the order of
    /// the shards. In all cases the folder's package is as it was.
    pub fn write<E: StreamError>(
        self,
        fill: impl Fn(&StreamTensor, &mut Sink<'_>) -> Result<(), E> + Sync,
        done: impl Fn(usize) + Sync,
    ) -> Result<Manifest, E> {
        let written = self
            .shards(&fill, &done)
            .and_then(|shards| self.commit(shards).map_err(E::from));
        self.close(written.as_ref().is_err_and(E::may_pass));
        written
    }

    fn planned(&self, tensor: &str) -> Option<&Planned<'a>> {
        let tensors = &self.plan.tensors;
        let found = tensors.binary_search_by(|it| it.tensor.name.as_str().cmp(tensor));
        found.ok().map(|index| &tensors[index])
    }

    fn partial(&self) -> MutexGuard<'_, Partial> {
        // What a thread that panicked has left is what is on the disk.
        self.partial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(self, keep: bool) {
        let partial = self.partial.into_inner();
        partial.unwrap_or_else(PoisonError::into_inner).close(keep);
    }

    /// Finds the shards that are there and sound.
    fn look(&mut self) -> Result<(), PackageError> {
        let said = self.partial().shards();
        let shards: Vec<_> = said.into_iter().collect();
        let places = Mutex::new(vec![None; self.layouts.len()]);
        each(shards.len(), self.options.jobs, |index| {
            let (number, sealed) = shards[index];
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let place = self.sound(number, sealed);
            let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(kept) = places.get_mut(number) {
                *kept = place.map(|place| (sealed, place));
            }
        });
        if self.stop.load(Ordering::Relaxed) {
            return Err(PackageError::Stopped);
        }
        self.kept = places.into_inner().unwrap_or_else(PoisonError::into_inner);
        let kept = self.kept.iter().flatten().count();
        let discarded = self.partial().discarded;
        self.found = Found {
            shards: self.layouts.len(),
            kept,
            damaged: shards.len() - kept,
            discarded,
        };
        for (number, _) in shards {
            if self.kept.get(number).is_none_or(Option::is_none) {
                self.partial().drop_shard(number)?;
            }
        }
        Ok(())
    }

    /// Where a shard that should be there is; under its last name, if all were complete already when
    /// the program ended.
    fn sound(&self, number: usize, sealed: Sealed) -> Option<PathBuf> {
        let layout = self.layouts.get(number)?;
        if layout.bytes as u64 != sealed.bytes {
            return None;
        }
        let name = shard_name(number, self.layouts.len());
        let mut places = vec![self.partial().shard(number), self.folder.join(&name)];
        if places[1].exists() {
            places.push(self.folder.join(sealed.sha256.versioned(&name)));
        }
        let mut places = places.into_iter();
        places.find(|place| holds(place, sealed.bytes, &sealed.sha256))
    }

    /// Refuses a draft that would make no manifest while there is still little to lose.
    fn check_draft(&self) -> Result<(), PackageError> {
        let unknown = Sealed {
            bytes: 0,
            sha256: Digest::of(&[]),
        };
        let all = vec![unknown; self.layouts.len()];
        let name = |number| shard_name(number, self.layouts.len());
        let entries = self.entries(&all, name);
        self.manifest(entries, TOKENIZER_FILE.to_owned(), &all)
            .to_bytes()
            .map(drop)
    }

    /// All shards, those that are not there written.
    fn shards<E: StreamError>(
        &self,
        fill: &(impl Fn(&StreamTensor, &mut Sink<'_>) -> Result<(), E> + Sync),
        done: &(impl Fn(usize) + Sync),
    ) -> Result<Vec<(Sealed, PathBuf)>, E> {
        let complete = Mutex::new((self.kept.clone(), self.found.kept));
        let failed = AtomicUsize::new(usize::MAX);
        let error = Mutex::new(None);
        each(self.layouts.len(), self.options.jobs, |shard| {
            if self.kept[shard].is_some() || shard > failed.load(Ordering::Relaxed) {
                return;
            }
            let halt = Halt {
                stop: self.stop,
                failed: &failed,
                shard,
            };
            match self.shard(halt, fill) {
                Ok(sealed) => {
                    let place = self.partial().shard(shard);
                    let mut complete = complete.lock().unwrap_or_else(PoisonError::into_inner);
                    complete.0[shard] = Some((sealed, place));
                    complete.1 += 1;
                    done(complete.1);
                }
                Err(e) => {
                    let mut error = error.lock().unwrap_or_else(PoisonError::into_inner);
                    if failed.fetch_min(shard, Ordering::Relaxed) > shard {
                        *error = Some(e);
                    }
                }
            }
        });
        if let Some(e) = error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(e);
        }
        let complete = complete.into_inner();
        let (complete, _) = complete.unwrap_or_else(PoisonError::into_inner);
        Ok(complete.into_iter().flatten().collect())
    }

    /// Writes one shard.
    fn shard<E: StreamError>(
        &self,
        halt: Halt<'_>,
        fill: &impl Fn(&StreamTensor, &mut Sink<'_>) -> Result<(), E>,
    ) -> Result<Sealed, E> {
        let layout = &self.layouts[halt.shard];
        let mut staged = self.partial().temporary()?;
        put(&mut staged, 0, &layout.header)?;
        for (planned, places) in self.plan.within(layout) {
            let mut sink = Sink {
                staged: &mut staged,
                planned,
                method: self.options.method,
                places,
                elements: 0,
                halt,
            };
            fill(planned.tensor, &mut sink)?;
            sink.finish()?;
        }
        let sealed = Sealed {
            bytes: layout.bytes as u64,
            sha256: sealed(&mut staged)?,
        };
        self.partial().keep(halt.shard, staged, sealed)?;
        Ok(sealed)
    }

    /// Gives all shards their places.
    fn commit(&self, shards: Vec<(Sealed, PathBuf)>) -> Result<Manifest, PackageError> {
        let place = self.partial().place().to_owned();
        let mut commit = Commit::staged_in(self.folder, &place)?;
        let (sealed, places): (Vec<_>, Vec<_>) = shards.into_iter().unzip();
        let mut names = Vec::with_capacity(places.len());
        for (number, (place, sealed)) in places.into_iter().zip(&sealed).enumerate() {
            let name = shard_name(number, self.layouts.len());
            names.push(commit.add_kept(&name, place, sealed.bytes, sealed.sha256));
        }
        let tokenizer = commit.add(TOKENIZER_FILE, self.tokenizer.to_vec());
        let entries = self.entries(&sealed, |number| names[number].clone());
        let made = self.manifest(entries, tokenizer, &sealed);
        let bytes = made.to_bytes()?;
        commit.stage(bytes)?.finish(&made)?;
        Ok(made)
    }

    fn entries(&self, sealed: &[Sealed], name: impl Fn(usize) -> String) -> Vec<ShardEntry> {
        let shards = self.layouts.iter().zip(sealed).enumerate();
        let entry = |(number, (layout, sealed)): (usize, (&Layout, &Sealed))| ShardEntry {
            file: name(number),
            bytes: layout.bytes as u64,
            sha256: sealed.sha256,
            tensors: layout.names(&self.plan.slots),
        };
        shards.map(entry).collect()
    }

    fn manifest(&self, shards: Vec<ShardEntry>, tokenizer: String, sealed: &[Sealed]) -> Manifest {
        let tensors = self.plan.quantised();
        let quantisation = (!tensors.is_empty()).then(|| Quantisation {
            block: BLOCK,
            method: self.options.method,
            importance: false,
            keep_float: Vec::new(),
            source: digest_of_all(sealed),
            tensors,
        });
        let tokenizer = (tokenizer, self.tokenizer);
        manifest(self.draft.clone(), tokenizer, shards, quantisation)
    }
}

/// What shards of these layouts are of: nothing else decides their bytes.
fn fingerprint(origin: Digest, method: Method, layouts: &[Layout]) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(origin.bytes());
    // Another version may choose other codes.
    hasher.update(format!("{method:?} {}", env!("CARGO_PKG_VERSION")).as_bytes());
    for layout in layouts {
        // Names, types, shapes and places.
        hasher.update(Digest::of(&layout.header).bytes());
    }
    hasher.finish()
}

/// One digest of all shards.
fn digest_of_all(shards: &[Sealed]) -> Digest {
    let mut hasher = Hasher::default();
    for shard in shards {
        hasher.update(shard.sha256.bytes());
    }
    hasher.finish()
}

/// Calls `work` with each number below `count`, in order as threads become free.
fn each(count: usize, jobs: Option<NonZeroUsize>, work: impl Fn(usize) + Sync) {
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = jobs.unwrap_or_else(cores).get().min(count);
    let next = AtomicUsize::new(0);
    let take = || {
        let index = next.fetch_add(1, Ordering::Relaxed);
        (index < count).then_some(index)
    };
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(index) = take() {
                    work(index);
                }
            });
        }
    });
}
