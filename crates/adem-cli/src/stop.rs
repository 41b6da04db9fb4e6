//! Ctrl-C as a wish to stop in good order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Becomes true at the first Ctrl-C, which is answered with "stopping after `unit`"; the second
/// one kills.
pub fn flag(unit: &'static str) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    let handler = ctrlc::set_handler(move || {
        if set.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nadem: stopping after {unit}; once more to stop at once");
    });
    if let Err(error) = handler {
        eprintln!("adem: Ctrl-C will end the program at once: {error}");
    }
    flag
}
