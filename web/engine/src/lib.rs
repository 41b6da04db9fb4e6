//! An inference engine in a dedicated worker: a thin shell over `adem-pipeline`.
//!
//! The two programs of this crate differ in the device alone. Each hears an `Ask`, answers with
//! `Tell`s (see `adem-protocol`), and does one job after another. Nothing here draws or decides.

mod files;
mod fill;
mod inbox;
mod job;
mod line;
mod load;
mod opfs;
mod pause;
mod store;

use adem_pipeline::{Captioner, Stopwatch};
use adem_protocol::{Ask, Fusion, Kernels, ModelInfo, Origin, Tell};
use burn::tensor::Device;
use inbox::Inbox;
use job::Job;
use std::{future::Future, rc::Rc};
use store::Store;
use web_sys::File;

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
        let (ask, parcel) = inbox.next().await;
        match ask {
            Ask::Load { origin } => load(origin, parcel.files, &device, &mut captioner).await,
            Ask::Describe {
                job,
                task,
                fusion,
                trace,
            } => match &mut captioner {
                Some(captioner) => {
                    let job = Job {
                        number: job,
                        task,
                        fusion,
                        trace,
                        picture: parcel.picture,
                    };
                    job::run(inbox, captioner, job).await;
                }
                None => line::tell(&Tell::Failed {
                    job,
                    message: "no model has been loaded; choose one".into(),
                }),
            },
            Ask::Models => line::tell(&models(None).await),
            Ask::Examine { seeds } => {
                let found = adem_kernels::examine(&device, 0..seeds).await;
                line::tell(&Tell::Examined {
                    cases: found.cases,
                    disagreements: found
                        .disagreements
                        .iter()
                        .map(ToString::to_string)
                        .collect(),
                });
            }
            Ask::Forget { id } => line::tell(&models(Some(id)).await),
            // Noted when it arrived.
            Ask::Stop { .. } => {}
        }
    }
}

async fn load(
    origin: Origin,
    files: Vec<File>,
    device: &Device,
    captioner: &mut Option<Captioner>,
) {
    let clock = Stopwatch::start();
    match load::load(origin, files, device, captioner).await {
        Ok(loaded) => {
            line::tell(&Tell::Loaded {
                model: info(&loaded.captioner, loaded.id),
                load_ms: clock.ms(),
                unkept: loaded.unkept,
            });
            *captioner = Some(loaded.captioner);
        }
        Err(message) => line::tell(&Tell::NotLoaded {
            message,
            usable: captioner.is_some(),
        }),
    }
}

/// The models on this device, after `forgotten` was deleted.
async fn models(forgotten: Option<String>) -> Tell {
    let list = async {
        let store = Store::open().await?;
        if let Some(id) = forgotten {
            store.forget(&id).await?;
        }
        store.list().await
    };
    match list.await {
        Ok(models) => Tell::Models {
            models,
            problem: None,
        },
        Err(refusal) => Tell::Models {
            models: Vec::new(),
            problem: Some(load::words(&refusal)),
        },
    }
}

fn info(captioner: &Captioner, id: String) -> ModelInfo {
    let (manifest, fusion) = (captioner.manifest(), captioner.fusion());
    let origin = &manifest.provenance;
    let fixed = [
        ("created", &origin.created),
        ("training", &origin.training),
        ("data", &origin.data),
        ("licence", &origin.licence),
    ];
    let more = origin.more.iter().map(|(name, text)| (name.as_str(), text));
    ModelInfo {
        name: manifest.name.clone(),
        parameters: captioner.parameters() as u64,
        bytes: manifest.weight_bytes(),
        layers: captioner.config().llama.n_layers,
        scales: fusion.down_sample.clone(),
        fusion: Fusion {
            alpha: fusion.alpha,
            beta: fusion.beta,
            gamma: fusion.drop_ratio,
        },
        questions: manifest.tasks.contains(&adem_package::Task::Question),
        provenance: fixed
            .into_iter()
            .chain(more)
            .filter(|(_, text)| !text.is_empty())
            .map(|(name, text)| (name.to_owned(), text.clone()))
            .collect(),
        kernels: Kernels {
            checked: captioner.kernels().checked,
            switched_off: captioner
                .kernels()
                .switched_off
                .iter()
                .map(ToString::to_string)
                .collect(),
        },
        id,
    }
}
