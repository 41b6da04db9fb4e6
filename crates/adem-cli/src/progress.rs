//! How far long work is, in one line.

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use adem_eval::captions::CaptionProgress;

use crate::output;

/// One line of progress on the terminal; nothing elsewhere.
#[derive(Debug)]
pub struct ProgressLine {
    terminal: bool,
}

impl Default for ProgressLine {
    fn default() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
        }
    }
}

impl ProgressLine {
    /// Shows what is done, and says whether to go on.
    pub fn show(
        &self,
        done: &str,
        seconds_left: Option<f64>,
        stopped: &AtomicBool,
    ) -> ControlFlow<()> {
        if self.terminal {
            let left = match seconds_left {
                Some(seconds) => format!("about {} left", output::duration(seconds)),
                None => "started".to_owned(),
            };
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(io::stderr(), "\r\x1b[K{done}, {left}");
            let _ = io::stderr().flush();
        }
        match stopped.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Shows how many pictures are done, and says whether to go on.
    pub fn pictures(&self, now: CaptionProgress, stopped: &AtomicBool) -> ControlFlow<()> {
        let of = now.count.map(|n| format!(" of {n}")).unwrap_or_default();
        let done = format!("{}{of} pictures", now.done);
        self.show(&done, now.seconds_left(), stopped)
    }

    pub fn clear(&self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
