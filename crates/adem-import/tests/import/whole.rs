//! A whole model from three sources in their own formats, and one part at a time.

use std::fs;

use adem_data::tasks::science_qa::{Format, Problem};
use adem_import::{Compat, FusionNumbers, ImportOptions};
use adem_tests::golden::{self, Tensors};
use serde_json::{Value, json};

use crate::files::{Named, golden as all, pth};
use crate::folders::{Place, assert_equal, package, small_tokenizer};
use crate::pickle_file::{Pickled, zipped};

/// The weights of a golden model, under the package's names.
fn weights(name: &str) -> Vec<Named> {
    let file = golden::root().join(format!("adem/{name}.model.safetensors"));
    let tensors = all(&Tensors::open(&file)).into_iter();
    tensors
        .filter_map(|it| {
            let name = it.name.strip_prefix("w.")?.to_owned();
            Some(Named { name, ..it })
        })
        .collect()
}

fn config(name: &str) -> Value {
    golden::json(&golden::root().join(format!("adem/{name}.json")))["config"].clone()
}

fn is_adapter(tensor: &Named) -> bool {
    tensor.name.contains("adapter")
}

/// What the authors' training program saves: the trained weights under `model`, the optimiser's
/// state and the settings beside them.
fn authors_checkpoint(tensors: &[Named]) -> Vec<u8> {
    let text = Pickled::text;
    let pair = |(i, it): (usize, &Named)| (text(&it.name), Pickled::of(i, it));
    let model = tensors.iter().enumerate().map(pair).collect();
    let state = Pickled::Dict(vec![(
        Pickled::Int(0),
        Pickled::Dict(vec![(text("exp_avg"), Pickled::of(0, &tensors[0]))]),
    )]);
    let object = Pickled::Dict(vec![
        (text("model"), Pickled::Ordered(model)),
        (
            text("optimizer"),
            Pickled::Dict(vec![(text("state"), state)]),
        ),
        (text("epoch"), Pickled::Int(19)),
        (
            text("scaler"),
            Pickled::Dict(vec![(text("scale"), Pickled::Float(65536.0))]),
        ),
        (
            text("args"),
            Pickled::Namespace(vec![
                (text("blr"), Pickled::Float(9e-3)),
                (text("seed"), Pickled::Int(0)),
            ]),
        ),
    ]);
    zipped(&object, tensors)
}

/// Writes the golden model `name` as Meta's folder, OpenAI's file and the authors' checkpoint.
pub fn sources(place: &Place, name: &str) -> (Vec<Named>, Value) {
    let (weights, config) = (weights(name), config(name));
    let (adapters, frozen): (Vec<_>, Vec<_>) = weights.iter().cloned().partition(is_adapter);
    let (clip, llama): (Vec<_>, Vec<_>) = frozen
        .into_iter()
        .partition(|it| it.name.starts_with("backbone."));
    let sizes = &config["llama"];
    let params = json!({
        "dim": sizes["dim"], "n_layers": sizes["n_layers"], "n_heads": sizes["n_heads"],
        "n_kv_heads": sizes["n_kv_heads"], "norm_eps": sizes["norm_eps"],
        "rope_theta": sizes["rope_theta"], "vocab_size": -1, "multiple_of": 256,
    });
    place.json("llama/params.json", &params);
    place.json("llama/tokenizer.json", &small_tokenizer());
    place.put("llama/consolidated.00.pth", pth(&llama));
    let openai: Vec<_> = clip
        .into_iter()
        .map(|it| Named {
            name: it.name.replacen("backbone.", "", 1),
            ..it
        })
        .collect();
    place.put("clip.pth", pth(&openai));
    place.put("checkpoint_7B.pth", authors_checkpoint(&adapters));
    (weights, config)
}

pub fn options(config: &Value) -> ImportOptions {
    ImportOptions {
        vision_heads: config["clip"]["heads"].as_u64(),
        name: Some("golden".into()),
        fusion: FusionNumbers {
            alpha: config["adem"]["alpha"].as_f64(),
            beta: config["adem"]["beta"].as_f64(),
            gamma: config["adem"]["drop_ratio"].as_f64(),
        },
        ..ImportOptions::default()
    }
}

#[test]
fn the_authors_checkpoint_meets_its_language_model_and_tower() {
    for name in ["main", "init", "small_gqa"] {
        let place = Place::new();
        let (weights, config) = sources(&place, name);
        let report = place
            .import(
                &["llama", "clip.pth", "checkpoint_7B.pth"],
                &options(&config),
            )
            .unwrap();
        let (manifest, found) = place.package();
        assert_equal(&found, &weights, name);
        assert_eq!(report.left_out.len(), 1, "{name}: the optimiser's state");
        assert_eq!(report.notes.len(), 1, "{name}: {:?}", report.notes);
        for section in ["clip", "adem", "llama"] {
            for (field, value) in config[section].as_object().unwrap() {
                let found = &manifest.model[section][field];
                // `null` key/value heads are as many as there are heads.
                let heads = field == "n_kv_heads" && value.is_null();
                let wanted = if heads {
                    &config[section]["n_heads"]
                } else {
                    value
                };
                assert_eq!(found, wanted, "{name}: {section}.{field}");
            }
        }
    }
}

#[test]
fn parts_are_added_to_a_package_one_at_a_time() {
    let place = Place::new();
    let (weights, config) = sources(&place, "main");
    let options = options(&config);
    place
        .import(&["llama", "clip.pth", "checkpoint_7B.pth"], &options)
        .unwrap();
    fs::rename(place.path("package"), place.path("at_once")).unwrap();
    place.import(&["llama"], &options).unwrap();
    place.import(&["package", "clip.pth"], &options).unwrap();
    place
        .import(&["package", "checkpoint_7B.pth"], &options)
        .unwrap();
    assert_equal(&place.package().1, &weights, "one at a time");
    let (mut one, mut other) = (place.package().0, package(&place.path("at_once")).0);
    (one.provenance, other.provenance) = Default::default();
    assert_eq!(one, other);
}

#[test]
fn sources_that_do_not_make_one_model_are_refused() {
    let place = Place::new();
    let (_, config) = sources(&place, "main");
    let options = options(&config);
    for (sources, word) in [
        (&["checkpoint_7B.pth"][..], "belong to a language model"),
        (&["llama", "llama"], "both hold a language model"),
        (&["llama", "checkpoint_7B.pth"], "belong to"),
        (&["llama/tokenizer.json"], "nothing to import"),
        (&[], "no tokenizer"),
    ] {
        let error = place.refused(sources, &options);
        assert!(error.contains(word), "{word}: {error}");
    }
    // A tokenizer of more tokens than the model has.
    let large = golden::root().join("tokenizer/tokenizer.json");
    let large = ImportOptions {
        tokenizer: Some(large),
        ..options.clone()
    };
    let error = place.refused(&["llama"], &large);
    assert!(error.contains("700") && error.contains("97"), "{error}");
    // Numbers that no fusion has.
    for gamma in [1.0, -0.1, f64::NAN] {
        let mut odd = options.clone();
        odd.fusion.gamma = Some(gamma);
        let error = place.refused(&["llama", "clip.pth", "checkpoint_7B.pth"], &odd);
        assert!(error.contains("gamma"), "{error}");
    }
    // Adapters of another width.
    let small: Vec<_> = weights("small_gqa")
        .into_iter()
        .filter(is_adapter)
        .collect();
    place.put("other.pth", authors_checkpoint(&small));
    let error = place.refused(&["llama", "clip.pth", "other.pth"], &options);
    assert!(error.contains("adapter_"), "{error}");
}

/// What a checkpoint of the authors' is asked, and how its pictures are normalised, follows from
/// what it was trained on.
#[test]
fn the_authors_tasks_decide_prompts_and_normalisation() {
    let place = Place::new();
    let (_, config) = sources(&place, "small_gqa");
    let imported = |compat| {
        let options = ImportOptions {
            compat,
            ..options(&config)
        };
        let all = ["llama", "clip.pth", "checkpoint_7B.pth"];
        let report = place.import(&all, &options).unwrap();
        (place.package().0, report.notes.join("\n"))
    };
    let (plain, _) = imported(None);
    assert_eq!(plain.prompts.caption, "a picture of");
    let (coco, notes) = imported(Some(Compat::CocoCaption));
    assert_eq!(coco.prompts.caption, "a picture of ");
    assert_eq!(coco.image, plain.image);
    assert_eq!(
        serde_json::to_value(&coco.tasks).unwrap(),
        json!(["caption"])
    );
    assert!(notes.contains("eval caption --compat"), "{notes}");
    let imagenet = [0.485, 0.456, 0.406];
    let (instruction, _) = imported(Some(Compat::Instruction));
    assert_eq!(
        instruction.prompts.question,
        "Instruction: {question}\nResponse:"
    );
    assert_eq!(instruction.image.mean, imagenet);
    let (science, _) = imported(Some(Compat::ScienceQa));
    assert_eq!(science.image.mean, imagenet);
    // A whole problem, asked through the package, is the authors' prompt with theirs after it.
    let problem = Problem {
        question: "Which?".into(),
        choices: vec!["one".into(), "two".into()],
        ..Problem::default()
    };
    let theirs = "QCM-A".parse::<Format>().unwrap().prompt(&problem, false);
    let asked = theirs.strip_suffix("\nResponse:").unwrap();
    let text = science.prompts.question.replace("{question}", asked);
    assert_eq!(text, format!("{theirs}The answer is"));
}
