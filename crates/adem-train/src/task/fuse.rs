//! The stages of a run that train the whole model's captions: ADEM-VL tuning of frozen parts, and
//! everything together after it where the config asks for it; then the package.

use std::sync::Arc;

use adem_model::nn::Builder;
use adem_model::{AdemVl, RandomInit};
use serde_json::{Value, json};

use super::cache::FeatureCache;
use super::features::frozen_features;
use super::package::{blueprint, whole_blueprint};
use super::run::{Run, epochs_rate};
use super::self_critical::SelfCritical;
use super::tune::{Trained, Tune};
use crate::checkpoint::Tensors;
use crate::error::TrainError;
use crate::export::export;
use crate::progress::Log;
use crate::run::{Outcome, StagePlan, run_stage};
use crate::scenes::Stopped;
use crate::stage::Stage;
use crate::weights::{Layers, WeightFiles};

/// What the steps of the stage `joint` are.
const TOGETHER: &str = "of everything together";

impl Run<'_> {
    /// Tunes what was trained first or is given, trains all of it together where that is asked for,
    /// and writes the package.
    pub(super) fn fuse(
        &mut self,
        frozen: Vec<Tensors>,
        log: &mut Log,
    ) -> Result<Stopped, TrainError> {
        let Some(tuned) = self.tune(&frozen, log)? else {
            return Ok(Stopped::Yes);
        };
        let parts = std::iter::once(tuned).chain(frozen).collect();
        let Some(parts) = self.join(parts, log)? else {
            return Ok(Stopped::Yes);
        };
        if let Stopped::Yes = self.criticise(parts, log)? {
            return Ok(Stopped::Yes);
        }
        let config = &self.prepared.config;
        if config.save.package {
            (self.report)("writing the package");
            let newest = match (&config.self_critical, &config.joint) {
                (Some(_), _) => "self_critical.safetensors",
                (None, Some(_)) => "joint.safetensors",
                (None, None) => "tune.safetensors",
            };
            export(self.folder, Some(newest), &self.folder.join("package"))?;
        }
        Ok(Stopped::No)
    }

    /// What both stages' results depend on.
    fn settings(&self) -> Value {
        let p = &self.prepared;
        let (c, t) = (&p.config, &p.config.tune);
        json!({
            "seed": c.seed, "adamw": c.adamw, "model": p.model, "see": c.see, "read": c.read,
            "weights": p.files.as_ref().map(WeightFiles::fingerprint),
            "precision": c.weights.precision, "prompts": c.prompts,
            "normalisation": c.normalisation, "data": p.data.source.name(),
            "samples": p.samples, "augment": c.tune_augment(),
            "captions": p.data.config.captions, "caption_style": p.data.config.caption_style,
            "epochs": t.epochs, "warmup_epochs": t.warmup_epochs, "batch": t.batch,
            "micro_batch": t.micro_batch, "blr": t.blr, "min_lr": t.min_lr,
            "max_tokens": t.max_tokens, "adapter_dropout": t.adapter_dropout, "clip": t.clip,
            "pool": t.pool, "rule": t.rule, "not_finite": c.not_finite,
        })
    }

    /// What both stages' plans have.
    fn fusing(&self, stage: &str, steps: u64, settings: &Value) -> StagePlan {
        let p = &self.prepared;
        let t = &p.config.tune;
        let per_epoch = p.steps_per_epoch();
        StagePlan {
            accumulate: (t.batch / t.micro_batch) as u64,
            clip: t.clip,
            validate_steps: p
                .config
                .validation
                .as_ref()
                .map(|v| v.every_steps.unwrap_or(per_epoch)),
            ..self.plan(stage, steps, p.tune_rate(), settings)
        }
    }

    /// What is trained of it; `None` when the run was stopped.
    fn tune(&mut self, frozen: &[Tensors], log: &mut Log) -> Result<Option<Tensors>, TrainError> {
        let p = &self.prepared;
        let t = &p.config.tune;
        let steps = (t.epochs * p.steps_per_epoch() as f64).round() as u64;
        let plan = StagePlan {
            rule: t.rule,
            package: Some(blueprint(p)?.to_text()?),
            ..self.fusing("tune", steps, &self.settings())
        };
        let cache = match t.cache_features {
            false => None,
            true => match self.features(frozen)? {
                Some(cache) => Some(Arc::new(cache)),
                None => return Ok(None),
            },
        };
        let stage = self
            .prepared
            .tune_stage(Trained::Adapters, cache, Some(self.folder));
        let (model, device) = (self.prepared.model.clone(), self.device.clone());
        let mut files = self.prepared.files.take();
        let seed = self.prepared.config.seed;
        let precision = self.prepared.config.weights.precision;
        let outcome = run_stage(
            Arc::new(stage),
            &plan,
            |saved| {
                let mut trained = frozen.to_vec();
                trained.extend(saved);
                let mut source = Layers {
                    trained,
                    files: files.as_mut(),
                    random: RandomInit::new(seed),
                    may_draw: AdemVl::is_trained,
                };
                let mut b = Builder::new(&mut source, &device).with_frozen(precision.dtype());
                Ok(AdemVl::build(&model, &mut b)?)
            },
            log,
            self.stop,
        );
        self.prepared.files = files;
        match outcome? {
            Outcome::Finished(tensors) => Ok(Some(tensors)),
            Outcome::Stopped => Ok(None),
        }
    }

    /// Trains everything together from `parts`, where that is asked for; `None` when the run was
    /// stopped.
    fn join(
        &mut self,
        parts: Vec<Tensors>,
        log: &mut Log,
    ) -> Result<Option<Vec<Tensors>>, TrainError> {
        let p = &self.prepared;
        let Some(joint) = p.config.joint.clone() else {
            return Ok(Some(parts));
        };
        let per_epoch = p.steps_per_epoch();
        let steps = (joint.epochs * per_epoch as f64).round() as u64;
        let mut settings = self.settings();
        if let Some(settings) = settings.as_object_mut() {
            settings.insert("joint".to_owned(), json!(joint));
        }
        let plan = StagePlan {
            rule: joint.rule,
            rate: epochs_rate(joint.lr, joint.warmup_epochs, joint.epochs, per_epoch),
            package: Some(whole_blueprint(p, &[], TOGETHER)?.to_text()?),
            ..self.fusing("joint", steps, &settings)
        };
        let stage = p.tune_stage(Trained::Everything, None, Some(self.folder));
        let joined = self.together(stage, &plan, parts, log)?;
        Ok(joined.map(|all| vec![all]))
    }

    /// Trains everything by how its own captions are judged, where that is asked for.
    fn criticise(&mut self, parts: Vec<Tensors>, log: &mut Log) -> Result<Stopped, TrainError> {
        let p = &self.prepared;
        let Some(critical) = p.config.self_critical.clone() else {
            return Ok(Stopped::No);
        };
        let data = p.described()?;
        let captions = data.captions_by_picture()?;
        let batch = p.config.tune.batch as u64;
        let per_epoch = (captions.len() as u64 / batch).max(1);
        let steps = (critical.epochs * per_epoch as f64).round() as u64;
        let mut settings = self.settings();
        if let Some(settings) = settings.as_object_mut() {
            settings.insert("joint".to_owned(), json!(p.config.joint));
            settings.insert("self_critical".to_owned(), json!(critical));
        }
        let joint = p.config.joint.as_ref().map(|j| (j.epochs, TOGETHER));
        let before: Vec<_> = joint.into_iter().collect();
        let blueprint = whole_blueprint(p, &before, "of self-critical training")?;
        let (warmup, epochs) = (critical.warmup_epochs, critical.epochs);
        let fusing = self.fusing("self_critical", steps, &settings);
        let plan = StagePlan {
            rule: critical.rule,
            rate: epochs_rate(critical.lr, warmup, epochs, per_epoch),
            package: Some(blueprint.to_text()?),
            validate_steps: fusing.validate_steps.map(|every| every.min(per_epoch)),
            ..fusing
        };
        let tune = Tune {
            data,
            ..p.tune_stage(Trained::Everything, None, Some(self.folder))
        };
        let cider = SelfCritical::cider(&captions);
        let stage = SelfCritical {
            config: critical,
            tune,
            cider,
        };
        let trained = self.together(stage, &plan, parts, log)?;
        Ok(match trained {
            Some(_) => Stopped::No,
            None => Stopped::Yes,
        })
    }

    /// Runs a stage that trains the whole model from `parts`, in single precision; `None` when it
    /// was stopped.
    fn together<S: Stage<Model = AdemVl>>(
        &mut self,
        stage: S,
        plan: &StagePlan,
        parts: Vec<Tensors>,
        log: &mut Log,
    ) -> Result<Option<Tensors>, TrainError> {
        let (model, device) = (self.prepared.model.clone(), self.device.clone());
        let mut files = self.prepared.files.take();
        let outcome = run_stage(
            Arc::new(stage),
            plan,
            |saved| {
                let mut source = Layers {
                    trained: saved.map_or(parts, |saved| vec![saved]),
                    files: files.as_mut(),
                    random: RandomInit::new(0),
                    may_draw: |_| false,
                };
                Ok(AdemVl::new(&model, &mut source, &device)?)
            },
            log,
            self.stop,
        );
        self.prepared.files = files;
        match outcome? {
            Outcome::Finished(tensors) => Ok(Some(tensors)),
            Outcome::Stopped => Ok(None),
        }
    }

    /// The features of all pictures, where they are cached; `None` when the run was stopped.
    fn features(&mut self, frozen: &[Tensors]) -> Result<Option<FeatureCache>, TrainError> {
        (self.report)("encoding the pictures of the data set");
        let (device, stop) = (&self.device, self.stop);
        let p = &mut self.prepared;
        let own = p.config.save.features.clone();
        let folder = own.as_deref().unwrap_or(self.folder);
        frozen_features(p, frozen, folder, device, self.report, stop)
    }
}
