//! Vision towers from Hugging Face's folders and OpenAI's files.

use std::fs;
use std::path::{Path, PathBuf};

use adem_import::ImportOptions;
use adem_tests::golden::{self, Tensors};
use serde_json::json;

use crate::files::{Named, golden as all, pth, safetensors};
use crate::folders::{Place, assert_equal, small_tokenizer};

fn fixtures() -> Vec<PathBuf> {
    golden::entries("clip", |path| path.join("model.safetensors").exists())
}

/// What every path must give: OpenAI's tensors are the package's, but for the head.
fn wanted(fixture: &Path) -> Vec<Named> {
    let tensors = all(&Tensors::open(&fixture.join("openai.safetensors")));
    let own = tensors.into_iter().filter(|it| it.name != "visual.proj");
    own.map(|it| Named {
        name: format!("backbone.{}", it.name),
        ..it
    })
    .collect()
}

#[test]
fn hugging_faces_and_openais_towers_are_the_same() {
    for fixture in fixtures() {
        let what = golden::name(&fixture);
        let config = golden::json(&fixture.join("config.json"));
        let vision = all(&Tensors::open(&fixture.join("model.safetensors")));
        let openai = all(&Tensors::open(&fixture.join("openai.safetensors")));
        let place = Place::new();
        place.json("tokenizer.json", &small_tokenizer());
        // CLIPVisionModel.
        place.json("vision/config.json", &config);
        place.put("vision/model.safetensors", safetensors(&vision));
        let [mean, std] = [[0.5, 0.25, 0.125], [1.0, 2.0, 0.5]];
        let preprocessor = json!({"image_mean": mean, "image_std": std});
        place.json("vision/preprocessor_config.json", &preprocessor);
        // CLIPModel: both towers, and buffers that older versions saved.
        let both = json!({"model_type": "clip", "vision_config": config, "text_config": {}});
        place.json("both/config.json", &both);
        let mut towers = vision.clone();
        towers.push(Named::counted(
            "text_model.final_layer_norm.weight",
            &[4],
            0,
        ));
        towers.push(Named::counted("visual_projection.weight", &[4, 4], 0));
        towers.push(Named::counted("logit_scale", &[], 0));
        towers.push(Named::counted(
            "vision_model.embeddings.position_ids",
            &[1, 3],
            0,
        ));
        place.put("both/pytorch_model.bin", pth(&towers));
        // OpenAI's state dict, the text tower in it.
        let mut state = openai.clone();
        state.push(Named::counted(
            "transformer.resblocks.0.ln_1.weight",
            &[4],
            0,
        ));
        state.push(Named::counted("positional_embedding", &[2, 4], 0));
        state.push(Named::counted("text_projection", &[4, 4], 0));
        state.push(Named::counted("input_resolution", &[], 0));
        place.put("openai.pth", pth(&state));

        let options = ImportOptions {
            vision_heads: config["num_attention_heads"].as_u64(),
            ..ImportOptions::default()
        };
        // A compact fixture has no projection to the text's space.
        let projections = openai.iter().filter(|t| t.name == "visual.proj").count();
        for (source, left_out) in [("vision", 0), ("both", 4), ("openai.pth", 4 + projections)] {
            let report = place.import(&[source, "tokenizer.json"], &options).unwrap();
            let (manifest, found) = place.package();
            let what = format!("{what}, {source}");
            assert_equal(&found, &wanted(&fixture), &what);
            assert_eq!(report.left_out.len(), left_out, "{what}");
            let clip = &manifest.model["clip"];
            for (ours, theirs) in [
                ("image_size", "image_size"),
                ("patch", "patch_size"),
                ("width", "hidden_size"),
                ("layers", "num_hidden_layers"),
                ("heads", "num_attention_heads"),
                ("ln_eps", "layer_norm_eps"),
            ] {
                assert_eq!(clip[ours], config[theirs], "{what}: {ours}");
            }
            assert_eq!(clip["run_layers"], -1);
            let own = source == "vision";
            assert_eq!(manifest.image.mean == mean, own, "{what}");
        }
    }
}

#[test]
fn towers_that_are_not_openais_are_refused_by_field() {
    let fixture = fixtures().remove(0);
    let place = Place::new();
    place.json("tokenizer.json", &small_tokenizer());
    let tensors = all(&Tensors::open(&fixture.join("model.safetensors")));
    place.put("clip/model.safetensors", safetensors(&tensors));
    for (field, value) in [
        ("hidden_act", json!("gelu")),
        ("intermediate_size", json!(100)),
        ("num_channels", json!(1)),
        ("patch_size", json!(7)),
        ("model_type", json!("siglip")),
    ] {
        let mut config = golden::json(&fixture.join("config.json"));
        config[field] = value;
        place.json("clip/config.json", &config);
        let error = place.refused(&["clip", "tokenizer.json"], &ImportOptions::default());
        assert!(error.contains(field), "{field}: {error}");
    }
}

#[test]
fn a_tower_alone_has_no_tokenizer_and_says_what_to_give() {
    let fixture = fixtures().remove(0);
    let place = Place::new();
    let tensors = all(&Tensors::open(&fixture.join("model.safetensors")));
    place.put("clip/model.safetensors", safetensors(&tensors));
    place.json(
        "clip/config.json",
        &golden::json(&fixture.join("config.json")),
    );
    let error = place.refused(&["clip"], &ImportOptions::default());
    assert!(error.contains("--tokenizer"), "{error}");
}

/// A plain ViT of one block and patches of 2, for pictures of 4 by 4.
fn vit(prefix: &str) -> Vec<Named> {
    let inside = format!("{prefix}encoder.layer.0");
    let mut shapes = vec![
        (format!("{prefix}embeddings.cls_token"), vec![1, 1, 4]),
        (
            format!("{prefix}embeddings.position_embeddings"),
            vec![1, 5, 4],
        ),
        (format!("{prefix}layernorm.weight"), vec![4]),
        (format!("{prefix}layernorm.bias"), vec![4]),
    ];
    let mut layer = |name: String, shape: Vec<usize>| {
        shapes.push((format!("{name}.bias"), vec![shape[0]]));
        shapes.push((format!("{name}.weight"), shape));
    };
    let patches = format!("{prefix}embeddings.patch_embeddings.projection");
    layer(patches, vec![4, 3, 2, 2]);
    for part in ["query", "key", "value"] {
        layer(format!("{inside}.attention.attention.{part}"), vec![4, 4]);
    }
    layer(format!("{inside}.attention.output.dense"), vec![4, 4]);
    layer(format!("{inside}.intermediate.dense"), vec![16, 4]);
    layer(format!("{inside}.output.dense"), vec![4, 16]);
    for norm in ["before", "after"] {
        shapes.push((format!("{inside}.layernorm_{norm}.weight"), vec![4]));
        shapes.push((format!("{inside}.layernorm_{norm}.bias"), vec![4]));
    }
    let shapes = shapes.iter().enumerate();
    shapes
        .map(|(i, (name, shape))| Named::counted(name, shape, 100 * i))
        .collect()
}

#[test]
fn plain_vits_with_a_head_and_without_are_read_by_name() {
    let place = Place::new();
    place.json("tokenizer.json", &small_tokenizer());
    let mut with_head = vit("vit.");
    with_head.push(Named::counted("classifier.weight", &[3, 4], 7));
    with_head.push(Named::counted("classifier.bias", &[3], 8));
    let mut without = vit("");
    without.push(Named::counted("pooler.dense.weight", &[4, 4], 9));
    let config = json!({
        "model_type": "vit", "hidden_act": "gelu", "hidden_size": 4, "image_size": 4,
        "intermediate_size": 16, "layer_norm_eps": 1e-6, "num_attention_heads": 2,
        "num_channels": 3, "qkv_bias": true,
    });
    place.json("vit/config.json", &config);
    for (tensors, classes) in [(with_head, 3), (without, 0)] {
        place.put("vit/model.safetensors", safetensors(&tensors));
        // By its shapes alone, without the config, too.
        place.put("alone.safetensors", safetensors(&tensors));
        for (source, heads, eps) in [("vit", 2, 1e-6), ("alone.safetensors", 1, 1e-12)] {
            let sources = [source, "tokenizer.json"];
            place.import(&sources, &ImportOptions::default()).unwrap();
            let (manifest, found) = place.package();
            let clip = &manifest.model["clip"];
            assert_eq!(clip["layout"], json!({"vit": {"classes": classes}}));
            assert_eq!(
                (&clip["heads"], &clip["ln_eps"]),
                (&json!(heads), &json!(eps))
            );
            assert_eq!(
                (&clip["image_size"], &clip["patch"]),
                (&json!(4), &json!(2))
            );
            assert_eq!(manifest.image.mean, [0.5; 3]);
            let of = |end: &str| tensors.iter().find(|it| it.name.ends_with(end)).unwrap();
            let packed = &found["backbone.visual.transformer.resblocks.0.attn.in_proj_weight"];
            let parts =
                ["query", "key", "value"].map(|it| of(&format!("{it}.weight")).values.clone());
            assert_eq!(packed.values, parts.concat());
            let positions = &found["backbone.visual.positional_embedding"];
            assert_eq!(positions.shape, [5, 4]);
            assert_eq!(positions.values, of("position_embeddings").values);
            assert_eq!(
                found.contains_key("backbone.visual.head.weight"),
                classes > 0
            );
            // The package is a source like any other.
            fs::rename(place.path("package"), place.path("first")).unwrap();
            place
                .import(&["first", "tokenizer.json"], &ImportOptions::default())
                .unwrap();
            assert_eq!(place.package().1, found);
            fs::remove_dir_all(place.path("first")).unwrap();
        }
    }
    for (field, value) in [
        ("hidden_act", json!("gelu_new")),
        ("qkv_bias", json!(false)),
        ("intermediate_size", json!(8)),
        ("image_size", json!(8)),
    ] {
        let mut other = config.clone();
        other[field] = value;
        place.json("vit/config.json", &other);
        let error = place.refused(&["vit", "tokenizer.json"], &ImportOptions::default());
        assert!(error.contains(field), "{field}: {error}");
    }
}
