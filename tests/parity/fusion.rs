//! The fusion operator alone.

use adem_model::config::{AdemConfig, Projection};
use adem_model::fusion::{VisualMemory, drop_index};
use adem_tests::golden::{self, Tensors};
use burn::tensor::{Tensor, TensorData};
use serde_json::Value;

use crate::backend::Backend;
use crate::compare::{Report, download, say, upload};

fn fixture() -> (Value, Tensors) {
    let json = golden::entries("", |p| golden::name(p) == "fusion.json").remove(0);
    let tensors = Tensors::open(&json.with_extension("safetensors"));
    (golden::json(&json), tensors)
}

/// Scores, output and every gradient of every case.
fn forward_and_backward(backend: &Backend) {
    let (json, tensors) = fixture();
    let device = backend.training();
    let t = &backend.tolerances;
    let mut report = Report::new("fusion", backend.name);
    for case in json["cases"].as_array().unwrap() {
        let name = case["case"].as_str().unwrap();
        let phi: Projection = serde_json::from_value(case["phi"].clone()).unwrap();
        let number = |key: &str| case[key].as_f64().unwrap();
        let config = AdemConfig {
            phi,
            drop_ratio: number("drop_ratio"),
            alpha: number("alpha"),
            beta: number("beta"),
            ..AdemConfig::default()
        };
        let golden = |part: &str| tensors.f32(&format!("{name}.{part}"));
        let leaf = |part: &str| upload::<3>(golden(part), &device).require_grad();
        let (x, v_raw, emb1, emb2) = (leaf("x"), leaf("v_raw"), leaf("emb1"), leaf("emb2"));
        let indicator = &tensors.i64(&format!("{name}.ind")).values;
        let scale: Vec<f32> = indicator
            .iter()
            .map(|i| *i as f32 * config.beta as f32)
            .collect();
        let batch = scale.len();
        let scale = Tensor::<3>::from_data(TensorData::new(scale, [batch, 1, 1]), &device);

        let memory = VisualMemory::new(v_raw.clone() * scale, emb1.clone(), emb2.clone(), phi);
        let kept = memory.kept_scores(x.clone(), &config);
        let out = memory.attend(x.clone(), &config);
        report.absolute("scores", name, &download(kept), golden("kept"), t.logits);
        report.absolute(
            "output",
            name,
            &download(out.clone()),
            golden("out"),
            t.logits,
        );

        let gradients = (out * upload::<3>(golden("g"), &device)).sum().backward();
        for (leaf, part) in [
            (x, "dx"),
            (v_raw, "dv_raw"),
            (emb1, "demb1"),
            (emb2, "demb2"),
        ] {
            let got = download(leaf.grad(&gradients).unwrap());
            let what = format!("{name}.{part}");
            report.relative("gradients", &what, &got, golden(part), t.gradients);
        }
        report.case();
    }
    report.finish();
}

crate::on_every_backend!(forward_and_backward);

/// Position of the threshold for every ratio and count of the table.
#[test]
fn drop_indices() {
    let (json, _) = fixture();
    let table = json["drop_index_table"].as_array().unwrap();
    let cases = json["cases"].as_array().unwrap();
    let mut checked = 0;
    for row in table.iter().chain(cases) {
        let index = row.get("index").or_else(|| row.get("drop_index")).unwrap();
        let ratio = row["drop_ratio"].as_f64().unwrap();
        let tokens = row["N"].as_u64().unwrap() as usize;
        let want = match ratio > 0.0 {
            true => index.as_u64().map(|i| i as usize),
            false => None,
        };
        assert_eq!(
            drop_index(ratio, tokens),
            want,
            "ratio {ratio}, {tokens} tokens"
        );
        checked += 1;
    }
    assert!(checked > 0);
    say(&format!("drop indices: {checked} cases"));
}
