//! One job: a picture and what to do with it.

use crate::{
    inbox::Inbox,
    line::{tell, tell_with},
    pause::Pause,
};
use adem_pipeline::{
    Captioner, Event, FusionChange, PipelineError, Request, Sampling, Task as PipelineTask,
};
use adem_protocol::{Fusion, Task, Tell, Timings};
use wasm_bindgen::JsCast;

/// What is asked of the model.
pub(crate) struct Job {
    /// The page's number for it.
    pub number: u64,
    pub task: Task,
    pub fusion: Option<Fusion>,
    pub trace: bool,
    pub picture: Option<Vec<u8>>,
}

/// Does the job and tells the page as it goes, unless it was stopped.
pub(crate) async fn run(inbox: &Inbox, captioner: &mut Captioner, job: Job) {
    let number = job.number;
    if let Err(error) = write(inbox, captioner, job).await {
        tell(&Tell::Failed {
            job: number,
            message: error.to_string(),
        });
    }
    inbox.finish(number);
}

/// Gives the model the fusion that is asked for, or back the one it was trained with.
fn adjust(captioner: &mut Captioner, fusion: Option<Fusion>) -> Result<(), PipelineError> {
    let change = fusion.map_or_else(FusionChange::default, |fusion| FusionChange {
        alpha: Some(fusion.alpha),
        beta: Some(fusion.beta),
        gamma: Some(fusion.gamma),
        ..FusionChange::default()
    });
    captioner.set_fusion(&change)
}

async fn write(inbox: &Inbox, captioner: &mut Captioner, job: Job) -> Result<(), PipelineError> {
    adjust(captioner, job.fusion)?;
    let request = Request {
        picture: job.picture,
        task: match job.task {
            Task::Caption => PipelineTask::Caption,
            Task::Question(question) => PipelineTask::Question(question),
        },
        sampling: Sampling::default(),
        max_new_tokens: None,
    };
    let (job, trace) = (job.number, job.trace);
    let pause = Pause::new();
    let mut session = captioner.start(request)?;
    if trace {
        session = session.traced();
    }
    let (mut written, mut tokens) = (String::new(), 0);
    loop {
        // Lets a Stop in that arrived during the last step.
        pause.once().await;
        if inbox.is_stopped(job) {
            tell(&Tell::Done {
                job,
                text: written,
                tokens,
                timings: Timings::default(),
                stopped: true,
            });
            return Ok(());
        }
        match session.next().await? {
            Some(Event::Seen { .. }) => tell(&Tell::Started { job }),
            Some(Event::Token { text, .. }) => {
                written.push_str(&text);
                tokens += 1;
                match session.sight() {
                    Some(sight) => tell_with(&Tell::Token { job, text }, &sight.scores),
                    None => tell(&Tell::Token { job, text }),
                }
            }
            Some(Event::Done(outcome)) => {
                let timings = outcome.timings;
                tell(&Tell::Done {
                    job,
                    text: outcome.text,
                    tokens: outcome.tokens,
                    timings: Timings {
                        picture_ms: timings.picture_ms,
                        vision_ms: timings.vision_ms,
                        prefill_ms: timings.prefill_ms,
                        decode_ms: timings.decode_ms,
                        decode_steps: timings.decode_steps,
                        memory_bytes: memory_bytes(),
                    },
                    stopped: false,
                });
                return Ok(());
            }
            None => return Ok(()),
        }
    }
}

/// Bytes of this engine's WebAssembly memory; it never shrinks, so this is the peak.
fn memory_bytes() -> u64 {
    let memory: js_sys::WebAssembly::Memory = wasm_bindgen::memory().unchecked_into();
    let buffer: js_sys::ArrayBuffer = memory.buffer().unchecked_into();
    u64::from(buffer.byte_length())
}
