//! The messages.

use crate::{Loading, Origin, StoredModel};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt;

/// The two engines the page can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// WebAssembly with SIMD, one thread.
    Cpu,
    /// WebGPU.
    Gpu,
}

impl EngineKind {
    /// The word for this engine in the address (`?engine=`) and in the page's `data-kind`.
    pub fn word(self) -> &'static str {
        match self {
            EngineKind::Cpu => "cpu",
            EngineKind::Gpu => "gpu",
        }
    }

    /// The other engine.
    pub fn other(self) -> Self {
        match self {
            EngineKind::Cpu => EngineKind::Gpu,
            EngineKind::Gpu => EngineKind::Cpu,
        }
    }

    /// The engine named by `word`, if there is one.
    pub fn from_word(word: &str) -> Option<Self> {
        [EngineKind::Cpu, EngineKind::Gpu]
            .into_iter()
            .find(|kind| kind.word() == word)
    }

    /// Address of the worker's script, relative to the page.
    pub fn script(self) -> &'static str {
        match self {
            EngineKind::Cpu => "worker.js?engine=cpu",
            EngineKind::Gpu => "worker.js?engine=gpu",
        }
    }
}

/// What the model is to do with a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Describe it.
    Caption,
    /// Answer this question about it.
    Question(String),
}

/// The numbers of the fusion that a reader can turn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fusion {
    /// Weight of what the picture adds to the text.
    pub alpha: f64,
    /// Scale of the visual features.
    pub beta: f64,
    /// Share of the visual tokens that the adaptive masking drops.
    pub gamma: f64,
}

/// Page to engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Find a model package and make it ready, in place of the one before.
    Load {
        /// Where it is.
        origin: Origin,
    },
    /// Say which models are kept on this device.
    Models,
    /// Delete a kept model.
    Forget {
        /// Its [`StoredModel::id`].
        id: String,
    },
    /// Run `task` on the picture that travels with this message. Jobs run in the order asked.
    Describe {
        /// The page's number for this job; every answer repeats it.
        job: u64,
        /// What to do.
        task: Task,
        /// The fusion to do it with; `None` for the trained one.
        fusion: Option<Fusion>,
        /// Whether to tell with each token which patches it looked at.
        trace: bool,
    },
    /// Run the device's kernels on the cases of seeds from 0 to below `seeds` and say which are wrong.
    Examine {
        /// How many seeds.
        seeds: u64,
    },
    /// End this job, running or waiting, after the token it is at.
    Stop {
        /// The job's number.
        job: u64,
    },
}

/// What the page says about the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Name from the package's manifest.
    pub name: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Bytes of the package's weights.
    pub bytes: u64,
    /// Decoder blocks.
    pub layers: usize,
    /// Visual tokens of each scale, square numbers.
    pub scales: Vec<usize>,
    /// The fusion it was trained with.
    pub fusion: Fusion,
    /// Whether it answers questions.
    #[serde(default)]
    pub questions: bool,
    /// What the package says of its origin: field and text.
    pub provenance: Vec<(String, String)>,
    /// The first digits of the manifest's SHA-256: which build of the model this is.
    pub id: String,
    /// What the self-test of the device's kernels found.
    #[serde(default)]
    pub kernels: Kernels,
}

/// What an engine's self-test of its kernels found; nothing on engines without any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernels {
    /// Forms of kernels that were compared with what they should compute.
    pub checked: usize,
    /// Those that disagreed and are switched off, each with what was wrong.
    pub switched_off: Vec<String>,
}

/// Where the time of one job went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Decoding, resizing and normalising the picture.
    pub picture_ms: f64,
    /// Vision encoder and visual prompt.
    pub vision_ms: f64,
    /// The prompt, up to the first token.
    pub prefill_ms: f64,
    /// All steps after the first.
    pub decode_ms: f64,
    /// How many steps `decode_ms` covers.
    pub decode_steps: usize,
    /// Bytes of WebAssembly memory the engine holds.
    pub memory_bytes: u64,
}

impl Timings {
    /// Steps after the first, per second; `None` where there was none.
    pub fn tokens_per_second(&self) -> Option<f64> {
        let timed = self.decode_steps > 0 && self.decode_ms > 0.0;
        timed.then(|| self.decode_steps as f64 * 1000.0 / self.decode_ms)
    }
}

/// Engine to page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tell {
    /// The worker runs and listens; what is asked before this may be lost.
    Ready,
    /// Progress of [`Ask::Load`].
    Loading(Loading),
    /// Everything has arrived and the model can be asked.
    Loaded {
        /// What was loaded.
        model: ModelInfo,
        /// Milliseconds from [`Ask::Load`] to here.
        load_ms: f64,
        /// Why the model is not kept for the next visit; `None` where it is.
        unkept: Option<String>,
    },
    /// The package asked for is refused; the model before it goes on where there was one.
    NotLoaded {
        /// What happened and what to do, in words.
        message: String,
        /// Whether the engine still has a model.
        usable: bool,
    },
    /// The models on this device, and what the browser grants.
    Models {
        /// All of them, unfinished ones too.
        models: Vec<StoredModel>,
        /// Why none can be kept, where that is so.
        problem: Option<String>,
    },
    /// What [`Ask::Examine`] has found.
    Examined {
        /// Runs of one form of a kernel on one case; none on engines without kernels.
        cases: usize,
        /// Those that were wrong, each with its seed and what was wrong.
        disagreements: Vec<String>,
    },
    /// The engine cannot run, or the model cannot be loaded; nothing can be asked of it.
    Unusable {
        /// What happened and what to do, in words.
        message: String,
    },
    /// The picture has been seen; the text begins.
    Started {
        /// The job's number.
        job: u64,
    },
    /// More text of a job. Where it is traced, the scores `[layers, visual tokens]` (f32, little
    /// endian, NaN for what was dropped) travel along.
    Token {
        /// The job's number.
        job: u64,
        /// What to append.
        text: String,
    },
    /// A job has ended.
    Done {
        /// The job's number.
        job: u64,
        /// The whole text.
        text: String,
        /// Number of tokens generated.
        tokens: usize,
        /// Where the time went.
        timings: Timings,
        /// Whether [`Ask::Stop`] ended it.
        stopped: bool,
    },
    /// A job could not be done; the engine goes on with the next.
    Failed {
        /// The job's number.
        job: u64,
        /// What happened and what to do, in words.
        message: String,
    },
}

/// Text that is no message of this protocol.
#[derive(Debug)]
pub struct Malformed(serde_json::Error);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a message between page and engine is malformed ({}): reload the page, they may be of different builds",
            self.0
        )
    }
}

impl std::error::Error for Malformed {}

/// The text of a message.
///
/// # Errors
/// None for the types of this module; the signature follows the serializer's.
pub fn encode<M: Serialize>(message: &M) -> Result<String, Malformed> {
    serde_json::to_string(message).map_err(Malformed)
}

/// The message in `text`.
///
/// # Errors
/// [`Malformed`] where `text` is not one, as happens when page and engine are of different builds.
pub fn decode<M: DeserializeOwned>(text: &str) -> Result<M, Malformed> {
    serde_json::from_str(text).map_err(Malformed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn messages_survive_the_journey() {
        let asks = [
            Ask::Load {
                origin: Origin::Address("http://localhost/package/".into()),
            },
            Ask::Describe {
                job: u64::MAX,
                task: Task::Question("how many \"circles\"?\n".into()),
                fusion: Some(Fusion {
                    alpha: 0.1,
                    beta: 0.01,
                    gamma: 0.7,
                }),
                trace: true,
            },
            Ask::Stop { job: 0 },
            Ask::Examine { seeds: 3 },
        ];
        for ask in asks {
            assert_eq!(decode::<Ask>(&encode(&ask).unwrap()).unwrap(), ask);
        }
        let done = Tell::Done {
            job: 7,
            text: "een rode cirkel, \u{1F534}".into(),
            tokens: 3,
            timings: Timings {
                decode_ms: 12.5,
                ..Timings::default()
            },
            stopped: false,
        };
        assert_eq!(decode::<Tell>(&encode(&done).unwrap()).unwrap(), done);
    }

    #[test]
    fn another_builds_message_is_refused_in_words() {
        let refusal = decode::<Tell>(r#"{"sing":{"job":1}}"#).unwrap_err();
        assert!(refusal.to_string().contains("reload the page"));
    }

    #[test]
    fn the_rate_counts_only_the_steps_that_were_timed() {
        let timings = Timings {
            decode_ms: 500.0,
            decode_steps: 10,
            ..Timings::default()
        };
        assert_eq!(timings.tokens_per_second(), Some(20.0));
        assert_eq!(Timings::default().tokens_per_second(), None);
    }

    #[test]
    fn every_engine_has_a_word() {
        for kind in [EngineKind::Cpu, EngineKind::Gpu] {
            assert_eq!(EngineKind::from_word(kind.word()), Some(kind));
        }
        assert_eq!(EngineKind::from_word("tpu"), None);
    }
}
