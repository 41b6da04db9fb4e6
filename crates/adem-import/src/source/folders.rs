//! Folders: Hugging Face's, Meta's and packages.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use adem_package::{MANIFEST_FILE, Manifest};

use super::{Adapters, Kind, Source};
use crate::config::ModelConfig;
use crate::error::ImportError;
use crate::input::Input;
use crate::json::Json;
use crate::limits;
use crate::map::language::{self, Naming};
use crate::map::vision;
use crate::tensors::TensorFile;
use crate::tokenizer::read_tokenizer;

pub(super) fn open(folder: &Path, heads: Option<u64>) -> Result<Source, ImportError> {
    if folder.join(MANIFEST_FILE).exists() {
        return package(folder);
    }
    let mut source = if let Some(params) = Json::find(&folder.join("params.json"))? {
        let files = open_all(&consolidated(folder)?)?;
        Source::meta(folder, files, &params)?
    } else if let Some(config) = Json::find(&folder.join("config.json"))? {
        let files = open_all(&weights(folder)?)?;
        Source::hugging_face(folder, files, &config, heads)?
    } else {
        alone(folder, heads)?
    };
    if source.llama.is_some() {
        tokenizer(folder, &mut source);
    }
    if let Some(json) = Json::find(&folder.join("preprocessor_config.json"))? {
        source.normalisation = normalisation(&json);
    }
    Ok(source)
}

fn refuse(folder: &Path, reason: &str) -> ImportError {
    ImportError::Folder {
        folder: folder.display().to_string(),
        reason: reason.to_owned(),
    }
}

/// The files of a folder whose names pass, sorted.
fn list(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, ImportError> {
    let entries = fs::read_dir(folder).map_err(|e| ImportError::io(folder, e))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| ImportError::io(folder, e))?.path();
        if path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(&wanted)
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn open_all(paths: &[PathBuf]) -> Result<Vec<TensorFile>, ImportError> {
    paths.iter().map(|path| TensorFile::open(path)).collect()
}

/// Meta's `consolidated.NN.pth`, none left out.
fn consolidated(folder: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let found = list(folder, |name| {
        name.starts_with("consolidated.") && name.ends_with(".pth")
    })?;
    let numbered = |index: usize| folder.join(format!("consolidated.{index:02}.pth"));
    if let Some(missing) = (0..found.len())
        .map(numbered)
        .find(|path| !found.contains(path))
    {
        let reason = format!("`{}` is missing", missing.display());
        return Err(refuse(folder, &reason));
    }
    match found.is_empty() {
        false => Ok(found),
        // The same tensors, saved without pickles.
        true => match folder.join("consolidated.safetensors") {
            path if path.exists() => Ok(vec![path]),
            _ => Err(refuse(
                folder,
                "it has `params.json` and no `consolidated.00.pth`",
            )),
        },
    }
}

/// The weight files of a Hugging Face folder.
fn weights(folder: &Path) -> Result<Vec<PathBuf>, ImportError> {
    for (index, whole) in [
        ("model.safetensors.index.json", "model.safetensors"),
        ("pytorch_model.bin.index.json", "pytorch_model.bin"),
    ] {
        if let Some(index) = Json::find(&folder.join(index))? {
            let names = indexed(&index)?;
            return Ok(names.iter().map(|name| folder.join(name)).collect());
        }
        let whole = folder.join(whole);
        if whole.exists() {
            return Ok(vec![whole]);
        }
    }
    Err(refuse(
        folder,
        "it has a `config.json` and neither `model.safetensors` nor `pytorch_model.bin`, nor an index of them",
    ))
}

/// The files an index names, which are in the folder itself.
pub(crate) fn indexed(index: &Json) -> Result<BTreeSet<String>, ImportError> {
    let Some(map) = index.object("weight_map") else {
        return Err(index.fault("weight_map", "is missing"));
    };
    let mut names = BTreeSet::new();
    for (tensor, file) in map.value().as_object().into_iter().flatten() {
        let name = file.as_str().filter(|name| is_plain(name));
        let name = name.ok_or_else(|| {
            map.fault(tensor, format!("is {file}, which is no file of the folder"))
        })?;
        names.insert(name.to_owned());
    }
    if names.is_empty() || names.len() > limits::FILES {
        let reason = format!("names {} files", names.len());
        return Err(index.fault("weight_map", reason));
    }
    Ok(names)
}

/// Whether `name` is a file directly in a folder.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && !name.contains(['/', '\\', ':', '\0'])
        && name.len() <= 255
}

/// A folder without a config: a single checkpoint that needs none, or a tokenizer.
fn alone(folder: &Path, heads: Option<u64>) -> Result<Source, ImportError> {
    let ends = [".safetensors", ".pth", ".pt", ".bin", ".gguf"];
    let files = list(folder, |name| ends.iter().any(|end| name.ends_with(end)))?;
    match files.as_slice() {
        [file] => Source::open(file, heads),
        [] => {
            let mut source = Source::new(folder, Kind::Tokenizer, Vec::new());
            tokenizer(folder, &mut source);
            match source.tokenizer {
                Some(_) => Ok(source),
                None => Err(refuse(
                    folder,
                    "it has no config.json, params.json, adem.json, checkpoint or tokenizer",
                )),
            }
        }
        _ => Err(refuse(
            folder,
            "it has several checkpoints and no config.json or params.json; name the files",
        )),
    }
}

/// The folder's tokenizer, or Meta's beside the folder: the first that can be read.
fn tokenizer(folder: &Path, source: &mut Source) {
    let mut places = vec![
        folder.join("tokenizer.json"),
        folder.join("tokenizer.model"),
    ];
    if source.kind == Kind::LlamaMeta
        && let Some(parent) = folder.parent()
    {
        places.push(parent.join("tokenizer.model"));
    }
    for place in places.into_iter().filter(|place| place.exists()) {
        match read_tokenizer(&place) {
            Ok(json) => {
                if let Some(Err(error)) = source.tokenizer.replace(Ok(json)) {
                    let place = place.display();
                    let note = format!("the tokenizer is that of `{place}`, because {error}");
                    source.notes.push(note);
                }
                return;
            }
            Err(error) => drop(source.tokenizer.get_or_insert(Err(error))),
        }
    }
}

fn normalisation(json: &Json) -> Option<[[f32; 3]; 2]> {
    let numbers = |field: &str| {
        let list = json.get(field)?.as_array()?;
        let list: Option<Vec<f32>> = list
            .iter()
            .map(|it| it.as_f64().map(|number| number as f32))
            .collect();
        <[f32; 3]>::try_from(list?).ok()
    };
    Some([numbers("image_mean")?, numbers("image_std")?])
}

/// A package: whatever parts it has, under the names they keep.
fn package(folder: &Path) -> Result<Source, ImportError> {
    let input = Input::open(&folder.join(MANIFEST_FILE))?;
    let bytes = input.whole("manifest", adem_package::limits::MANIFEST_BYTES)?;
    let manifest = Manifest::parse(&bytes)?;
    let model = serde_json::from_value::<ModelConfig>(manifest.model.clone());
    let model = model.map_err(|e| ImportError::config(input.name(), "model", e.to_string()))?;
    let paths: Vec<_> = manifest
        .shards
        .iter()
        .map(|shard| folder.join(&shard.file))
        .collect();
    let mut files = open_all(&paths)?;
    if let Some(quantisation) = &manifest.quantisation {
        let mut joined = 0;
        for file in &mut files {
            joined += file.join_quantised(&quantisation.tensors)?;
        }
        if joined != quantisation.tensors.len() {
            let reason = "its shards do not hold all weights that its manifest names; `adem verify` says more";
            return Err(refuse(folder, reason));
        }
    }
    let mut source = Source::new(folder, Kind::Package, files);
    let has = |name: &str| {
        let mut shards = manifest.shards.iter();
        shards.any(|shard| shard.tensors.iter().any(|tensor| tensor == name))
    };
    let fault = |field: &str, reason: &str| ImportError::config(input.name(), field, reason);
    if let Some(config) = model.llama {
        let config = language::checked(config, fault)?;
        let mapping = language::mapping(&config, Naming::Meta);
        source.llama = Some((config, mapping));
    }
    if let Some(config) = model.clip {
        let config = vision::checked(config, fault)?;
        let mapping = vision::openai(&config, "backbone.visual.");
        source.clip = Some((config, mapping));
    }
    if has("adapter_emb1") {
        let adem = &model.adem;
        let tokens = adem
            .down_sample
            .iter()
            .copied()
            .fold(0, u64::saturating_add);
        let sizes = [adem.hidden_proj, adem.clip_adapter_dim, tokens];
        if sizes.iter().any(|size| *size > limits::LARGEST) {
            return Err(fault("model.adem", "has sizes larger than any model's"));
        }
        source.adapters = Some(Adapters {
            config: model.adem,
            prefix: "",
        });
    }
    let tokenizer = read_tokenizer(&folder.join(&manifest.tokenizer.file))?;
    source.tokenizer = Some(Ok(tokenizer));
    source.normalisation = Some([manifest.image.mean, manifest.image.std]);
    source.manifest = Some(manifest);
    Ok(source)
}
