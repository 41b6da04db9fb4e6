//! Tokeniser, prompts and the texts of a data set.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adem_data::datasets::{
    BadRows, CaptionStyle, Captions, DataSource, DatasetConfig, Encoder, Mark, Order, Part, Prompt,
    Sample,
};
use adem_data::prompt::PromptTemplates;
use adem_data::rows::{IGNORE, Row, RowLayout, Truncation};
use adem_data::tokenizer::{BpeTraining, Tokenizer, train_bpe};
use adem_model::{Prefix, TrainRow};

use super::config::TaskConfig;
use crate::checkpoint::write_atomically;
use crate::error::TrainError;

/// Most texts a decoder or tokeniser is pre-trained on.
const MOST_TEXTS: usize = 5_000_000;

/// A data set that is open, and where its bad rows go.
#[derive(Clone)]
pub(crate) struct Opened {
    pub source: Arc<dyn DataSource>,
    pub bad: Arc<BadRows>,
    pub config: DatasetConfig,
}

impl Opened {
    /// Opens a data set; `report` hears of every row that is skipped.
    pub(crate) fn new(
        config: &DatasetConfig,
        report: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, TrainError> {
        let bad = BadRows::new(config.max_bad_rows, move |row| report(&row.to_string()));
        Ok(Self {
            source: config.open(Path::new(""), &bad)?,
            bad,
            config: config.clone(),
        })
    }

    /// The same data under another config; bad rows go where they went.
    pub(crate) fn with(&self, config: DatasetConfig) -> Result<Self, TrainError> {
        Ok(Self {
            source: config.open(Path::new(""), &self.bad)?,
            bad: Arc::clone(&self.bad),
            config,
        })
    }

    /// All captions, in the order of the files, as they are learned.
    pub(crate) fn captions(&self) -> Result<Vec<String>, TrainError> {
        let mut texts = Vec::new();
        self.each_captioned(|sample| {
            let style = &self.config.caption_style;
            texts.extend(sample.targets.iter().map(|t| styled(t, style)));
            texts.len() < MOST_TEXTS
        })?;
        texts.retain(|t| !t.is_empty());
        Ok(texts)
    }

    /// The captions of every picture by its name, as people wrote them.
    pub(crate) fn captions_by_picture(&self) -> Result<BTreeMap<String, Vec<String>>, TrainError> {
        let mut pictures = BTreeMap::new();
        self.each_captioned(|sample| {
            pictures.insert(sample.id, sample.targets);
            pictures.len() < MOST_TEXTS
        })?;
        Ok(pictures)
    }

    /// Shows every picture that is to be captioned with all its captions, in the order of the files,
    /// as long as `show` wants more.
    fn each_captioned(&self, mut show: impl FnMut(Sample) -> bool) -> Result<(), TrainError> {
        let all = self.with(DatasetConfig {
            captions: Captions::All,
            ..self.config.clone()
        })?;
        let order = Order {
            seed: 0,
            epoch: 0,
            shuffle: false,
            part: Part::WHOLE,
        };
        let mut records = all.source.records(&order, &Mark::default(), &self.bad)?;
        while let Some(sample) = records.next()? {
            if sample.prompt == Prompt::Caption && !show(sample) {
                break;
            }
        }
        Ok(())
    }
}

/// A caption as it is learned.
pub(crate) fn styled(caption: &str, style: &CaptionStyle) -> String {
    match style.clean {
        true => adem_data::tasks::caption::clean_caption(caption, style.max_words),
        false => caption.trim().to_owned(),
    }
}

/// The lines of text files.
pub(crate) fn lines(paths: &[PathBuf], style: &CaptionStyle) -> Result<Vec<String>, TrainError> {
    let mut texts = Vec::new();
    for path in paths {
        let text = fs::read_to_string(path).map_err(|e| TrainError::file(path, e))?;
        texts.extend(text.lines().map(|line| styled(line, style)));
    }
    texts.retain(|t| !t.is_empty());
    Ok(texts)
}

/// The tokeniser's file: the given one, the one this run has trained, or one trained now.
pub(crate) fn tokenizer_json(
    config: &TaskConfig,
    folder: Option<&Path>,
    texts: impl FnOnce() -> Result<Vec<String>, TrainError>,
) -> Result<Vec<u8>, TrainError> {
    if let Some(path) = &config.weights.tokenizer {
        return fs::read(path).map_err(|e| TrainError::file(path, e));
    }
    let kept = folder.map(|f| f.join("tokenizer.json"));
    if let Some(path) = kept.as_ref().filter(|p| p.is_file()) {
        return fs::read(path).map_err(|e| TrainError::file(path, e));
    }
    let p = &config.prompts;
    let words = [&p.image_prefix, &p.no_image_prefix, &p.caption, &p.question];
    let mut all = texts()?;
    all.extend(words.into_iter().cloned());
    let settings = BpeTraining {
        vocab_size: config.weights.train_tokenizer.unwrap_or(0),
        ..BpeTraining::default()
    };
    let bytes = train_bpe(all, &settings)?;
    if let Some(path) = kept {
        write_atomically(&path, &bytes)?;
    }
    Ok(bytes)
}

/// Tokeniser and prompts together.
#[derive(Debug)]
pub(crate) struct Language {
    pub tokenizer: Tokenizer,
    pub prompts: PromptTemplates,
    pub prefix: Prefix,
}

impl Language {
    pub(crate) fn new(json: &[u8], prompts: &PromptTemplates) -> Result<Self, TrainError> {
        let tokenizer = Tokenizer::from_bytes(json)?;
        let prefix = Prefix {
            with_picture: prompts.prefix_ids(&tokenizer, true),
            without_picture: prompts.prefix_ids(&tokenizer, false),
        };
        Ok(Self {
            tokenizer,
            prompts: prompts.clone(),
            prefix,
        })
    }

    /// Makes rows of at most `width` tokens, of which `visual` are the picture's.
    pub(crate) fn encoder(
        &self,
        width: usize,
        visual: usize,
        truncation: Truncation,
        captions: CaptionStyle,
    ) -> Encoder {
        let prefix = &self.prefix;
        let words = prefix.with_picture.len().max(prefix.without_picture.len());
        let special = self.tokenizer.special();
        Encoder {
            tokenizer: self.tokenizer.clone(),
            prompts: self.prompts.clone(),
            layout: RowLayout {
                width,
                reserve: match visual {
                    0 => 0,
                    _ if truncation == Truncation::Compat => 0,
                    n => words + n,
                },
                pad: special.pad.unwrap_or(special.eos),
                truncation,
            },
            captions,
        }
    }
}

/// A row as the model takes it.
pub(crate) fn train_row(row: &Row, picture: bool) -> TrainRow {
    let label = |l: &u32| (*l != IGNORE).then_some(*l);
    TrainRow {
        ids: row.ids.iter().take(row.len).copied().collect(),
        labels: row.labels.iter().take(row.len).map(label).collect(),
        picture,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the authors' rows end: at the width, without EOS, and nothing is left free.
    #[test]
    fn long_rows_end_as_the_authors_do_where_that_is_asked_for() {
        let texts = ["a b c d e f g h i j k l m n o p q r s t u v w x y z"];
        let json = train_bpe(texts, &BpeTraining::default()).unwrap_or_default();
        let prompts = PromptTemplates::default();
        let row = |truncation| {
            let language = Language::new(&json, &prompts).ok()?;
            let encoder = language.encoder(40, 1, truncation, CaptionStyle::default());
            let eos = encoder.tokenizer.special().eos;
            let letters = "x ".repeat(60);
            let row =
                adem_data::rows::training_row(&encoder.tokenizer, "a", &letters, &encoder.layout);
            let row = row.ok()?;
            Some((row.len, row.ids.contains(&eos)))
        };
        assert_eq!(row(Truncation::Compat), Some((40, false)));
        let kept = row(Truncation::KeepEos);
        assert!(
            kept.is_some_and(|(length, eos)| length < 40 && eos),
            "{kept:?}"
        );
    }
}
