//! `adem train --tui`: Burn's terminal interface, fed with what a run tells.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use adem_train::{Look, Report, Told};
use burn_train::Interrupter;
use burn_train::logger::TrainingProgressLogger;
use burn_train::metric::{
    MetricAttributes, MetricDefinition, MetricEntry, MetricId, NumericAttributes, NumericEntry,
    SerializedEntry,
};
use burn_train::renderer::tui::TuiMetricsRendererWrapper;
use burn_train::renderer::{MetricState, MetricsRenderer, MetricsRendererTraining};

use crate::error::CliError;
use crate::terminal::Terminal;
use crate::{memory, output};

/// The names of what is shown; the third says whether more is better, and is there for numbers.
const METRICS: [(&str, &str, Option<bool>); 6] = [
    ("Loss", "Mean since the last report", Some(false)),
    ("Learning rate", "Of the last step", Some(true)),
    ("Samples/s", "Since the last report", Some(true)),
    ("CIDEr-D", "Of captions of other pictures, x100", Some(true)),
    ("Time left", "Of this stage, at this speed", None),
    ("Memory", "Most that the program has held", None),
];

/// What ought to be printed while the screen is taken; it is printed afterwards.
#[derive(Debug, Clone, Default)]
pub struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub fn add(&self, text: &str) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push(text.to_owned());
    }

    pub fn print(&self) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for text in notes.drain(..) {
            eprintln!("adem: {text}");
        }
    }
}

/// The interface. The terminal is as it was once this is dropped.
pub struct Dashboard {
    terminal: Terminal,
    interrupter: Interrupter,
    screen: Option<Screen>,
    /// Alive as long as this is.
    _alive: Arc<()>,
}

/// Whether there is a terminal to take.
///
/// # Errors
/// [`CliError::Usage`] without one.
pub fn check() -> Result<(), CliError> {
    match io::stdout().is_terminal() && io::stdin().is_terminal() {
        true => Ok(()),
        false => Err(CliError::Usage(
            "--tui wants a terminal for both input and output; leave it out for a line a report"
                .to_owned(),
        )),
    }
}

/// One stage's curves.
struct Screen {
    stage: &'static str,
    burn: TuiMetricsRendererWrapper,
}

impl Dashboard {
    /// Takes the terminal at the first thing told. `stop` becomes true when the user asks for it.
    pub fn new(stop: &Arc<AtomicBool>) -> Self {
        let (interrupter, alive) = (Interrupter::new(), Arc::new(()));
        watch(
            interrupter.clone(),
            Arc::clone(stop),
            Arc::downgrade(&alive),
        );
        Self {
            terminal: Terminal::now(),
            interrupter,
            screen: None,
            _alive: alive,
        }
    }

    /// How the terminal was, for whoever ends the program in haste.
    pub fn terminal(&self) -> Terminal {
        self.terminal.clone()
    }

    pub fn tell(&mut self, told: Told<'_>) {
        let (stage, step, steps) = match told {
            Told::Report(r) => (r.stage, r.step, r.steps),
            Told::Look(l) => (l.stage, l.step, l.steps),
        };
        let screen = match self.screen.take() {
            Some(screen) if screen.stage == stage => screen,
            before => {
                // One at a time: it gives the terminal back before the next one takes it.
                drop(before);
                let screen = Screen::open(stage, step, steps, self.interrupter.clone());
                self.terminal.keep_signals();
                screen
            }
        };
        let screen = self.screen.insert(screen);
        match told {
            Told::Report(report) => screen.report(report),
            Told::Look(look) => screen.look(look),
        }
    }
}

/// Hands a wish to stop on: Burn's interface keeps it in a place of its own.
fn watch(interrupter: Interrupter, stop: Arc<AtomicBool>, alive: Weak<()>) {
    thread::spawn(move || {
        while alive.strong_count() > 0 {
            if interrupter.should_stop() {
                stop.store(true, Ordering::Relaxed);
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    });
}

fn id(name: &str) -> MetricId {
    MetricId::new(Arc::new(name.to_owned()))
}

fn entry(name: &str, shown: String) -> MetricEntry {
    MetricEntry::new(id(name), SerializedEntry::new(shown.clone(), shown))
}

fn number(name: &str, shown: String, value: f64) -> MetricState {
    MetricState::Numeric(entry(name, shown), Some(NumericEntry::Value(value)))
}

impl Screen {
    fn open(stage: &'static str, step: u64, steps: u64, interrupter: Interrupter) -> Self {
        let mut burn = TuiMetricsRendererWrapper::new(interrupter, None);
        for (name, description, higher_is_better) in METRICS {
            burn.register_metric(MetricDefinition {
                metric_id: id(name),
                name: Arc::new(name.to_owned()),
                description: Some(description.to_owned()),
                attributes: match higher_is_better {
                    None => MetricAttributes::None,
                    Some(higher_is_better) => NumericAttributes {
                        unit: None,
                        higher_is_better,
                    }
                    .into(),
                },
            });
        }
        let items = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        // Burn counts in epochs; a stage is one.
        burn.start(1, 1, Some(items(steps)), Some(stage));
        burn.start_split("train", items(steps));
        burn.update_split(items(step));
        Self { stage, burn }
    }

    fn report(&mut self, r: &Report) {
        let burn = &mut self.burn;
        let loss = f64::from(r.loss);
        burn.update_train(number("Loss", format!("{loss:.4}"), loss));
        burn.update_train(number("Learning rate", format!("{:.2e}", r.lr), r.lr));
        let speed = r.samples_per_second;
        burn.update_train(number("Samples/s", format!("{speed:.1}"), speed));
        let left = output::duration(r.seconds_left);
        burn.update_train(MetricState::Generic(entry("Time left", left)));
        if let Some(bytes) = memory::peak_bytes() {
            let shown = output::size(bytes);
            burn.update_train(MetricState::Generic(entry("Memory", shown)));
        }
        burn.update_split(usize::try_from(r.step).unwrap_or(usize::MAX));
    }

    fn look(&mut self, look: &Look) {
        let found = look.validation;
        let loss = number("Loss", format!("{:.4}", found.loss), found.loss);
        self.burn.update_valid(loss);
        if let Some(cider) = found.cider {
            let cider = 100.0 * cider;
            let shown = number("CIDEr-D", format!("{cider:.1}"), cider);
            self.burn.update_valid(shown);
        }
    }
}
