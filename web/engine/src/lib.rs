//! An inference engine in a dedicated worker: a thin shell over `adem-pipeline`.
//!
//! The two programs of this crate differ in the device alone. Each hears an `Ask`, answers with
//! `Tell`s (see `adem-protocol`), and does one job after another. Nothing here draws or decides.

mod inbox;
mod job;
mod line;
mod pause;

use adem_package::Http;
use adem_pipeline::{Captioner, PipelineError, Progress, Stopwatch};
use adem_protocol::{Ask, Kernels, ModelInfo, Tell};
use burn::tensor::Device;
use inbox::Inbox;
use std::{future::Future, rc::Rc};

/// Opens the line to the page and serves it on the device that `device` gives, for as long as the
/// worker lives.
///
/// Without a line, as outside a worker, it does nothing.
pub fn run(device: impl Future<Output = Result<Device, String>> + 'static) {
    let inbox = Rc::new(Inbox::default());
    if line::open(Rc::clone(&inbox)) {
        wasm_bindgen_futures::spawn_local(async move {
            if let Err(message) = serve(&inbox, device).await {
                line::tell(&Tell::Unusable { message });
            }
        });
    }
}

/// Loads what the page asks for and does its jobs; ends only with an error.
async fn serve(
    inbox: &Inbox,
    device: impl Future<Output = Result<Device, String>>,
) -> Result<(), String> {
    let device = device.await?;
    line::tell(&Tell::Ready);
    let mut captioner = None;
    loop {
        let (ask, picture) = inbox.next().await;
        match ask {
            Ask::Load { package } => {
                // The old one's memory is free before the new one takes its own.
                drop(captioner.take());
                let loaded = load(&package, &device).await;
                captioner = Some(loaded.map_err(|error| error.to_string())?);
            }
            Ask::Describe { job, task } => match &captioner {
                Some(captioner) => job::run(inbox, captioner, job, task, picture).await,
                None => line::tell(&Tell::Failed {
                    job,
                    message: "no model has been loaded; reload the page".into(),
                }),
            },
            // Noted when it arrived.
            Ask::Stop { .. } => {}
        }
    }
}

async fn load(package: &str, device: &Device) -> Result<Captioner, PipelineError> {
    let clock = Stopwatch::start();
    let mut bytes = 0;
    let progress = |progress: Progress| {
        bytes = progress.total_bytes;
        line::tell(&Tell::Loading {
            loaded: progress.bytes,
            total: progress.total_bytes,
        });
    };
    let source = Http::new(package).map_err(adem_package::PackageError::from)?;
    let captioner = Captioner::load(source, progress, device).await?;
    let found = captioner.kernels().switched_off.iter();
    line::tell(&Tell::Loaded {
        model: ModelInfo {
            name: captioner.manifest().name.clone(),
            parameters: captioner.parameters() as u64,
            bytes,
            kernels: Kernels {
                checked: captioner.kernels().checked,
                switched_off: found.map(ToString::to_string).collect(),
            },
        },
        load_ms: clock.ms(),
    });
    Ok(captioner)
}
