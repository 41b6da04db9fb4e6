//! The terminal's settings, kept while Burn's interface has it.

#[cfg(unix)]
use std::{
    io::{self, Write},
    thread,
    time::Duration,
};

#[cfg(unix)]
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// How the terminal was.
#[derive(Debug, Clone)]
pub struct Terminal {
    #[cfg(unix)]
    before: Option<Termios>,
}

#[cfg(unix)]
impl Terminal {
    /// The settings of now.
    pub fn now() -> Self {
        Self {
            before: tcgetattr(io::stdin()).ok(),
        }
    }

    /// Makes Ctrl-C a signal again, which Burn's interface switches off: it takes the terminal in a
    /// thread of its own, so this waits until it has, for a second at most.
    pub fn keep_signals(&self) {
        for _ in 0..100 {
            let Ok(mut now) = tcgetattr(io::stdin()) else {
                return;
            };
            if !now.local_modes.contains(LocalModes::ICANON) {
                now.local_modes.insert(LocalModes::ISIG);
                // Without it "q" still stops.
                let _ = tcsetattr(io::stdin(), OptionalActions::Now, &now);
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Gives the terminal back, for an end in haste.
    pub fn restore(&self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
        // No mouse reports, the ordinary screen, a cursor.
        let codes = "\x1b[?1006l\x1b[?1015l\x1b[?1003l\x1b[?1002l\x1b[?1000l\x1b[?1049l\x1b[?25h";
        let mut out = io::stdout();
        let _ = out.write_all(codes.as_bytes()).and_then(|()| out.flush());
    }
}

#[cfg(not(unix))]
impl Terminal {
    /// Nothing is kept here; "q" stops.
    pub fn now() -> Self {
        Self {}
    }

    pub fn keep_signals(&self) {}

    pub fn restore(&self) {}
}
