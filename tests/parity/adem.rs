//! Whole models: what a training batch gives.

use adem_model::TrainRow;
use adem_tests::golden::Array;
use burn::tensor::Device;

use crate::backend::Backend;
use crate::compare::{Report, download, ids, upload};
use crate::source::stack;
use crate::whole::{Fixture, learned};

fn forward(backend: &Backend) {
    let (device, t) = (&backend.device, &backend.tolerances);
    let mut report = Report::new("whole models", backend.name);
    for fixture in Fixture::all() {
        let (name, want) = (&fixture.name, &fixture.expected);
        let (model, batch) = (fixture.build(device), fixture.batch());
        let features = model.encode(upload::<4>(&batch.pixels, device), None);
        if let Some(first) = want.find("feats_first_sample") {
            let got = download(features.clone()).row(0);
            report.absolute("features", name, &got, first, t.logits);
        }

        let prompt = model.see(features, &batch.pictures());
        // U is V + emb2, whatever the picture.
        let visual = prompt.memory.values() - model.adapter_emb2.val();
        report.absolute(
            "visual tokens",
            name,
            &download(visual),
            want.f32("vis"),
            t.logits,
        );
        assert_eq!(
            prompt.tokens.is_some(),
            want.find("tok").is_some(),
            "{name}: tokens"
        );
        if let Some(tokens) = prompt.tokens.clone() {
            let want = want.f32("tok");
            report.absolute(
                "tokens in the text",
                name,
                &download(tokens),
                want,
                t.logits,
            );
        }

        let (hidden, labels) = model
            .forward(&prompt, &batch.rows, &batch.prefix, batch.max_tokens)
            .unwrap();
        let golden: Vec<_> = ids(want.i64("labels"))
            .iter()
            .map(|row| learned(row))
            .collect();
        assert_eq!(labels, golden, "{name}: labels");
        let logits = download(model.llama.logits(hidden));
        report.absolute("logits", name, &logits, want.f32("logits"), t.logits);

        let loss = |rows: &[TrainRow]| {
            let loss = model
                .loss(&prompt, rows, &batch.prefix, batch.max_tokens)
                .unwrap();
            f64::from(download(loss).values[0])
        };
        let golden = f64::from(want.f32("loss").values[0]);
        report.number("loss", name, loss(&batch.rows), golden, t.loss);

        // Rows need not be padded to one length: what follows a row's last label changes nothing.
        let trimmed: Vec<TrainRow> = batch.rows.iter().map(without_padding).collect();
        report.number("loss", name, loss(&trimmed), golden, t.loss);
        report.case();
    }
    report.finish();
}

fn without_padding(row: &TrainRow) -> TrainRow {
    let end = row.labels.iter().rposition(Option::is_some).unwrap() + 1;
    TrainRow {
        ids: row.ids[..end].to_vec(),
        labels: row.labels[..end].to_vec(),
        picture: row.picture,
    }
}

/// A picture gives the same features and visual tokens in a batch and alone.
fn pictures_are_independent(backend: &Backend) {
    let (device, t) = (&backend.device, &backend.tolerances);
    let mut report = Report::new("pictures alone", backend.name);
    for fixture in Fixture::all() {
        let (model, batch) = (fixture.build(device), fixture.batch());
        let together = download(model.encode(upload::<4>(&batch.pixels, device), None));
        for row in 0..batch.rows.len() {
            let pixels: Array<f32> = stack(vec![single(&batch.pixels, row)]);
            let alone = download(model.encode(upload::<4>(&pixels, device), None)).row(0);
            let what = format!("{}, row {row}", fixture.name);
            report.absolute("features", &what, &alone, &together.row(row), t.logits);
            report.case();
        }
    }
    report.finish();
}

fn single(pixels: &Array<f32>, row: usize) -> Array<f32> {
    let Array { shape, values } = pixels.row(row);
    Array {
        shape: [vec![1], shape].concat(),
        values,
    }
}

crate::on_every_backend!(forward, pictures_are_independent);

/// A row without a picture is the same whether its empty picture was encoded or never looked at.
#[test]
fn an_absent_picture_counts_for_nothing() {
    let device = Device::flex();
    let mut report = Report::new("no picture", "cpu");
    for fixture in Fixture::all() {
        let (model, mut batch) = (fixture.build(&device), fixture.batch());
        batch.rows.iter_mut().for_each(|row| row.picture = false);
        let unseen = model.see_nothing(batch.rows.len());
        let logits = |prompt| {
            let (hidden, _) = model
                .forward(prompt, &batch.rows, &batch.prefix, batch.max_tokens)
                .unwrap();
            download(model.llama.logits(hidden))
        };
        let (seen, unseen) = (logits(&batch.see(&model, &device)), logits(&unseen));
        report.absolute("logits", &fixture.name, &seen, &unseen, 2e-5);
        report.case();
    }
    report.finish();
}
