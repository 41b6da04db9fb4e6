//! What a run would be, before anything is computed.

use std::fmt::Write;
use std::sync::Arc;

use adem_data::tokenizer::Tokenizer;
use adem_model::TrainRow;

use super::config::TaskConfig;
use super::prepared::Prepared;
use super::run::Reporter;
use super::tune::Trained;
use crate::budget::{Bytes, Flops, Memory, Parameters, Pass};
use crate::error::TrainError;

/// Samples that are shown.
const SHOWN: usize = 4;

/// Describes a run: parameters by group, memory, arithmetic, schedule, and the first samples with
/// what is learned of them. Needs neither weights nor a device; without a data set or tokeniser the
/// samples are left out, and why is said.
///
/// # Errors
/// [`TrainError::Config`] or [`TrainError::Model`] for settings that cannot be run.
pub fn describe(config: &TaskConfig, devices: usize) -> Result<String, TrainError> {
    config.validate_numbers()?;
    let silent: Reporter = Arc::new(|_| ());
    let prepared = Prepared::new(config, None, &silent, false);
    let model = match &prepared {
        Ok(prepared) => &prepared.model,
        Err(_) => &config.model,
    };
    let mut text = String::new();
    let p = Parameters::of(model);
    let groups = [
        ("decoder (frozen)", p.decoder),
        ("encoder (frozen)", p.encoder),
        ("emb1, emb2", p.positions),
        ("projector of the patches", p.projector),
        ("projector of [cls]", p.projector_cls),
        ("encoder's adapters", p.adapters),
    ];
    let _ = writeln!(text, "parameters");
    for (name, count) in groups {
        let _ = writeln!(text, "  {name:<26} {:>16}", grouped(count));
    }
    let _ = writeln!(text, "  {:<26} {:>16}", "frozen", grouped(p.frozen()));
    let _ = write!(text, "  {:<26} {:>16}", "trained", grouped(p.trained()));
    let unused = match p.adapters_unused {
        0 => String::new(),
        n => format!("   ({} of them in a block that is never run)", grouped(n)),
    };
    let _ = writeln!(text, "{unused}");

    let rows = match &prepared {
        Ok(prepared) => prepared
            .tune_stage(Trained::Adapters, None, None)
            .first_rows()
            .map_err(Some),
        Err(_) => Err(None),
    };
    let t = &config.tune;
    let visual = model.adem.text_tokens();
    let (tokens, learned, measured) = match &rows {
        Ok(rows) => {
            let longest = rows.iter().map(|(_, r)| r.ids.len()).max().unwrap_or(0);
            let prefix = prepared
                .as_ref()
                .map_or(0, |p| p.language.prefix.with_picture.len());
            let learned = |r: &TrainRow| r.labels.iter().flatten().count();
            let most = rows.iter().map(|(_, r)| learned(r)).max().unwrap_or(0);
            (longest + visual + prefix, most, "the first batch")
        }
        Err(_) => (t.max_tokens, t.max_tokens, "the longest sequences"),
    };
    let share = t.micro_batch.div_ceil(devices.max(1));
    let pass = Pass {
        pictures: share,
        rows: share,
        tokens,
        learned,
        frozen_bytes: config.weights.precision.bytes(),
        recompute: t.recompute,
        features_given: t.cache_features,
    };
    let memory = Memory::of(model, &pass);
    let _ = writeln!(
        text,
        "\nmemory of each of {devices} device{}, estimated for {share} rows of {tokens} tokens ({measured})",
        if devices == 1 { "" } else { "s" }
    );
    for (name, bytes) in [
        ("frozen weights", memory.frozen),
        ("trained weights, AdamW", memory.trained),
        ("activations", memory.activations),
        ("all", memory.total()),
    ] {
        let _ = writeln!(text, "  {name:<26} {:>16}", Bytes(bytes).to_string());
    }
    let flops = Flops::of(
        model,
        &Pass {
            pictures: t.micro_batch,
            rows: t.micro_batch,
            ..pass
        },
    );
    let times = (t.batch / t.micro_batch) as f64 / 1e12;
    let _ = writeln!(text, "\narithmetic of a step of {} rows, TFLOP", t.batch);
    for (name, count) in [
        ("encoder, forward", flops.encoder),
        ("decoder, forward", flops.decoder),
        ("backward", flops.backward),
        ("all", flops.total()),
    ] {
        let _ = writeln!(text, "  {name:<26} {:>16.4}", count as f64 * times);
    }
    schedule(&mut text, config, prepared.as_ref().ok());
    let _ = writeln!(text, "\nfirst samples; what is learned stands in 「」");
    match (rows, prepared) {
        (Ok(rows), Ok(prepared)) => {
            for (name, row) in rows.iter().take(SHOWN) {
                let shown = shown(row, &prepared.language.tokenizer)?;
                let _ = writeln!(text, "  {name}: {shown}");
            }
        }
        (Err(Some(error)), _) | (_, Err(error)) => {
            let _ = writeln!(text, "  none: {error}");
        }
        (Err(None), Ok(_)) => {}
    }
    Ok(text)
}

fn schedule(text: &mut String, config: &TaskConfig, prepared: Option<&Prepared>) {
    let t = &config.tune;
    let _ = writeln!(
        text,
        "\nschedule: lr {:.6} = blr {} x {} / 256, {} epochs, warm-up {} epochs, {} x {} rows a step",
        config.lr(),
        t.blr,
        t.batch,
        t.epochs,
        t.warmup_epochs,
        t.batch / t.micro_batch,
        t.micro_batch
    );
    let Some(prepared) = prepared else {
        return;
    };
    let per_epoch = prepared.steps_per_epoch();
    let steps = (t.epochs * per_epoch as f64).round() as u64;
    let _ = writeln!(
        text,
        "  {} samples, {per_epoch} steps an epoch, {steps} steps",
        prepared.samples
    );
    let rate = prepared.tune_rate();
    for tenth in 0..=10 {
        let step = steps.saturating_sub(1) * tenth / 10;
        let _ = writeln!(text, "  step {step:>8}  lr {:.3e}", rate.of(step));
    }
}

/// A row as text, what is learned in brackets.
fn shown(row: &TrainRow, tokenizer: &Tokenizer) -> Result<String, TrainError> {
    let given = row.labels.iter().take_while(|l| l.is_none()).count();
    let (prompt, answer) = row.ids.split_at(given.min(row.ids.len()));
    let ends = answer.last() == Some(&tokenizer.special().eos);
    Ok(format!(
        "{}{}「{}{}」 ({} of {} tokens)",
        if row.picture { "<picture> " } else { "" },
        tokenizer.decode(prompt)?.escape_debug(),
        tokenizer.decode(answer)?.escape_debug(),
        if ends { " </s>" } else { "" },
        row.labels.iter().flatten().count(),
        row.ids.len()
    ))
}

/// A number with its thousands apart.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
