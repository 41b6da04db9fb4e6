//! What a manifest's fields may say.

use std::collections::HashSet;

use serde_json::Value;

use crate::error::PackageError;
use crate::limits;
use crate::manifest::{FORMAT_VERSION, ImageSpec, MANIFEST_FILE, Manifest, Prompts, ShardEntry};
use crate::name::{is_plain, tensor_name_fault};
use crate::quant::{SCALE_SUFFIX, WORDS_SUFFIX};

/// The place of the question in [`Prompts::question`].
const QUESTION_SLOT: &str = "{question}";
const NOT_PLAIN: &str =
    "is not a plain file name; letters, digits, `.`, `_` and `-` are, a folder is not";

impl Manifest {
    /// Checks every field but the bytes it speaks of.
    pub(crate) fn validate(&self) -> Result<(), PackageError> {
        if self.format != FORMAT_VERSION {
            return Err(PackageError::Version {
                found: self.format.to_string(),
            });
        }
        let one_line = !self.name.trim().is_empty() && !self.name.contains(char::is_control);
        check(one_line && self.name.len() <= 200, "name", || {
            "must be one line of 1 to 200 bytes".into()
        })?;
        check(self.model.is_object(), "model", || {
            format!("must be an object, is {}", excerpt(&self.model))
        })?;
        self.image.validate()?;
        self.prompts.validate()?;
        check(!self.tasks.is_empty(), "tasks", || {
            "must name at least one task".into()
        })?;
        let distinct: HashSet<_> = self.tasks.iter().collect();
        check(distinct.len() == self.tasks.len(), "tasks", || {
            "names a task twice".into()
        })?;
        check(
            (1..=4096).contains(&self.max_new_tokens),
            "max_new_tokens",
            || format!("must be 1 to 4096, is {}", self.max_new_tokens),
        )?;
        self.validate_files()?;
        match &self.quantisation {
            Some(quantisation) => quantisation.validate(&self.shards),
            None => Ok(()),
        }
    }

    fn validate_files(&self) -> Result<(), PackageError> {
        let tokenizer = &self.tokenizer;
        check(is_plain(&tokenizer.file), "tokenizer.file", || {
            format!("{:?} {NOT_PLAIN}", tokenizer.file)
        })?;
        let limit = limits::TOKENIZER_BYTES;
        check(
            (1..=limit).contains(&tokenizer.bytes),
            "tokenizer.bytes",
            || format!("must be 1 to {limit}, is {}", tokenizer.bytes),
        )?;
        let count = self.shards.len();
        check((1..=limits::SHARDS).contains(&count), "shards", || {
            format!("must be 1 to {} files, are {count}", limits::SHARDS)
        })?;
        // Some file systems take names that differ in case only for the same file.
        let mut files = HashSet::from([
            MANIFEST_FILE.to_owned(),
            tokenizer.file.to_ascii_lowercase(),
        ]);
        check(files.len() == 2, "tokenizer.file", || {
            format!("{:?} is the manifest itself", tokenizer.file)
        })?;
        let mut names = HashSet::new();
        for (index, shard) in self.shards.iter().enumerate() {
            shard.validate(index)?;
            check(
                files.insert(shard.file.to_ascii_lowercase()),
                &format!("shards[{index}].file"),
                || format!("{:?} is named twice", shard.file),
            )?;
            for tensor in &shard.tensors {
                if !names.insert(tensor.as_str()) {
                    return Err(PackageError::Duplicate {
                        file: shard.file.clone(),
                        tensor: tensor.clone(),
                    });
                }
            }
        }
        check(self.tensors == names.len() as u64, "tensors", || {
            format!("says {}, the shards list {}", self.tensors, names.len())
        })
    }
}

impl ImageSpec {
    fn validate(&self) -> Result<(), PackageError> {
        check((1..=4096).contains(&self.size), "image.size", || {
            format!("must be 1 to 4096 pixels, is {}", self.size)
        })?;
        check(
            self.mean.iter().all(|m| m.is_finite()),
            "image.mean",
            || "must be finite numbers".into(),
        )?;
        // A deviation too small to divide by would make every picture infinite.
        let divides = |s: &f32| s.is_normal() && *s > 0.0;
        check(self.std.iter().all(divides), "image.std", || {
            "must be positive numbers".into()
        })
    }
}

impl Prompts {
    fn validate(&self) -> Result<(), PackageError> {
        for (field, text) in [
            ("prompts.image_prefix", &self.image_prefix),
            ("prompts.no_image_prefix", &self.no_image_prefix),
            ("prompts.caption", &self.caption),
            ("prompts.question", &self.question),
        ] {
            check(text.len() <= 4096, field, || {
                format!("must be at most 4096 bytes, has {}", text.len())
            })?;
        }
        let slots = self.question.matches(QUESTION_SLOT).count();
        check(slots == 1, "prompts.question", || {
            format!("must hold `{QUESTION_SLOT}` once, holds it {slots} times")
        })
    }
}

impl ShardEntry {
    fn validate(&self, index: usize) -> Result<(), PackageError> {
        let field = |name: &str| format!("shards[{index}].{name}");
        check(is_plain(&self.file), &field("file"), || {
            format!("{:?} {NOT_PLAIN}", self.file)
        })?;
        let limit = match self.is_of_one_weight() {
            true => limits::LONE_SHARD_BYTES,
            false => limits::SHARD_BYTES,
        };
        check((8..=limit).contains(&self.bytes), &field("bytes"), || {
            format!("must be 8 to {limit}, is {}", self.bytes)
        })?;
        check(!self.tensors.is_empty(), &field("tensors"), || {
            "must list at least one tensor".into()
        })?;
        for (place, tensor) in self.tensors.iter().enumerate() {
            let fault = tensor_name_fault(tensor);
            check(
                fault.is_none(),
                &field(&format!("tensors[{place}]")),
                || fault.unwrap_or_default().into(),
            )?;
        }
        Ok(())
    }
}

impl ShardEntry {
    /// Whether it holds a single weight, which cannot be cut: one tensor, or codes and scales.
    fn is_of_one_weight(&self) -> bool {
        match self.tensors.as_slice() {
            [_] => true,
            [words, scales] => {
                let weight = words.strip_suffix(WORDS_SUFFIX);
                weight.is_some() && weight == scales.strip_suffix(SCALE_SUFFIX)
            }
            _ => false,
        }
    }
}

/// Refuses the manifest's field `field` unless `holds`.
pub(crate) fn check(
    holds: bool,
    field: &str,
    reason: impl FnOnce() -> String,
) -> Result<(), PackageError> {
    if holds {
        return Ok(());
    }
    Err(PackageError::Field {
        field: field.to_owned(),
        reason: reason(),
    })
}

/// `value` as JSON, cut to a length that fits a message.
pub(crate) fn excerpt(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
