//! Models of the Hugging Face hub, fetched before they are imported.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use adem_import::ImportError;
use adem_import::hub::{HubName, HubOptions, HubProgress, fetch};

use crate::error::CliError;

/// Cells of the bar.
const BAR: u64 = 24;
/// Time between two lines.
const PACE: Duration = Duration::from_millis(100);

/// The sources with the hub's models in place of their names.
pub fn fetched(
    sources: &[PathBuf],
    offline: bool,
    terminal: bool,
    stop: &AtomicBool,
) -> Result<Vec<PathBuf>, CliError> {
    let place = |source: &PathBuf| {
        let name = source.to_str().and_then(HubName::parse);
        let Some(name) = name.transpose().map_err(ImportError::from)? else {
            return Ok(source.clone());
        };
        let mut options = HubOptions::from_env(|name| env::var(name).ok());
        if let Ok(options) = &mut options {
            options.offline |= offline;
        }
        let options = options.map_err(ImportError::from)?;
        let mut shown = Shown::new(&name);
        let mut show = |now| {
            if terminal {
                shown.show(now);
            }
        };
        let place = fetch(&name, &options, &mut show, stop).map_err(ImportError::from);
        if terminal {
            eprintln!();
        }
        Ok(place?)
    };
    sources.iter().map(place).collect()
}

/// One line on the terminal, over the one before.
struct Shown {
    name: String,
    begun: Instant,
    last: Option<Instant>,
}

impl Shown {
    fn new(name: &HubName) -> Self {
        Self {
            name: name.to_string(),
            begun: Instant::now(),
            last: None,
        }
    }

    fn show(&mut self, now: HubProgress) {
        let end = now.bytes >= now.total_bytes;
        if !end && self.last.is_some_and(|last| last.elapsed() < PACE) {
            return;
        }
        self.last = Some(Instant::now());
        let line = told(&now, self.begun.elapsed());
        // Progress that cannot be shown is no reason to stop.
        let _ = write!(io::stderr(), "\r\x1b[K{}  {line}", self.name);
        let _ = io::stderr().flush();
    }
}

/// A bar, bytes, bytes a second and the time that is left.
fn told(now: &HubProgress, elapsed: Duration) -> String {
    let cells = (BAR * now.bytes.min(now.total_bytes)).checked_div(now.total_bytes);
    let cells = cells.unwrap_or(BAR) as usize;
    let bar = format!("{}{}", "#".repeat(cells), ".".repeat(BAR as usize - cells));
    let size = format!(
        "{:.1} of {:.1} MB",
        now.bytes as f64 / 1e6,
        now.total_bytes as f64 / 1e6
    );
    let rate = now.fetched as f64 / elapsed.as_secs_f64().max(1e-3);
    if now.fetched == 0 {
        return format!("[{bar}] {size}");
    }
    let left = now.total_bytes.saturating_sub(now.bytes) as f64 / rate;
    let left = left as u64;
    format!(
        "[{bar}] {size}, {:.1} MB/s, {}:{:02} left",
        rate / 1e6,
        left / 60,
        left % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_tells_bytes_rate_and_time() {
        let now = HubProgress {
            bytes: 50_000_000,
            total_bytes: 200_000_000,
            fetched: 30_000_000,
            files: 1,
            total_files: 3,
        };
        assert_eq!(
            told(&now, Duration::from_secs(15)),
            "[######..................] 50.0 of 200.0 MB, 2.0 MB/s, 1:15 left"
        );
        let cached = HubProgress {
            bytes: 0,
            total_bytes: 0,
            fetched: 0,
            ..now
        };
        let full = "#".repeat(24);
        assert_eq!(
            told(&cached, Duration::ZERO),
            format!("[{full}] 0.0 of 0.0 MB")
        );
    }
}
