//! Recipes: shipped settings, a config file over them, single settings over both.

use std::fs;
use std::path::{Path, PathBuf};

use adem_model::config::LlamaConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::error::TrainError;
use crate::scenes::ScenesConfig;
use crate::task::TaskConfig;

/// The shipped recipes: name and settings.
const SHIPPED: [(&str, &str); 6] = [
    ("scenes", include_str!("../recipes/scenes.toml")),
    ("coco-caption", include_str!("../recipes/coco-caption.toml")),
    ("scienceqa", include_str!("../recipes/scienceqa.toml")),
    ("instruction", include_str!("../recipes/instruction.toml")),
    ("flickr8k", include_str!("../recipes/flickr8k.toml")),
    ("photo", include_str!("../recipes/photo.toml")),
];

/// What is to be trained.
#[derive(Debug, Clone, PartialEq)]
pub enum Recipe {
    /// The shipped model of drawn scenes, from nothing.
    Scenes(Box<ScenesConfig>),
    /// ADEM-VL on a data set, its frozen parts given or trained first.
    Task(Box<TaskConfig>),
}

impl Recipe {
    /// Refuses settings that cannot be run, before anything is read or written.
    ///
    /// # Errors
    /// [`TrainError::Config`] or [`TrainError::Model`], naming the field.
    pub fn validate(&self) -> Result<(), TrainError> {
        match self {
            Self::Scenes(config) => config.validate(),
            Self::Task(config) => config.validate().and_then(|()| config.validate_weights()),
        }
    }
}

/// Names of the shipped recipes.
pub fn shipped() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// Where a recipe's settings come from, each over those before it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Source {
    /// A shipped recipe.
    pub recipe: Option<String>,
    /// A TOML file; its `recipe` names the shipped recipe that it changes.
    pub file: Option<PathBuf>,
    /// Single settings, `path.of.key=value` with a TOML value.
    pub set: Vec<String>,
}

impl Source {
    /// Reads the settings.
    ///
    /// # Errors
    /// [`TrainError::Settings`] naming the file (or shipped recipe) and the key at fault.
    pub fn read(&self) -> Result<Recipe, TrainError> {
        let mut layers = Vec::new();
        if let Some(path) = &self.file {
            layers.push(read_file(path)?);
        }
        for setting in &self.set {
            layers.push(Layer::of_setting(setting)?);
        }
        let named = layers.iter().find_map(|layer| layer.recipe.clone());
        let recipe = match (&self.recipe, named) {
            (Some(asked), Some(named)) if *asked != named => {
                return Err(TrainError::Settings {
                    origin: "--recipe".to_owned(),
                    key: "recipe".to_owned(),
                    message: format!("is {asked}, but the config file says {named}"),
                });
            }
            (Some(asked), _) => asked.clone(),
            (None, Some(named)) => named,
            (None, None) => {
                let names: Vec<_> = shipped().collect();
                return Err(TrainError::Settings {
                    origin: layers
                        .first()
                        .map_or_else(|| "the command line".to_owned(), |l| l.origin.clone()),
                    key: "recipe".to_owned(),
                    message: format!("is not given; name one of {}", names.join(", ")),
                });
            }
        };
        let shipped = Layer::shipped(&recipe)?;
        layers.insert(0, shipped);
        match recipe.as_str() {
            "scenes" => Ok(Recipe::Scenes(merge::<ScenesConfig>(layers)?.into())),
            _ => Ok(Recipe::Task(merge::<TaskConfig>(layers)?.into())),
        }
    }
}

/// Settings of one origin.
struct Layer {
    origin: String,
    recipe: Option<String>,
    table: Table,
}

impl Layer {
    fn new(origin: String, text: &str) -> Result<Self, TrainError> {
        let mut table: Table = text
            .parse()
            .map_err(|e: toml::de::Error| TrainError::Settings {
                origin: origin.clone(),
                key: "TOML".to_owned(),
                message: e.to_string(),
            })?;
        let mut layer = Self {
            recipe: None,
            table: Table::new(),
            origin,
        };
        layer.recipe = layer.word(&mut table, "recipe")?;
        if let Some(size) = layer.word(&mut table, "size")? {
            let llama = layer.size(&size)?;
            let model = Table::from_iter([("llama".to_owned(), Value::Table(llama))]);
            let preset = Table::from_iter([("model".to_owned(), Value::Table(model))]);
            overlay(&mut layer.table, preset, None);
        }
        overlay(&mut layer.table, table, None);
        Ok(layer)
    }

    fn shipped(name: &str) -> Result<Self, TrainError> {
        let found = SHIPPED.iter().find(|(n, _)| *n == name);
        let Some((_, text)) = found else {
            let names: Vec<_> = shipped().collect();
            return Err(TrainError::Settings {
                origin: "recipe".to_owned(),
                key: name.to_owned(),
                message: format!("is not shipped; there are {}", names.join(", ")),
            });
        };
        Self::new(format!("recipe {name}"), text)
    }

    fn of_setting(setting: &str) -> Result<Self, TrainError> {
        let origin = format!("--set {setting}");
        let Some((key, value)) = setting.split_once('=') else {
            return Err(TrainError::Settings {
                origin,
                key: setting.to_owned(),
                message: "has no value; write key=value".to_owned(),
            });
        };
        // A bare word is taken for a text, so that paths need no quotes inside quotes.
        let text = format!("{} = {value}", key.trim());
        let quoted = || format!("{} = {}", key.trim(), Value::String(value.to_owned()));
        match text.parse::<Table>() {
            Ok(_) => Self::new(origin, &text),
            Err(_) => Self::new(origin, &quoted()),
        }
    }

    /// Takes the text under `key` out of a table.
    fn word(&self, table: &mut Table, key: &str) -> Result<Option<String>, TrainError> {
        match table.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.refuse(key, "must be a text")),
        }
    }

    /// The decoder's sizes under their usual name.
    fn size(&self, name: &str) -> Result<Table, TrainError> {
        let base = LlamaConfig::default();
        let config = match name {
            "llama-7b" => base,
            "llama-13b" => LlamaConfig {
                dim: 5120,
                n_layers: 40,
                n_heads: 40,
                ffn_hidden: 13824,
                ..base
            },
            _ => return Err(self.refuse("size", "must be llama-7b or llama-13b")),
        };
        Table::try_from(config).map_err(|e| self.refuse("size", &e.to_string()))
    }

    fn refuse(&self, key: &str, message: &str) -> TrainError {
        TrainError::Settings {
            origin: self.origin.clone(),
            key: key.to_owned(),
            message: message.to_owned(),
        }
    }
}

fn read_file(path: &Path) -> Result<Layer, TrainError> {
    let text = fs::read_to_string(path).map_err(|e| TrainError::file(path, e))?;
    Layer::new(path.display().to_string(), &text)
}

/// Puts the layers over the settings' defaults, one after the other; the first one that does not
/// fit is named.
fn merge<C: DeserializeOwned + Serialize + Default>(layers: Vec<Layer>) -> Result<C, TrainError> {
    let mut merged = Table::try_from(C::default()).map_err(|e| TrainError::Settings {
        origin: "the program's own settings".to_owned(),
        key: "TOML".to_owned(),
        message: e.to_string(),
    })?;
    let usual = merged.clone();
    let mut config = C::default();
    for layer in layers {
        overlay(&mut merged, layer.table.clone(), Some(&usual));
        config = serde_path_to_error::deserialize(Value::Table(merged.clone())).map_err(|e| {
            TrainError::Settings {
                origin: layer.origin.clone(),
                key: e.path().to_string(),
                message: e.inner().to_string().trim().to_owned(),
            }
        })?;
    }
    Ok(config)
}

/// Puts `over` on top of `under`, table by table. `false` takes away a table, and what is not there
/// by default, which is `usual`.
fn overlay(under: &mut Table, over: Table, usual: Option<&Table>) {
    for (key, value) in over {
        let by_default = usual.map(|usual| usual.get(&key));
        match (under.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) if same_kind(below, &above) => {
                let usual = by_default.flatten().and_then(Value::as_table);
                overlay(below, above, usual);
            }
            (Some(there), Value::Boolean(false))
                if there.is_table() || by_default == Some(None) =>
            {
                under.remove(&key);
            }
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// Whether two tables say nothing else of what they are: the keys of one layout of a data set mean
/// nothing in another.
fn same_kind(below: &Table, above: &Table) -> bool {
    match (below.get("kind"), above.get("kind")) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}
