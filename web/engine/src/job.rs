//! One job: a picture and what to do with it.

use crate::{inbox::Inbox, line::tell, pause::Pause};
use adem_pipeline::{Captioner, Event, PipelineError, Request, Sampling, Task as PipelineTask};
use adem_protocol::{Task, Tell, Timings};
use wasm_bindgen::JsCast;

/// Does the job and tells the page as it goes, unless it was stopped.
pub(crate) async fn run(
    inbox: &Inbox,
    captioner: &Captioner,
    job: u64,
    task: Task,
    picture: Option<Vec<u8>>,
) {
    let request = Request {
        picture,
        task: match task {
            Task::Caption => PipelineTask::Caption,
            Task::Question(question) => PipelineTask::Question(question),
        },
        sampling: Sampling::default(),
        max_new_tokens: None,
    };
    if let Err(error) = write(inbox, captioner, job, request).await {
        tell(&Tell::Failed {
            job,
            message: error.to_string(),
        });
    }
    inbox.finish(job);
}

async fn write(
    inbox: &Inbox,
    captioner: &Captioner,
    job: u64,
    request: Request,
) -> Result<(), PipelineError> {
    let pause = Pause::new();
    let mut session = captioner.start(request)?;
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
                tell(&Tell::Token { job, text });
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
