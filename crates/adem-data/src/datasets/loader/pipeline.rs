//! Work spread over threads whose results come out in the order of the jobs.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::datasets::error::DataError;

/// Results in order.
pub(super) struct Pipeline<Out> {
    /// For each job, in order, where its result will come.
    results: Receiver<Receiver<Out>>,
    /// The thread that makes the jobs.
    source: Option<JoinHandle<()>>,
    /// A result that was promised did not come.
    lost: bool,
}

impl<Out: Send + 'static> Pipeline<Out> {
    /// Takes jobs from an iterator on one thread, works on them on `threads` others, and holds at most
    /// two results for each of these. The threads end when the jobs or the pipeline do.
    pub(super) fn start<Job: Send + 'static>(
        threads: usize,
        jobs: impl Iterator<Item = Job> + Send + 'static,
        work: impl Fn(Job) -> Out + Send + Sync + 'static,
    ) -> Result<Self, DataError> {
        let threads = threads.max(1);
        let (queue, next_job) = sync_channel::<(Job, SyncSender<Out>)>(threads);
        let (order, results) = sync_channel(threads);
        let next_job = Arc::new(Mutex::new(next_job));
        let work = Arc::new(work);
        for _ in 0..threads {
            let (next_job, work) = (Arc::clone(&next_job), Arc::clone(&work));
            spawn("adem-decode", move || {
                loop {
                    let job = next_job
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .recv();
                    let Ok((job, result)) = job else {
                        return;
                    };
                    // Nobody may be listening any more.
                    let _ = result.send(work(job));
                }
            })?;
        }
        let source = spawn("adem-draw", move || {
            for job in jobs {
                let (result, promise) = sync_channel(1);
                if order.send(promise).is_err() || queue.send((job, result)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            results,
            source: Some(source),
            lost: false,
        })
    }

    /// The next result; `None` after the last one, or where one was lost.
    pub(super) fn next(&mut self) -> Option<Out> {
        let result = self.results.recv().ok()?.recv();
        self.lost |= result.is_err();
        result.ok()
    }

    /// Whether everything came.
    ///
    /// # Errors
    /// [`DataError::Thread`] when a thread ended before its time.
    pub(super) fn finished(&mut self) -> Result<(), DataError> {
        let ended = match self.source.take() {
            Some(source) if !self.lost => source.join().is_ok(),
            _ => !self.lost,
        };
        ended.then_some(()).ok_or(DataError::Thread)
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, DataError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|_| DataError::Thread)
}
