//! Which source has which part of a model.

use std::collections::BTreeMap;

use adem_data::tokenizer::Tokenizer;

use super::{Compat, FusionNumbers, ImportOptions};
use crate::config::{AdemConfig, ModelConfig};
use crate::error::ImportError;
use crate::map::{Mapping, adapters};
use crate::report::{LeftOut, TensorReport};
use crate::resolve::{Resolved, resolve};
use crate::source::{Kind, Source};
use crate::tokenizer::read_tokenizer;

/// Which source has which part of the model.
pub(super) struct Parts<'a> {
    pub config: ModelConfig,
    pub llama: Option<&'a Source>,
    pub clip: Option<&'a Source>,
    pub adapters: Option<(&'a Source, Mapping)>,
    /// `tokenizer.json`.
    pub tokenizer: Vec<u8>,
    /// It is not the language model's own.
    pub other_tokenizer: bool,
}

impl<'a> Parts<'a> {
    pub fn of(sources: &'a [Source], options: &ImportOptions) -> Result<Self, ImportError> {
        let llama = only(sources, "language model", |it| it.llama.is_some())?;
        let clip = only(sources, "vision tower", |it| it.clip.is_some())?;
        let adapters = only(sources, "set of adapters", |it| it.adapters.is_some())?;
        let mut config = ModelConfig {
            llama: llama
                .and_then(|it| it.llama.as_ref())
                .map(|it| it.0.clone()),
            clip: clip.and_then(|it| it.clip.as_ref()).map(|it| it.0.clone()),
            ..ModelConfig::default()
        };
        if let (Some(llama), Some(context)) = (&mut config.llama, options.context) {
            llama.max_seq_len = context.clamp(1, crate::limits::LARGEST);
        }
        let adapters = match adapters.and_then(|it| Some((it, it.adapters.as_ref()?))) {
            None => None,
            Some((source, found)) => {
                let (Some(llama), Some(clip)) = (&config.llama, &config.clip) else {
                    return Err(ImportError::Sources(format!(
                        "`{}` holds adapters, which belong to a language model and a vision tower; name those too, or the package they are in",
                        source.path
                    )));
                };
                config.adem = found.config.clone();
                numbers(&mut config.adem, options.fusion)?;
                let mapping = adapters::mapping(&found.config, llama, clip, found.prefix);
                Some((source, mapping))
            }
        };
        let tokenizer = tokenizer(sources, llama, options)?;
        let parts = Self {
            config,
            llama,
            clip,
            adapters,
            tokenizer,
            other_tokenizer: sources.iter().any(|it| it.kind == Kind::Tokenizer),
        };
        parts.check_vocabulary()?;
        Ok(parts)
    }

    fn check_vocabulary(&self) -> Result<(), ImportError> {
        let Some(llama) = &self.config.llama else {
            return Ok(());
        };
        let tokens = self.read_tokenizer()?.vocab_size() as u64;
        // Vocabularies are often filled up; the ids beyond are never text.
        if tokens <= llama.vocab_size {
            return Ok(());
        }
        Err(ImportError::Sources(format!(
            "the tokenizer has {tokens} tokens and the language model {}; they do not belong together",
            llama.vocab_size
        )))
    }

    pub fn read_tokenizer(&self) -> Result<Tokenizer, ImportError> {
        Tokenizer::from_bytes(&self.tokenizer).map_err(|source| ImportError::Tokenizer {
            file: "tokenizer.json".to_owned(),
            source,
        })
    }

    /// Where each tensor is.
    pub fn resolve(
        &self,
        sources: &'a [Source],
        options: &ImportOptions,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<Vec<Resolved<'a>>, ImportError> {
        let mut all = Vec::new();
        for source in sources {
            let llama = source.llama.as_ref().map(|it| &it.1);
            let clip = source.clip.as_ref().map(|it| &it.1);
            let adapters = self.adapters.as_ref();
            let adapters = adapters.filter(|(of, _)| std::ptr::eq(*of, source));
            let adapters = adapters.map(|(_, mapping)| mapping);
            let mappings: Vec<_> = [llama, clip, adapters].into_iter().flatten().collect();
            if !mappings.is_empty() {
                all.extend(resolve(source, &mappings, &options.ignore, left_out)?);
            }
        }
        match all.is_empty() {
            false => Ok(all),
            true => Err(ImportError::Sources(
                "nothing to import: no source holds a language model, a vision tower or adapters"
                    .to_owned(),
            )),
        }
    }

    /// What a person should know of the package.
    pub fn notes(
        &self,
        sources: &[Source],
        made: &[TensorReport],
        compat: Option<Compat>,
    ) -> Vec<String> {
        let mut notes: Vec<_> = sources.iter().flat_map(|it| it.notes.clone()).collect();
        for (part, there) in [
            ("language model", self.llama.is_some()),
            ("vision tower", self.clip.is_some()),
            ("adapters", self.adapters.is_some()),
        ] {
            if !there {
                notes.push(format!(
                    "the package has no {part}: it does not caption yet"
                ));
            }
        }
        if let Some((source, _)) = &self.adapters
            && source.kind == Kind::Adapters
        {
            let adem = &self.config.adem;
            notes.push(format!(
                "alpha {}, beta {} and gamma {} are the paper's unless they were given: a checkpoint does not say its own",
                adem.alpha, adem.beta, adem.drop_ratio
            ));
        }
        if compat == Some(Compat::CocoCaption) {
            notes.push(
                "the authors' COCO checkpoints say their prompt again before a caption; `adem eval caption --compat` judges what follows it".to_owned(),
            );
        }
        let mut blocks: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let is_blocks = |it: &&TensorReport| it.found.starts_with(['Q', 'q']) && !it.exact;
        for tensor in made.iter().filter(is_blocks) {
            *blocks.entry((tensor.found, tensor.stored)).or_default() += 1;
        }
        for ((found, stored), count) in blocks {
            let why = match found.starts_with('q') {
                true => "what quantising them took away stays away",
                false => "they have no blocks of ours",
            };
            notes.push(format!(
                "{count} tensors of {found} were read as floats and stored as {stored}: {why}"
            ));
        }
        notes
    }
}

/// Sets the numbers that were given.
fn numbers(config: &mut AdemConfig, given: FusionNumbers) -> Result<(), ImportError> {
    let gamma = given.gamma.unwrap_or(config.drop_ratio);
    let all = [given.alpha, given.beta, Some(gamma)];
    let finite = all.into_iter().flatten().all(f64::is_finite);
    if !finite || !(0.0..1.0).contains(&gamma) {
        return Err(ImportError::Sources(
            "alpha and beta must be finite, and gamma at least 0 and less than 1".to_owned(),
        ));
    }
    config.alpha = given.alpha.unwrap_or(config.alpha);
    config.beta = given.beta.unwrap_or(config.beta);
    config.drop_ratio = gamma;
    Ok(())
}

/// The source that has a part; `None` where none has.
fn only<'a>(
    sources: &'a [Source],
    part: &str,
    has: impl Fn(&Source) -> bool,
) -> Result<Option<&'a Source>, ImportError> {
    let mut found = sources.iter().filter(|source| has(source));
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => Err(ImportError::Sources(format!(
            "`{}` and `{}` both hold a {part}; name one of them",
            first.path, second.path
        ))),
        (first, _) => Ok(first),
    }
}

/// The tokenizer asked for, else that of a source that is one, else the language model's.
fn tokenizer(
    sources: &[Source],
    llama: Option<&Source>,
    options: &ImportOptions,
) -> Result<Vec<u8>, ImportError> {
    if let Some(path) = &options.tokenizer {
        return read_tokenizer(path);
    }
    let is_one = |source: &Source| source.kind == Kind::Tokenizer;
    let alone = only(sources, "tokenizer", is_one)?;
    let found = alone.or(llama).and_then(|source| source.tokenizer.as_ref());
    match found {
        Some(Ok(json)) => Ok(json.clone()),
        Some(Err(error)) => Err(ImportError::Sources(format!(
            "the language model's tokenizer cannot be used: {error}"
        ))),
        None => Err(ImportError::Sources(
            "no tokenizer found; give tokenizer.json or tokenizer.model with --tokenizer, or begin with the language model: a package has one".to_owned(),
        )),
    }
}
