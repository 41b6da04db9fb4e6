//! Ctrl-C, and what ends a program from outside, as a wish to stop in good order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::terminal::Terminal;

/// A wish to stop.
#[derive(Debug, Clone)]
pub struct Stop {
    /// Becomes true at the first Ctrl-C or SIGTERM.
    pub flag: Arc<AtomicBool>,
    /// The terminal as it was, once something has taken the screen.
    screen: Arc<OnceLock<Terminal>>,
}

impl Stop {
    /// From now on messages stay away from the screen, and a program that is killed gives the
    /// terminal back.
    pub fn screen_taken(&self, terminal: Terminal) {
        // It is taken once.
        let _ = self.screen.set(terminal);
    }
}

/// Listens to Ctrl-C: the first is answered with "stopping after `unit`", the second one kills. So
/// does SIGTERM, by which batch systems and service managers end programs, in silence.
pub fn listen(unit: &'static str) -> Stop {
    let stop = Stop {
        flag: Arc::new(AtomicBool::new(false)),
        screen: Arc::default(),
    };
    let set = stop.clone();
    let handler = ctrlc::set_handler(move || {
        let again = set.flag.swap(true, Ordering::Relaxed);
        match set.screen.get() {
            Some(terminal) if again => terminal.restore(),
            Some(_) => return,
            None => eprintln!("\nadem: stopping after {unit}; once more to stop at once"),
        }
        if again {
            std::process::exit(130);
        }
    });
    if let Err(error) = handler {
        eprintln!("adem: Ctrl-C will end the program at once: {error}");
    }
    #[cfg(unix)]
    if let Err(error) = terminated(&stop.flag) {
        eprintln!("adem: SIGTERM will end the program at once: {error}");
    }
    stop
}

#[cfg(unix)]
fn terminated(flag: &Arc<AtomicBool>) -> std::io::Result<()> {
    use signal_hook::{consts::SIGTERM, flag};
    // In this order: the second signal finds the flag set.
    flag::register_conditional_shutdown(SIGTERM, 143, Arc::clone(flag))?;
    flag::register(SIGTERM, Arc::clone(flag)).map(drop)
}
