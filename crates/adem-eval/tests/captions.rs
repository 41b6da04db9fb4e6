//! Caption metrics against `pycocoevalcap`, and the evaluation of a tiny model on a shard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use adem_data::datasets::{BadRows, Captions, DatasetConfig};
use adem_eval::EvalError;
use adem_eval::captions::{CaptionEval, CaptionReport, Captioned, Metrics, score, tokenize};
use adem_package::Folder;
use adem_pipeline::testing::write_tiny_package;
use adem_pipeline::{Beams, Captioner};
use burn::tensor::Device;
use serde_json::{Value, json};

/// A folder that a variable names, from the repository's root on, else the one at its usual place.
fn folder(variable: &str, otherwise: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join(std::env::var_os(variable).map_or_else(|| otherwise.into(), PathBuf::from))
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// A file of `shared/data/metrics`; `None`, said aloud, where it is absent.
fn metrics_file(name: &str) -> Option<PathBuf> {
    let path = folder("ADEM_DATA", "../shared/data")
        .join("metrics")
        .join(name);
    match path.exists() {
        true => Some(path),
        false => {
            println!("skipped: {} is absent", path.display());
            None
        }
    }
}

fn words(text: &Value) -> Vec<String> {
    let text = text.as_str().unwrap();
    text.split_whitespace().map(str::to_owned).collect()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|t| t.as_str().unwrap())
        .collect()
}

fn assert_near(ours: f64, theirs: &Value, what: &str) {
    let theirs = theirs.as_f64().unwrap();
    assert!(
        (ours - theirs).abs() < 1e-6,
        "{what}: {ours}, theirs {theirs}"
    );
}

fn assert_metrics(ours: &Metrics, theirs: &Value, what: &str) {
    for (n, value) in (1..).zip(ours.bleu) {
        assert_near(
            value,
            &theirs[format!("Bleu_{n}")],
            &format!("{what}, BLEU-{n}"),
        );
    }
    assert_near(
        ours.rouge_l,
        &theirs["ROUGE_L"],
        &format!("{what}, ROUGE-L"),
    );
    assert_near(ours.cider, &theirs["CIDEr"], &format!("{what}, CIDEr-D"));
}

#[test]
fn words_and_scores_are_those_of_pycocoevalcap() {
    let golden = read(&folder("ADEM_GOLDEN", "tests/golden").join("captions.json"));
    let items = golden["items"].as_array().unwrap();
    assert!(!items.is_empty());
    let mut captioned = Vec::new();
    for item in items {
        let [raw, cut] = ["refs", "refs_tok"].map(|key| texts(&item[key]));
        for (raw, cut) in raw.iter().zip(&cut) {
            assert_eq!(tokenize(raw).join(" "), *cut, "{raw}");
        }
        let candidate = item["cand"].as_str().unwrap();
        assert_eq!(tokenize(candidate), words(&item["cand_tok"]), "{candidate}");
        captioned.push(Captioned::new(candidate, raw));
    }
    let scored = score(&captioned);
    assert_metrics(&scored.corpus, &golden["corpus"], "corpus");
    for (item, metrics) in items.iter().zip(&scored.each) {
        assert_metrics(metrics, &item["scores"], &format!("item {}", item["id"]));
    }
    let one = &golden["one_image_corpus"];
    let at = items.iter().position(|i| i["id"] == one["id"]).unwrap();
    assert_metrics(
        &score(&captioned[at..=at]).corpus,
        &one["scores"],
        "one picture",
    );
}

#[test]
fn scores_of_a_thousand_coco_captions_are_the_published_ones() {
    let Some(path) = metrics_file("golden_model_1000.json") else {
        return;
    };
    let golden = read(&path);
    let cut = read(&path.with_file_name("tokenised_1000.json"));
    let each = golden["per_image"].as_array().unwrap();
    let items: Vec<Captioned> = each
        .iter()
        .map(|image| {
            let id = image["id"].to_string();
            let references = cut["gts"][&id].as_array().unwrap();
            Captioned {
                candidate: words(&cut["res"][&id][0]),
                references: references.iter().map(words).collect(),
            }
        })
        .collect();
    assert_eq!(items.len(), 1000);
    let scored = score(&items);
    let corpus = &golden["corpus"];
    for (ours, theirs) in scored
        .corpus
        .bleu
        .iter()
        .zip(corpus["Bleu"].as_array().unwrap())
    {
        assert_near(*ours, theirs, "BLEU");
    }
    assert_near(scored.corpus.cider, &corpus["CIDEr"], "CIDEr-D");
    assert_near(scored.corpus.rouge_l, &corpus["ROUGE_L"], "ROUGE-L");
    for (image, metrics) in each.iter().zip(&scored.each) {
        let what = format!("picture {}", image["id"]);
        assert_near(metrics.bleu[3], &image["Bleu_4"], &what);
        assert_near(metrics.cider, &image["CIDEr"], &what);
        assert_near(metrics.rouge_l, &image["ROUGE_L"], &what);
    }
}

#[test]
fn scores_are_those_that_nlg_eval_publishes() {
    let Some(path) = metrics_file("hyp.txt") else {
        return;
    };
    let lines = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(path.with_file_name(name)).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    let [hyp, ref1, ref2] = ["hyp.txt", "ref1.txt", "ref2.txt"].map(lines);
    let cut = |line: &String| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
    let items: Vec<Captioned> = (0..hyp.len())
        .map(|i| Captioned {
            candidate: cut(&hyp[i]),
            references: vec![cut(&ref1[i]), cut(&ref2[i])],
        })
        .collect();
    let corpus = score(&items).corpus;
    let published = [0.550000, 0.428174, 0.284043, 0.201143];
    for (ours, theirs) in corpus.bleu.iter().zip(published) {
        assert_near(*ours, &json!(theirs), "BLEU");
    }
    assert_near(corpus.rouge_l, &json!(0.522104), "ROUGE-L");
    assert_near(corpus.cider, &json!(1.242192), "CIDEr-D");
}

#[test]
fn texts_without_words_score_nothing_and_break_nothing() {
    let items = [
        Captioned::new("", ["a dog runs"]),
        Captioned::new("a dog runs", [""]),
        Captioned::new("a cat sits here", ["a cat sits here"]),
    ];
    let scored = score(&items);
    for metrics in &scored.each[..2] {
        assert!(metrics.cider == 0.0 && metrics.rouge_l == 0.0 && metrics.bleu[3] < 1e-6);
    }
    assert!(scored.each[2].bleu[3] > 0.999 && scored.each[2].rouge_l > 0.999);
    assert_eq!(score(&[]).corpus.cider, 0.0);
}

/// A folder of pictures with captions and a tiny model.
struct Place {
    folder: tempfile::TempDir,
    captioner: Captioner,
}

impl Place {
    /// `rows` of picture name and caption; pictures named `broken` are none.
    fn new(rows: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = String::new();
        for (at, (name, caption)) in rows.iter().enumerate() {
            let path = folder.path().join(name);
            match name.starts_with("broken") {
                true => fs::write(path, b"no picture").unwrap(),
                false => image::RgbImage::from_fn(40, 30, |x, y| {
                    image::Rgb([(x * 6) as u8, (y * 8) as u8, (at * 60) as u8])
                })
                .save(path)
                .unwrap(),
            }
            lines += &format!(
                "{}\n",
                json!({"image": name, "captions": [caption, "a thing"]})
            );
        }
        fs::write(folder.path().join("captions.jsonl"), lines).unwrap();
        write_tiny_package(&folder.path().join("package"), 9).unwrap();
        let package = Folder::new(folder.path().join("package"));
        let device = Device::flex();
        let loading = Captioner::load(package, |_| {}, &device);
        let captioner = pollster::block_on(loading).unwrap();
        Self { folder, captioner }
    }

    fn run(
        &self,
        eval: &CaptionEval,
        bad: &std::sync::Arc<BadRows>,
        stop_after: u64,
    ) -> Result<CaptionReport, EvalError> {
        let config: DatasetConfig = serde_json::from_value(json!({
            "source": {"kind": "captions", "file": "captions.jsonl", "images": "."},
        }))
        .unwrap();
        let config = DatasetConfig {
            captions: Captions::All,
            ..config
        };
        let data = config.open(self.folder.path(), bad).unwrap();
        let running = eval.run(&self.captioner, &*data, bad, |now| {
            assert_eq!(now.count, Some(eval.limit.unwrap_or(4).min(4)));
            match now.done >= stop_after {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        pollster::block_on(running)
    }
}

const ROWS: &[(&str, &str)] = &[
    ("a.png", "a red thing"),
    ("broken.png", "nothing"),
    ("c.png", "a blue thing"),
    ("d.png", "a green thing"),
];

fn eval(batch: usize) -> CaptionEval {
    CaptionEval {
        batch,
        limit: None,
        beams: None,
        pictures: false,
        compat: false,
    }
}

#[test]
fn a_data_set_is_captioned_and_what_is_broken_left_out() {
    let place = Place::new(ROWS);
    let run = |batch| {
        let bad = BadRows::new(10, |row| {
            assert!(row.to_string().contains("captions.jsonl"))
        });
        let mut report = place.run(&eval(batch), &bad, u64::MAX).unwrap();
        assert_eq!(bad.count(), 1);
        report.seconds = 0.0;
        report
    };
    let report = run(2);
    assert_eq!((report.pictures, report.captions.len()), (3, 3));
    assert_eq!(report.captions[1].references, ["a blue thing", "a thing"]);
    assert!(report.distinct > 0.0 && report.distinct <= 1.0);
    assert_eq!(report, run(100), "the size of a batch changes no caption");
    let object = serde_json::to_value(&report).unwrap();
    assert_eq!(object["pictures"], 3);
    assert_eq!(object["captions"][1]["caption"], report.captions[1].caption);
    assert!(object["metrics"]["cider"].is_f64() && object["captions"][0]["shown"].is_null());
    assert!(report.to_string().contains("| CIDEr-D"));
}

#[test]
fn an_evaluation_stops_where_it_is_told() {
    let place = Place::new(ROWS);
    let bad = BadRows::new(10, |_| ());
    let limited = CaptionEval {
        limit: Some(2),
        pictures: true,
        ..eval(8)
    };
    let report = place.run(&limited, &bad, u64::MAX).unwrap();
    assert_eq!((report.pictures, report.stopped), (2, false));
    let html = report.html();
    assert_eq!(html.matches("data:image/jpeg").count(), 2);
    // A map for each picture and scale.
    let scales = html.matches("<svg").count() / 2;
    assert!(
        scales > 0 && html.matches(": kept ").count() == 2 * scales,
        "{scales}"
    );
    let searched = CaptionEval {
        beams: Some(Beams {
            count: 1,
            length_penalty: 1.0,
        }),
        ..limited
    };
    let again = place.run(&searched, &bad, u64::MAX).unwrap();
    assert_eq!(again.captions[1].caption, report.captions[1].caption);
    let report = place.run(&eval(1), &bad, 2).unwrap();
    assert_eq!((report.pictures, report.stopped), (2, true));
    assert!(report.to_string().contains("2 pictures (stopped)"));
    let none = place.run(&eval(0), &bad, 0).unwrap_err();
    assert!(none.to_string().contains("batch: is 0"), "{none}");
}

#[test]
fn too_many_broken_pictures_are_an_error() {
    let place = Place::new(ROWS);
    let error = place
        .run(&eval(2), &BadRows::new(0, |_| ()), u64::MAX)
        .unwrap_err();
    assert!(matches!(error, EvalError::Data(_)), "{error}");
}
