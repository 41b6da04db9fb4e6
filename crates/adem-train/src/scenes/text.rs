//! Tokeniser and prompts of the recipe, and rows of token ids.

use adem_data::prompt::PromptTemplates;
use adem_data::scenes::{Qa, Scene};
use adem_data::tokenizer::{BpeTraining, Tokenizer, train_bpe};
use adem_model::{Prefix, TrainRow};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::draw::{Use, scene};
use crate::error::TrainError;

/// Scenes whose texts the tokeniser is trained on.
const TOKENIZER_SCENES: u64 = 4000;

/// Prompts of the scenes model.
pub(crate) fn prompts() -> PromptTemplates {
    PromptTemplates {
        caption: "Caption:".to_owned(),
        question: "Question: {question} Answer:".to_owned(),
        ..PromptTemplates::default()
    }
}

/// Trains the tokeniser on the texts of drawn scenes; returns its `tokenizer.json`.
pub(crate) fn train_tokenizer(seed: u64, vocab_size: usize) -> Result<Vec<u8>, TrainError> {
    let p = prompts();
    let mut texts = Vec::new();
    for index in 0..TOKENIZER_SCENES {
        let scene = scene(seed, Use::Read, index);
        texts.extend(
            scene
                .captions()
                .into_iter()
                .map(|c| format!("{} {c}", p.caption)),
        );
        for qa in scene.questions() {
            texts.push(format!(
                "{} {}",
                p.question.replace("{question}", &qa.question),
                qa.answer
            ));
        }
        texts.push(scene.facts());
        texts.push(p.image_prefix.clone());
        texts.push(p.no_image_prefix.clone());
    }
    let settings = BpeTraining {
        vocab_size,
        lowercase: true,
        ..BpeTraining::default()
    };
    Ok(train_bpe(texts, &settings)?)
}

/// Tokeniser and prompts together.
#[derive(Debug)]
pub(crate) struct Texts {
    pub tokenizer: Tokenizer,
    pub prompts: PromptTemplates,
    pub prefix: Prefix,
}

impl Texts {
    pub(crate) fn new(tokenizer_json: &[u8]) -> Result<Self, TrainError> {
        let tokenizer = Tokenizer::from_bytes(tokenizer_json)?;
        let prompts = prompts();
        let prefix = Prefix {
            with_picture: prompts.prefix_ids(&tokenizer, true),
            without_picture: prompts.prefix_ids(&tokenizer, false),
        };
        Ok(Self {
            tokenizer,
            prompts,
            prefix,
        })
    }

    /// Prompt and answer as a row: `BOS prompt answer EOS`, only the answer learned.
    pub(crate) fn row(&self, prompt: &str, answer: &str) -> TrainRow {
        let special = self.tokenizer.special();
        let asked = self.tokenizer.encode_with_bos(prompt).len();
        let mut ids = self
            .tokenizer
            .encode_with_bos(&format!("{prompt} {answer}"));
        ids.push(special.eos);
        let labels = (0..)
            .zip(&ids)
            .map(|(i, id)| (i >= asked).then_some(*id))
            .collect();
        TrainRow {
            ids,
            labels,
            picture: true,
        }
    }

    /// Caption row of a scene; mostly its main caption.
    pub(crate) fn caption_row(&self, scene: &Scene, rng: &mut ChaCha8Rng) -> TrainRow {
        self.row(&self.prompts.caption, &pick_caption(scene, rng))
    }

    /// Rows of `count` different questions about a scene.
    pub(crate) fn question_rows(
        &self,
        scene: &Scene,
        count: usize,
        rng: &mut ChaCha8Rng,
    ) -> Vec<TrainRow> {
        let asked = scene.questions();
        let first = rng.random_range(0..asked.len().max(1));
        (0..count)
            .filter_map(|i| asked.get((first + i) % asked.len().max(1)))
            .map(|qa| self.question_row(qa))
            .collect()
    }

    /// Row of one question and its answer.
    pub(crate) fn question_row(&self, qa: &Qa) -> TrainRow {
        let prompt = self.prompts.question.replace("{question}", &qa.question);
        self.row(&prompt, &qa.answer)
    }
}

/// Share of caption rows that teach the main caption, so that it is what a greedy decoder says.
const MAIN_CAPTION: f64 = 0.8;

fn pick_caption(scene: &Scene, rng: &mut ChaCha8Rng) -> String {
    let mut captions = scene.captions();
    let index = match rng.random::<f64>() < MAIN_CAPTION || captions.len() < 2 {
        true => 0,
        false => rng.random_range(1..captions.len()),
    };
    captions.swap_remove(index)
}
