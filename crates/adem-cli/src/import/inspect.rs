//! `adem inspect`.

use adem_eval::{Align, Table};
use adem_import::{FileInspection, Inspection, inspect};
use serde_json::Value;

use super::InspectArgs;
use crate::error::CliError;
use crate::output;

/// Prints what is in a checkpoint or a package.
pub fn run(args: InspectArgs) -> Result<(), CliError> {
    let seen = inspect(&args.path)?;
    match args.json {
        true => output::json(&seen),
        false => output::line(told(&seen).trim_end()),
    }
}

/// The inspection as a person reads it.
fn told(seen: &Inspection) -> String {
    let mut text = format!("{}: {}\n", seen.path, seen.kind);
    if let Some(config) = &seen.config {
        let sections = serde_json::to_value(config).unwrap_or_default();
        for (section, fields) in sections.as_object().into_iter().flatten() {
            text += &format!("{section}: {}\n", line(fields));
        }
    }
    if let Some(manifest) = &seen.manifest {
        text += &format!("name: {}\n", manifest.name);
        let provenance = serde_json::to_value(&manifest.provenance).unwrap_or_default();
        text += &format!("provenance: {}\n", line(&provenance));
        if let Some(quantisation) = &manifest.quantisation {
            let count = quantisation.tensors.len();
            text += &format!("quantised weights: {count}\n");
        }
    }
    for file in &seen.files {
        text += &of_file(file);
    }
    text
}

fn of_file(file: &FileInspection) -> String {
    let mut table = Table::new([
        ("tensor", Align::Left),
        ("type", Align::Left),
        ("shape", Align::Left),
        ("bytes", Align::Right),
    ]);
    for tensor in &file.tensors {
        table.row([
            tensor.name.clone(),
            tensor.dtype.to_owned(),
            format!("{:?}", tensor.shape),
            tensor.bytes.to_string(),
        ]);
    }
    let mut text = format!(
        "\n{} ({}, {} bytes, {} tensors)\n",
        file.file,
        file.format.name(),
        file.bytes,
        file.tensors.len()
    );
    for (key, value) in &file.metadata {
        text += &format!("{key}: {}\n", line(value));
    }
    text + &table.to_string()
}

/// A value on one line.
fn line(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace(char::is_control, " "),
        Value::Object(fields) => {
            let pair = |(key, value): (&String, &Value)| format!("{key} {}", line(value));
            fields.iter().map(pair).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}
