//! What the package of a run on a data set says.

use adem_package::{ImageSpec, Prompts};

use super::prepared::Prepared;
use crate::error::TrainError;
use crate::export::{Blueprint, tuning};

/// Longest answer that a package allows, in tokens.
const MAX_NEW_TOKENS: usize = 64;

/// Longest caption of a model with a context of `max_seq_len` tokens.
pub(crate) fn longest_answer(max_seq_len: usize) -> usize {
    MAX_NEW_TOKENS.min(max_seq_len / 2)
}

/// The plan of the package of a stage whose checkpoints hold the whole model. `before` are the
/// epochs of the stages since the tuning and what they were, `last` what the stage's steps are.
pub(crate) fn whole_blueprint(
    p: &Prepared,
    before: &[(f64, &str)],
    last: &str,
) -> Result<Blueprint, TrainError> {
    let tuned = blueprint(p)?;
    let mut training = format!(
        "{}{} epochs of tuning, ",
        tuned.training, p.config.tune.epochs
    );
    for (epochs, what) in before {
        training += &format!("{epochs} epochs {what}, ");
    }
    Ok(Blueprint {
        training,
        last: last.to_owned(),
        stages: Vec::new(),
        weights: Vec::new(),
        ..tuned
    })
}

/// The plan of the package of the tuning.
pub(crate) fn blueprint(p: &Prepared) -> Result<Blueprint, TrainError> {
    let c = &p.config;
    let absolute = |path: &std::path::PathBuf| {
        std::path::absolute(path).map_err(|e| TrainError::file(path, e))
    };
    let see = c.see.as_ref().map(|s| ("see", s.epochs, "seeing"));
    let read = c.read.as_ref().map(|r| ("read", r.epochs, "reading"));
    let stages: Vec<_> = [see, read].into_iter().flatten().collect();
    let told: String = stages
        .iter()
        .map(|(_, epochs, what)| format!("{epochs} epochs of {what}, "))
        .collect();
    let normalisation = c.normalisation.values();
    Ok(Blueprint {
        name: c.name.clone(),
        image: ImageSpec {
            size: p.model.clip.image_size as u32,
            mean: normalisation.mean,
            std: normalisation.std,
        },
        prompts: Prompts {
            image_prefix: c.prompts.image_prefix.clone(),
            no_image_prefix: c.prompts.no_image_prefix.clone(),
            caption: c.prompts.caption.clone(),
            question: c.prompts.question.clone(),
        },
        tasks: p.tasks()?,
        max_new_tokens: longest_answer(p.model.llama.max_seq_len) as u32,
        training: format!("adem train, seed {}: {told}", c.seed),
        last: tuning(),
        data: without_machine(p.data.source.name()),
        licence: "that of the data set and of the weights it started from".to_owned(),
        stages: stages.iter().map(|(name, ..)| (*name).to_owned()).collect(),
        weights: c
            .weights
            .files
            .iter()
            .map(absolute)
            .collect::<Result<_, _>>()?,
        tokenizer: c.weights.tokenizer.as_ref().map(absolute).transpose()?,
        model: p.model.clone(),
    })
}

/// The files of a data set with the folder they are in, but not where on this machine that is: a
/// package goes to others.
fn without_machine(files: &str) -> String {
    let file = |file: &str| match file.rmatch_indices(['/', '\\']).nth(1) {
        Some((at, _)) if !file.contains("://") => file[at + 1..].to_owned(),
        _ => file.to_owned(),
    };
    files.split(", ").map(file).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::without_machine;

    #[test]
    fn a_package_does_not_tell_the_folders_of_a_machine() {
        for (given, told) in [
            (
                "/home/me/data/flickr8k/train-{0..2}.tar",
                "flickr8k/train-{0..2}.tar",
            ),
            (
                "/a/b/c.json, d/e.json, f.json",
                "b/c.json, d/e.json, f.json",
            ),
            (r"C:\data\coco\train.json", r"coco\train.json"),
            ("/train.tar", "/train.tar"),
            ("https://host/a/b/train.tar", "https://host/a/b/train.tar"),
        ] {
            assert_eq!(without_machine(given), told);
        }
    }
}
