//! A package whose writing was interrupted and goes on.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use adem_package::quant::{ScaleType, Scheme};
use adem_package::{
    Digest, Dtype, Folder, Found, Manifest, PackageError, Sink, StreamOptions, StreamTensor,
    StreamWriter, verify,
};
use pollster::block_on;

use crate::craft::{TOKENIZER, draft, files, names};

/// Tensors of the package, each in a shard of its own.
const COUNT: usize = 6;

/// A folder with a target and an origin, written by one thread unless told otherwise.
struct Job {
    root: tempfile::TempDir,
    options: StreamOptions,
    plan: Vec<StreamTensor>,
}

/// What an attempt did.
struct Ran {
    result: Result<Manifest, PackageError>,
    found: Found,
    /// Tensors that were asked for, in order.
    asked: Vec<String>,
}

impl Job {
    fn new() -> Self {
        let tensor = |index: usize| StreamTensor {
            name: format!("{index}.weight"),
            shape: vec![if index < 3 { 64 } else { 24 }, 32],
            dtype: Dtype::F16,
            scheme: (index < 3).then_some(Scheme::Q4),
            scale: ScaleType::F16,
        };
        Self {
            root: tempfile::tempdir().unwrap(),
            options: StreamOptions {
                shard_bytes: 2000,
                jobs: NonZeroUsize::new(1),
                origin: Some(Digest::of(b"the sources")),
                ..StreamOptions::default()
            },
            plan: (0..COUNT).map(tensor).collect(),
        }
    }

    fn target(&self) -> PathBuf {
        self.root.path().join("new/package")
    }

    fn partial(&self) -> PathBuf {
        self.root.path().join("new/package.partial")
    }

    /// Writes the package; `meanwhile` is called before each tensor is given.
    fn run(&self, meanwhile: impl Fn(&str, &AtomicBool) -> Result<(), PackageError> + Sync) -> Ran {
        self.run_in(&self.target(), meanwhile)
    }

    fn run_in(
        &self,
        target: &Path,
        meanwhile: impl Fn(&str, &AtomicBool) -> Result<(), PackageError> + Sync,
    ) -> Ran {
        let stop = AtomicBool::new(false);
        let opened =
            StreamWriter::open(target, draft(), TOKENIZER, &self.plan, &self.options, &stop);
        let writer = match opened {
            Ok(writer) => writer,
            Err(e) => {
                return Ran {
                    result: Err(e),
                    found: Found::default(),
                    asked: Vec::new(),
                };
            }
        };
        let found = writer.found();
        let kept = self.plan.iter().filter(|it| writer.is_kept(&it.name));
        assert_eq!(kept.count(), found.kept);
        let asked = Mutex::new(Vec::new());
        let result = writer.write(
            |tensor, sink| {
                asked.lock().unwrap().push(tensor.name.clone());
                meanwhile(&tensor.name, &stop)?;
                give(tensor, sink)
            },
            |_| {},
        );
        Ran {
            result,
            found,
            asked: asked.into_inner().unwrap(),
        }
    }

    /// Stops when tensor `at` is asked for.
    fn stop_at(&self, at: usize) {
        let name = format!("{at}.weight");
        let ran = self.run(|tensor, stop| {
            stop.store(tensor == name, Ordering::Relaxed);
            Ok(())
        });
        assert!(matches!(ran.result, Err(PackageError::Stopped)));
        assert!(!self.target().exists());
    }

    /// What is written without an interruption.
    fn whole(&self) -> BTreeMap<String, Vec<u8>> {
        let folder = self.root.path().join("whole");
        self.run_in(&folder, |_, _| Ok(())).result.unwrap();
        files(&folder)
    }

    /// Goes on to the end and checks what was asked for.
    fn goes_on(&self, kept: usize, asked: &[usize]) -> Ran {
        let ran = self.run(|_, _| Ok(()));
        ran.result.as_ref().unwrap();
        let wanted: Vec<_> = asked.iter().map(|it| format!("{it}.weight")).collect();
        assert_eq!(ran.asked, wanted);
        assert_eq!((ran.found.shards, ran.found.kept), (COUNT, kept));
        assert_eq!(files(&self.target()), self.whole());
        block_on(verify(Folder::new(self.target()), |_| {})).unwrap();
        assert!(!self.partial().exists());
        ran
    }
}

fn give(tensor: &StreamTensor, sink: &mut Sink<'_>) -> Result<(), PackageError> {
    let seed = tensor.name.as_bytes()[0];
    let cols = tensor.shape[1];
    let row = |i: usize| (0..cols).map(move |j| f32::from(seed) + (i * cols + j) as f32);
    (0..tensor.shape[0]).try_for_each(|i| sink.values(&row(i).collect::<Vec<_>>()))
}

fn fine(_: &str, _: &AtomicBool) -> Result<(), PackageError> {
    Ok(())
}

#[test]
fn what_was_stopped_goes_on_and_is_the_same_package() {
    for at in 1..COUNT {
        let job = Job::new();
        job.stop_at(at);
        let rest: Vec<_> = (at..COUNT).collect();
        job.goes_on(at, &rest);
    }
    // Before the first shard is complete there is nothing to keep.
    let job = Job::new();
    job.stop_at(0);
    assert!(files(job.root.path()).is_empty());
    // Several times, and by other numbers of threads.
    let mut job = Job::new();
    job.stop_at(2);
    job.stop_at(4);
    job.options.jobs = NonZeroUsize::new(3);
    let ran = job.run(fine);
    assert_eq!((ran.found.kept, ran.asked.len()), (4, 2));
    assert_eq!(files(&job.target()), job.whole());
}

#[test]
fn a_shard_that_was_damaged_is_written_anew() {
    let harms: [fn(&Path); 3] = [
        |shard| fs::remove_file(shard).unwrap(),
        |shard| {
            let file = OpenOptions::new().write(true).open(shard).unwrap();
            file.set_len(100).unwrap();
        },
        |shard| {
            let mut bytes = fs::read(shard).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(shard, bytes).unwrap();
        },
    ];
    for harm in harms {
        let job = Job::new();
        job.stop_at(4);
        harm(&job.partial().join("shard-00001"));
        let ran = job.goes_on(3, &[1, 4, 5]);
        assert_eq!(ran.found.damaged, 1);
    }
}

#[test]
fn shards_of_other_sources_or_options_are_not_taken_over() {
    type Change = fn(&mut Job);
    let changes: [(Change, bool); 7] = [
        (|job| job.options.origin = Some(Digest::of(b"others")), true),
        (|job| job.options.origin = None, true),
        (
            |job| job.options.method = adem_package::quant::Method::Rtn,
            true,
        ),
        (|job| job.plan[5].dtype = Dtype::BF16, true),
        (|job| job.plan[0].scale = ScaleType::F32, true),
        (|job| job.plan.swap(0, 5), false),
        (|job| job.options.jobs = None, false),
    ];
    for (index, (change, other)) in changes.into_iter().enumerate() {
        let mut job = Job::new();
        job.stop_at(3);
        change(&mut job);
        let ran = job.run(fine);
        ran.result.unwrap();
        let wanted = if other { (0, 3) } else { (3, 0) };
        let found = (ran.found.kept, ran.found.discarded);
        assert_eq!(found, wanted, "change {index}");
        assert_eq!(files(&job.target()), job.whole());
    }
    // Nothing is kept of what has no origin.
    let mut job = Job::new();
    job.options.origin = None;
    job.stop_at(3);
    assert!(files(job.root.path()).is_empty());
}

#[test]
fn a_journal_that_is_damaged_begins_anew() {
    for journal in [&b""[..], b"{\"plan\":", b"[]", &[0xff; 100]] {
        let job = Job::new();
        job.stop_at(3);
        fs::write(job.partial().join("journal.json"), journal).unwrap();
        job.goes_on(0, &[0, 1, 2, 3, 4, 5]);
    }
    // Numbers no package has.
    let job = Job::new();
    job.stop_at(3);
    let path = job.partial().join("journal.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"1\":", "\"4000000000\":")).unwrap();
    job.goes_on(2, &[1, 3, 4, 5]);
}

#[test]
fn what_a_killed_program_leaves_is_cleared_away() {
    let job = Job::new();
    job.stop_at(2);
    // It was killed while it wrote a shard, and after a shard had its name but no entry.
    fs::write(job.partial().join(".adem-abc.part"), "half").unwrap();
    fs::write(job.partial().join("shard-00003"), "whole, perhaps").unwrap();
    job.goes_on(2, &[2, 3, 4, 5]);

    // It was killed while shards were given their places: some are in the target already.
    let job = Job::new();
    let whole = job.whole();
    job.stop_at(5);
    fs::create_dir(job.target()).unwrap();
    for (index, shard) in ["00001", "00002"].into_iter().enumerate() {
        let from = job.partial().join(format!("shard-{index:05}"));
        let name = format!("weights-{shard}-of-00006.safetensors");
        fs::rename(from, job.target().join(&name)).unwrap();
        assert_eq!(fs::read(job.target().join(&name)).unwrap(), whole[&name]);
    }
    job.goes_on(5, &[5]);
}

#[test]
fn an_old_package_stays_whole_until_the_new_one_is() {
    let mut job = Job::new();
    job.run(fine).result.unwrap();
    let before = files(&job.target());
    job.plan[1].shape = vec![32, 64];
    let ran = job.run(|tensor, stop| {
        stop.store(tensor == "4.weight", Ordering::Relaxed);
        Ok(())
    });
    ran.result.unwrap_err();
    assert_eq!(files(&job.target()), before);
    let ran = job.run(fine);
    assert_eq!(ran.found.kept, 4);
    let made = ran.result.unwrap();
    assert_eq!(
        block_on(verify(Folder::new(job.target()), |_| {})).unwrap(),
        made
    );
    assert_eq!(files(&job.target()).len(), COUNT + 2);
}

#[test]
fn bad_values_leave_nothing_behind_and_the_first_of_them_is_told() {
    let mut job = Job::new();
    job.stop_at(2);
    job.options.jobs = NonZeroUsize::new(4);
    let bad = |tensor: &str| PackageError::MissingTensor {
        tensor: tensor.to_owned(),
    };
    // The later ones fail sooner.
    let both = std::sync::Barrier::new(2);
    let ran = job.run(|tensor, _| match tensor {
        "3.weight" => {
            both.wait();
            Err(bad(tensor))
        }
        "5.weight" => {
            both.wait();
            Err(bad(tensor))
        }
        _ => Ok(()),
    });
    names(&ran.result.unwrap_err(), &["`3.weight`"]);
    assert!(!job.partial().exists() && !job.target().exists());
    // Nor the folders that were made on the way.
    let fresh = Job::new();
    let ran = fresh.run(|tensor, _| match tensor {
        "5.weight" => Err(bad(tensor)),
        _ => Ok(()),
    });
    assert_eq!((ran.result.is_err(), ran.asked.len()), (true, COUNT));
    assert!(files(fresh.root.path()).is_empty());
}

#[test]
fn a_disk_that_is_full_keeps_what_is_complete() {
    let full = || PackageError::Write {
        path: "disk".into(),
        source: std::io::ErrorKind::StorageFull.into(),
    };
    let job = Job::new();
    let ran = job.run(|tensor, _| match tensor {
        "4.weight" => Err(full()),
        _ => Ok(()),
    });
    names(&ran.result.unwrap_err(), &["disk", "nothing was changed"]);
    assert!(!job.target().exists());
    job.goes_on(4, &[4, 5]);
}

#[test]
fn shards_that_cannot_be_given_their_places_are_kept() {
    let job = Job::new();
    let obstacle = job.target().join("adem.json");
    let ran = job.run(|_, _| {
        fs::create_dir_all(&obstacle).unwrap();
        Ok(())
    });
    names(&ran.result.unwrap_err(), &["adem.json"]);
    // Where it stands in the way from the beginning, nothing is begun.
    let ran = job.run(fine);
    names(&ran.result.unwrap_err(), &["adem.json"]);
    assert!(ran.asked.is_empty());
    assert_eq!(fs::read_dir(job.target()).unwrap().count(), 1);
    fs::remove_dir(&obstacle).unwrap();
    job.goes_on(COUNT, &[]);
}

#[test]
fn two_do_not_write_one_package() {
    let job = Job::new();
    let second = Mutex::new(None);
    let ran = job.run(|tensor, _| {
        if tensor == "2.weight" {
            let ran = job.run(fine);
            *second.lock().unwrap() = Some(ran.result.unwrap_err());
        }
        Ok(())
    });
    ran.result.unwrap();
    let error = second.into_inner().unwrap().unwrap();
    assert!(matches!(error, PackageError::Busy { .. }), "{error}");
    names(&error, &["package.partial", "another program"]);
    assert_eq!(files(&job.target()), job.whole());
}

#[test]
fn somebody_elses_folder_is_left_alone() {
    let job = Job::new();
    fs::create_dir_all(job.partial()).unwrap();
    fs::write(job.partial().join("thesis.txt"), "mine").unwrap();
    let error = job.run(fine).result.unwrap_err();
    assert!(matches!(error, PackageError::Occupied { .. }), "{error}");
    names(&error, &["package.partial", "thesis.txt"]);
    assert_eq!(files(&job.partial()).len(), 1);

    let job = Job::new();
    fs::create_dir_all(job.target().parent().unwrap()).unwrap();
    File::create(job.target()).unwrap();
    let error = job.run(fine).result.unwrap_err();
    assert!(matches!(error, PackageError::Write { .. }), "{error}");
    assert!(!job.partial().exists());
}

#[test]
fn a_draft_that_makes_no_manifest_is_refused_before_a_tensor_is_asked_for() {
    let job = Job::new();
    job.stop_at(3);
    let before = files(&job.partial());
    let stop = AtomicBool::new(false);
    let target = job.target();
    let mut bad = draft();
    bad.max_new_tokens = 0;
    let opened = StreamWriter::open(&target, bad, TOKENIZER, &job.plan, &job.options, &stop);
    names(&opened.err().unwrap(), &["max_new_tokens"]);
    assert_eq!(files(&job.partial()), before);
}
