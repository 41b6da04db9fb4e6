//! What the page has asked and nobody has done yet.

use adem_protocol::Ask;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, VecDeque},
    future::poll_fn,
    task::{Poll, Waker},
};
use web_sys::File;

/// What travels with a question.
#[derive(Default)]
pub(crate) struct Parcel {
    /// A picture's file.
    pub picture: Option<Vec<u8>>,
    /// The files of a package.
    pub files: Vec<File>,
}

/// A queue with one reader. Messages of one page on one thread: nothing here is shared further.
#[derive(Default)]
pub(crate) struct Inbox {
    queue: RefCell<VecDeque<(Ask, Parcel)>>,
    stopped: RefCell<BTreeSet<u64>>,
    finished: Cell<Option<u64>>,
    reader: RefCell<Option<Waker>>,
}

impl Inbox {
    /// Takes in what was asked, with what came along.
    pub(crate) fn put(&self, ask: Ask, parcel: Parcel) {
        // At once, not in its turn: the job to be stopped may be the one that runs.
        if let Ask::Stop { job } = ask {
            if self.finished.get().is_none_or(|finished| job > finished) {
                self.stopped.borrow_mut().insert(job);
            }
            return;
        }
        self.queue.borrow_mut().push_back((ask, parcel));
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }

    /// The next thing that was asked; waits for it.
    pub(crate) async fn next(&self) -> (Ask, Parcel) {
        poll_fn(|context| match self.queue.borrow_mut().pop_front() {
            Some(next) => Poll::Ready(next),
            None => {
                *self.reader.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    /// Whether the page no longer wants this job.
    pub(crate) fn is_stopped(&self, job: u64) -> bool {
        self.stopped.borrow().contains(&job)
    }

    /// Forgets what was noted about this job and all before it. Jobs are numbered upwards.
    pub(crate) fn finish(&self, job: u64) {
        self.finished.set(Some(job));
        self.stopped.borrow_mut().retain(|stopped| *stopped > job);
    }
}

#[cfg(test)]
mod tests {
    use super::{Inbox, Parcel};
    use adem_protocol::{Ask, Task};
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    fn describe(job: u64) -> Ask {
        Ask::Describe {
            job,
            task: Task::Caption,
            fusion: None,
            trace: false,
        }
    }

    fn taken(inbox: &Inbox) -> Option<Ask> {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(inbox.next()).poll(&mut context) {
            Poll::Ready((ask, _)) => Some(ask),
            Poll::Pending => None,
        }
    }

    #[test]
    fn jobs_come_out_in_the_order_they_were_asked() {
        let inbox = Inbox::default();
        assert_eq!(taken(&inbox), None);
        inbox.put(describe(1), Parcel::default());
        inbox.put(describe(2), Parcel::default());
        assert_eq!(taken(&inbox), Some(describe(1)));
        assert_eq!(taken(&inbox), Some(describe(2)));
        assert_eq!(taken(&inbox), None);
    }

    #[test]
    fn a_stop_overtakes_the_queue_and_concerns_one_job() {
        let inbox = Inbox::default();
        inbox.put(describe(1), Parcel::default());
        inbox.put(describe(2), Parcel::default());
        inbox.put(Ask::Stop { job: 2 }, Parcel::default());
        assert!(inbox.is_stopped(2) && !inbox.is_stopped(1));
        inbox.finish(1);
        assert!(inbox.is_stopped(2));
        inbox.finish(2);
        assert!(!inbox.is_stopped(2));
    }

    #[test]
    fn a_stop_that_comes_too_late_leaves_no_trace() {
        let inbox = Inbox::default();
        inbox.finish(5);
        inbox.put(Ask::Stop { job: 5 }, Parcel::default());
        assert!(inbox.stopped.borrow().is_empty());
    }
}
