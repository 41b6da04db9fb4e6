//! What an imported package says of itself.

use std::collections::BTreeMap;
use std::path::Path;

use adem_data::image::Normalisation;
use adem_data::prompt::PromptTemplates;
use adem_data::tasks::instruction::TEMPLATE;
use adem_data::tasks::science_qa::ANSWER_PREFIX;
use adem_package::{Draft, ImageSpec, Manifest, Prompts, Provenance, Task, TokenIds};

use super::parts::Parts;
use super::{Compat, ImportOptions};
use crate::error::ImportError;
use crate::hub::origin;
use crate::source::{Kind, Source};

/// Side of the pictures of a package that has no vision tower yet, pixels: CLIP's.
const NO_TOWER: u64 = 224;
/// Longest answer, in tokens, where the context leaves room for it.
const MAX_NEW_TOKENS: u64 = 64;

/// The manifest without what follows from the files. What a package among the sources says stays.
pub(super) fn draft(parts: &Parts<'_>, options: &ImportOptions) -> Result<Draft, ImportError> {
    let named = [parts.llama, parts.clip].into_iter().flatten();
    let package = named.clone().find_map(|it| it.manifest.as_ref());
    let name = options.name.clone();
    let name = name.or_else(|| package.map(|it| it.name.clone()));
    let name = name.or_else(|| named.clone().find_map(stem));
    let own = [Normalisation::CLIP.mean, Normalisation::CLIP.std];
    let authors = options.compat.map(Compat::normalisation);
    let [mean, std] = options
        .normalisation
        .or(authors)
        .map(|it| [it.mean, it.std])
        .or_else(|| parts.clip.and_then(|it| it.normalisation))
        .unwrap_or(own);
    let clip = parts.config.clip.as_ref();
    let context = parts.config.llama.as_ref().map_or(1, |it| it.max_seq_len);
    let longest = MAX_NEW_TOKENS.min(context / 2).max(1) as u32;
    let model = serde_json::to_value(&parts.config);
    Ok(Draft {
        name: name.unwrap_or_else(|| "imported".to_owned()),
        model: model.map_err(|e| ImportError::Sources(e.to_string()))?,
        image: ImageSpec {
            size: clip.map_or(NO_TOWER, |it| it.image_size) as u32,
            mean,
            std,
        },
        prompts: match options.compat {
            Some(compat) => compat.prompts(),
            None => package.map_or_else(prompts, |it| it.prompts.clone()),
        },
        tasks: match options.compat {
            Some(Compat::CocoCaption) => vec![Task::Caption],
            Some(Compat::ScienceQa | Compat::Instruction) => vec![Task::Question],
            None => package.map_or(vec![Task::Caption, Task::Question], |it| it.tasks.clone()),
        },
        max_new_tokens: package.map_or(longest, |it| it.max_new_tokens),
        provenance: provenance(parts, package),
        token_ids: token_ids(parts, options)?,
    })
}

/// The name of a source's file or folder, without its ending; that of the hub's model where it is
/// one.
fn stem(source: &Source) -> Option<String> {
    if let Some((model, _)) = origin(Path::new(&source.path)) {
        return Some(model.rsplit('/').next()?.chars().take(100).collect());
    }
    let path = Path::new(&source.path).canonicalize().ok()?;
    Some(path.file_stem()?.to_str()?.chars().take(100).collect())
}

impl Compat {
    fn normalisation(self) -> Normalisation {
        match self {
            Self::CocoCaption => Normalisation::CLIP,
            Self::ScienceQa | Self::Instruction => Normalisation::IMAGENET,
        }
    }

    fn prompts(self) -> Prompts {
        let usual = prompts();
        match self {
            Self::CocoCaption => Prompts {
                caption: format!("{} ", usual.caption),
                ..usual
            },
            // Nothing stands between the two.
            Self::ScienceQa => Prompts {
                question: format!("{{question}}\nResponse:{ANSWER_PREFIX}"),
                ..usual
            },
            Self::Instruction => Prompts {
                question: TEMPLATE.to_owned(),
                ..usual
            },
        }
    }
}

fn prompts() -> Prompts {
    let text = PromptTemplates::default();
    Prompts {
        image_prefix: text.image_prefix,
        no_image_prefix: text.no_image_prefix,
        caption: text.caption,
        question: text.question,
    }
}

/// Where each part is from.
fn provenance(parts: &Parts<'_>, package: Option<&Manifest>) -> Provenance {
    let imported = || Provenance {
        created: String::new(),
        training: "imported by adem import, not trained by it".to_owned(),
        data: "see where the weights come from".to_owned(),
        licence: "that of the weights imported".to_owned(),
        more: BTreeMap::new(),
    };
    let mut provenance = package.map_or_else(imported, |it| it.provenance.clone());
    let adapters = parts.adapters.as_ref().map(|it| it.0);
    for (part, source) in [
        ("language_model", parts.llama),
        ("vision_tower", parts.clip),
        ("adapters", adapters),
    ] {
        // What a package says of its parts is nearer to where they are from.
        if let Some(source) = source.filter(|it| it.kind != Kind::Package) {
            let place = match origin(Path::new(&source.path)) {
                Some((model, commit)) => format!("hf:{model}@{commit}"),
                None => source.path.clone(),
            };
            let place = format!("{place} ({})", source.kind.name());
            provenance.more.insert(part.to_owned(), place);
        }
    }
    provenance
}

/// The ids that a package gives with its tokenizer, else those of the usual names.
fn token_ids(parts: &Parts<'_>, options: &ImportOptions) -> Result<TokenIds, ImportError> {
    let package = parts.llama.and_then(|it| it.manifest.as_ref());
    let package = package.filter(|_| options.tokenizer.is_none() && !parts.other_tokenizer);
    if let Some(manifest) = package {
        let tokenizer = &manifest.tokenizer;
        return Ok(TokenIds {
            bos: tokenizer.bos,
            eos: tokenizer.eos,
            pad: tokenizer.pad,
        });
    }
    let tokenizer = parts.read_tokenizer()?;
    let mut special = tokenizer.special();
    // SentencePiece's tokens say by their names what they are, and configs of LLaMA's first
    // conversions are wrong about them. Names of byte-level ones differ from model to model.
    let own = parts.llama.filter(|_| tokenizer.is_byte_level());
    let own = own.filter(|_| options.tokenizer.is_none() && !parts.other_tokenizer);
    if let Some(source) = own {
        let known = |id: &u64| *id < tokenizer.vocab_size() as u64;
        let [bos, eos, pad] = source
            .token_ids
            .map(|id| id.filter(known).map(|id| id as u32));
        special.bos = bos.unwrap_or(special.bos);
        special.eos = eos.unwrap_or(special.eos);
        special.pad = pad.or(special.pad);
    }
    Ok(TokenIds {
        bos: special.bos,
        eos: special.eos,
        pad: special.pad.unwrap_or(special.eos),
    })
}
