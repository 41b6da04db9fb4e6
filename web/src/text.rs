//! Every word the page says, in one place, ready to be translated.

mod diagnostics;
mod models;
mod sight;

pub use diagnostics::*;
pub use models::*;
pub use sight::*;

use crate::output::Model;
use adem_protocol::{Choice, EngineKind, ModelInfo, Reason, Timings};

pub const NAME: &str = "ADEM-VL";
pub const TAGLINE: &str = "A small model looks at your pictures and tells you what it sees.";
pub const DESCRIBES: &str = "What the model describes";
pub const PHOTOS: &str = "Photographs";
pub const PHOTOS_NOTE: &str = "Learned from six thousand photographs of people, dogs and the outdoors. It is often wrong, and more often still about anything else.";
pub const PHOTOS_Q8: &str = "Photographs, 8 bits";
pub const PHOTOS_Q8_NOTE: &str = "The same model with eight bits a weight instead of four: twice the download, closer to the trained weights; its captions are no better.";
pub const SCENES: &str = "Drawn scenes";
pub const SCENES_NOTE: &str =
    "Knows coloured shapes and answers questions about them. It sees shapes in everything.";
pub const NO_QUESTIONS: &str =
    "This model describes pictures. To ask questions, choose Drawn scenes.";
pub const NO_WINDOW: &str = "The page has no window.";

pub const DROP_TITLE: &str = "Drop pictures here";
pub const DROP_HINT: &str = "or paste them, or click to choose files";
pub const DROP_NOW: &str = "Drop to add";
pub const CHOOSE: &str = "Choose pictures";
pub const CHOOSE_ANOTHER: &str = "Choose more pictures";
pub const CAMERA: &str = "Camera";
pub const CAMERA_VIEW: &str = "What the camera sees";
pub const CAMERA_SHOOT: &str = "Take a picture";
pub const CAMERA_LIVE: &str = "Describe live";
pub const CAMERA_LIVE_END: &str = "Stop describing";
pub const CAMERA_CLOSE: &str = "Turn the camera off";
pub const CAMERA_PICTURE: &str = "camera.png";
pub const CAMERA_GONE: &str = "it was disconnected";
pub const CAMERA_DARK: &str = "it shows nothing yet; wait a moment";
pub const INSECURE: &str = "the page has to come over HTTPS for that";
pub const GALLERY: &str = "Your pictures";
pub const REMOVE: &str = "Remove";
pub const COPY: &str = "Copy";
pub const COPIED: &str = "Copied.";
pub const NOT_COPIED: &str = "The browser did not allow that. Select the text and copy it.";
pub const SAVE_JSON: &str = "JSON";
pub const SAVE_CSV: &str = "CSV";
pub const SAVE_LABEL: &str = "Save all captions";
pub const DESCRIBE_AGAIN: &str = "Describe again";
pub const SAMPLES: &str = "Or try one of these";
pub const NO_PREVIEW: &str = "Your browser cannot show this file.";

pub const CAPTION: &str = "What it sees";
pub const CAPTION_EMPTY: &str = "The caption will appear here.";
pub const ASK: &str = "Ask about the picture";
pub const ASK_BUTTON: &str = "Ask";
pub const ASK_EXAMPLE: &str = "what colour is the background?";
pub const ASK_PICTURE_FIRST: &str = "Choose a picture first, then ask about it.";
pub const STOP: &str = "Stop";
pub const AGAIN: &str = "Try again";

pub const WAITING: &str = "The model is still loading. Your picture is next.";
pub const QUEUED: &str = "Waiting for its turn.";
pub const FAILED: &str = "Could not be described.";
pub const HISTORY: &str = "Asked before";
pub const NO_MODEL: &str = "There is no model to ask.";
pub const UPDATE: &str = "A newer version of this page is ready.";
pub const UPDATE_NOW: &str = "Use it now";
pub const LOOKING: &str = "Looking at the picture…";
pub const STOPPED: &str = "Stopped.";

pub const NO_ENGINE: &str = "its program could not be loaded; reload the page";
pub const STARTING: &str = "Starting the engine…";
pub const LOADING_LABEL: &str = "Loading the model";
pub const READY: &str = "The model is ready.";
pub const CHOOSING: &str = "Looking for a graphics adapter…";
pub const PRIVATE: &str = "Everything runs on this device. Your pictures never leave it.";

pub const TIME_LOAD: &str = "Model";
pub const TIME_VISION: &str = "Picture";
pub const SEEN_BEFORE: &str = "seen before";
pub const TIME_PREFILL: &str = "Prompt";
pub const TIME_RATE: &str = "Tokens per second";
pub const TIME_MEMORY: &str = "Memory";

/// The engine's name on its badge.
pub fn engine(choice: &Choice) -> String {
    match (choice.kind, &choice.adapter) {
        (EngineKind::Cpu, _) => "CPU (WebAssembly)".into(),
        (EngineKind::Gpu, Some(adapter)) if !adapter.name.is_empty() => {
            format!("WebGPU · {}", adapter.name)
        }
        (EngineKind::Gpu, _) => "WebGPU".into(),
    }
}

/// Why a picture waits.
pub fn waiting(model: &Model) -> &'static str {
    match model {
        Model::Ready { .. } => QUEUED,
        Model::Unusable(_) => NO_MODEL,
        _ => WAITING,
    }
}

/// The model in use is another one by now.
pub fn by_another(name: &str) -> String {
    format!("Written by {name}. \u{201c}{DESCRIBE_AGAIN}\u{201d} asks the model now in use.")
}

/// Offers another engine.
pub fn switch_to(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Cpu => "Use the CPU instead",
        EngineKind::Gpu => "Use WebGPU instead",
    }
}

/// Why this engine runs.
pub fn reason(choice: &Choice) -> String {
    let adapter = choice
        .adapter
        .as_ref()
        .map(|adapter| adapter.name.as_str())
        .filter(|name| !name.is_empty())
        .unwrap_or("the adapter");
    match &choice.reason {
        Reason::Chosen => "Because you chose it.".into(),
        Reason::Forced => "Because the address asks for it.".into(),
        Reason::Trial => {
            format!("Because it is ready at once. {adapter} is being tried as well.")
        }
        Reason::Measured(measured) => {
            let (cpu, gpu) = (measured.cpu_ms, measured.gpu_ms);
            format!("Because it is the faster one here: CPU {cpu} ms a caption, WebGPU {gpu} ms.")
        }
        Reason::NoWebGpu => "Because this browser has no WebGPU.".into(),
        Reason::NoAdapter => "Because WebGPU finds no graphics adapter here.".into(),
        Reason::SoftwareAdapter => format!(
            "Because {adapter} only imitates a graphics adapter, which is slower than the CPU."
        ),
        Reason::GpuFailed(message) => {
            format!("Because the WebGPU engine did not work here: {message}")
        }
    }
}

/// The model that is loaded.
pub fn model(model: &ModelInfo) -> String {
    let parameters = model.parameters as f64 / 1e6;
    let bytes = megabytes(model.bytes);
    format!("{} · {parameters:.1} M parameters · {bytes}", model.name)
}

/// Why nothing can be asked.
pub fn unusable(message: &str) -> String {
    format!("The model cannot be used: {message}")
}

/// What the preview says to those who do not see it.
pub fn preview(name: &str, caption: &str) -> String {
    if caption.is_empty() {
        format!("Your picture, {name}")
    } else {
        format!("Your picture, {name}: {caption}")
    }
}

/// What is wrong with a picture.
pub fn problem(name: &str, message: &str) -> String {
    format!("{name}: {message}")
}

/// A file over the limit.
pub fn too_large(bytes: f64, limit: f64) -> String {
    format!(
        "it is {:.0} MB; a picture of at most {:.0} MB can be read. Save a smaller copy of it.",
        bytes / 1e6,
        limit / 1e6
    )
}

/// A file that the browser cannot read.
pub fn unreadable(why: &str) -> String {
    format!("it cannot be read ({why}). Was it moved? Choose it again.")
}

/// No camera.
pub fn no_camera(why: &str) -> String {
    format!("The camera cannot be used: {why}.")
}

/// The engine was lost and is back.
pub fn restarted(why: &str) -> String {
    format!("The engine stopped and was started again: {why}")
}

/// A sample that is not where it should be.
pub fn not_fetched(address: &str, status: u16) -> String {
    format!("{address} is not there (the server says {status}). Reload the page.")
}

/// Milliseconds, for reading.
pub fn duration(ms: f64) -> String {
    if ms < 1000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1000.0)
    }
}

/// Label and value of each time that is known.
pub fn timings(load_ms: Option<f64>, done: Option<Timings>) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(load_ms) = load_ms {
        rows.push((TIME_LOAD, duration(load_ms)));
    }
    if let Some(timings) = done {
        // A picture that is asked about again is not looked at again.
        let seen_ms = timings.picture_ms + timings.vision_ms;
        let seen = if seen_ms > 0.0 {
            duration(seen_ms)
        } else {
            SEEN_BEFORE.into()
        };
        rows.push((TIME_VISION, seen));
        rows.push((TIME_PREFILL, duration(timings.prefill_ms)));
        if let Some(rate) = timings.tokens_per_second() {
            let digits = if rate < 10.0 { 1 } else { 0 };
            rows.push((TIME_RATE, format!("{rate:.digits$}")));
        }
        rows.push((TIME_MEMORY, megabytes(timings.memory_bytes)));
    }
    rows
}

/// Bytes, for reading.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
