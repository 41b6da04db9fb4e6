//! A loaded model that can be asked.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use adem_data::image::{Limits, RgbImage, decode, pixels};
use adem_data::prompt::prompt_room;
use adem_data::tokenizer::Tokenizer;
use adem_kernels::variant::Format;
use adem_kernels::{Report, Watches, host, self_test_once, tune_once};
use adem_model::config::AdemConfig;
use adem_model::nn::Builder;
use adem_model::{AdemVl, GenerationOptions, ModelConfig, Prefix, Sampler, Sampling, VisualPrompt};
use adem_package::{Digest, Manifest, Package, Progress, WeightSource};
use burn::tensor::{Device, Tensor};

use crate::check::{self, Settings};
use crate::error::PipelineError;
use crate::fusion::FusionChange;
use crate::request::{Request, Task};
use crate::seen::Seen;
use crate::session::Session;
use crate::source::scheme_of;
use crate::stream::Streamed;

/// A model with its tokenizer, prompts and picture settings, on a device.
#[derive(Debug)]
pub struct Captioner {
    settings: Arc<Settings>,
    model: AdemVl,
    device: Device,
    /// Visual tokens that are kept; `None` for all.
    kept: Option<Range<usize>>,
    /// The fusion as it was trained.
    trained: AdemConfig,
    kernels: Arc<Report>,
    seen: RefCell<Seen>,
}

impl Captioner {
    /// Opens, checks and loads the package behind `source` onto `device`. `progress` is called
    /// every few megabytes.
    ///
    /// # Errors
    /// Everything a package can be refused for, naming the file, field or tensor.
    pub async fn load<S: WeightSource>(
        source: S,
        progress: impl FnMut(Progress),
        device: &Device,
    ) -> Result<Self, PipelineError> {
        Self::from_package(&Package::open(source).await?, progress, device).await
    }

    /// [`load`](Self::load) for a package that is open already.
    ///
    /// # Errors
    /// Those of [`load`](Self::load) that opening has not found.
    pub async fn from_package<S: WeightSource>(
        package: &Package<S>,
        progress: impl FnMut(Progress),
        device: &Device,
    ) -> Result<Self, PipelineError> {
        Self::build(package, progress, device, None).await
    }

    /// [`from_package`](Self::from_package) of a float package on the CPU backend, with `watches`
    /// that see what its weights are multiplied with.
    ///
    /// # Errors
    /// Those of [`from_package`](Self::from_package).
    pub async fn watched<S: WeightSource>(
        package: &Package<S>,
        progress: impl FnMut(Progress),
        device: &Device,
        watches: &mut Watches,
    ) -> Result<Self, PipelineError> {
        Self::build(package, progress, device, Some(watches)).await
    }

    async fn build<S: WeightSource>(
        package: &Package<S>,
        progress: impl FnMut(Progress),
        device: &Device,
        watches: Option<&mut Watches>,
    ) -> Result<Self, PipelineError> {
        let config = check::model_config(package.manifest())?;
        let settings = check::settings(package.manifest().clone(), package.tokenizer(), &config)?;
        let mut source = Streamed::load(package, progress, device).await?;
        let mut builder = Builder::new(&mut source, device)
            .for_inference()
            .watched(watches);
        let model = AdemVl::build(&config, &mut builder)?;
        source.finish()?;
        let mut formats = vec![Format::Float, Format::Across];
        if let Some(quantisation) = &package.manifest().quantisation {
            let schemes = quantisation.tensors.iter().map(|tensor| tensor.scheme);
            formats.extend(schemes.map(|scheme| Format::from(scheme_of(scheme))));
        }
        tune_once(device, &formats).await;
        let kernels = self_test_once(device, &formats).await;
        Ok(Self {
            settings: Arc::new(settings),
            model,
            device: device.clone(),
            kept: None,
            trained: config.adem,
            kernels: Arc::new(kernels),
            seen: RefCell::default(),
        })
    }

    /// The same model with another fusion; the weights are shared, not copied.
    ///
    /// # Errors
    /// A setting that is impossible, or needs weights the model does not have.
    pub fn with_fusion(&self, change: &FusionChange) -> Result<Self, PipelineError> {
        let trained = &self.model.config().adem;
        let kept = change.kept(trained)?.or_else(|| self.kept.clone());
        let mut model = self.model.clone();
        model.set_fusion(change.applied_to(trained))?;
        Ok(Self {
            settings: Arc::clone(&self.settings),
            model,
            device: self.device.clone(),
            kept,
            trained: self.trained.clone(),
            kernels: Arc::clone(&self.kernels),
            seen: RefCell::default(),
        })
    }

    /// Changes this model's fusion, from what it was trained with. Pictures seen before are not
    /// encoded again.
    ///
    /// # Errors
    /// Those of [`with_fusion`](Self::with_fusion); the fusion is then as it was.
    pub fn set_fusion(&mut self, change: &FusionChange) -> Result<(), PipelineError> {
        let kept = change.kept(&self.trained)?;
        self.model.set_fusion(change.applied_to(&self.trained))?;
        self.kept = kept;
        self.seen.get_mut().forget_prompt();
        Ok(())
    }

    /// What the package says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.settings.manifest
    }

    /// What the model is made of.
    pub fn config(&self) -> &ModelConfig {
        self.model.config()
    }

    /// The model's fusion settings, changes included.
    pub fn fusion(&self) -> &AdemConfig {
        &self.model.config().adem
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.model.parameters()
    }

    /// The device the model is on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What the self-test of the device's kernels has found; nothing was checked on devices without
    /// any.
    pub fn kernels(&self) -> &Report {
        &self.kernels
    }

    /// Starts answering `request`. Nothing is computed before the session is polled.
    ///
    /// # Errors
    /// A question that is empty or too long, a task the model was not trained for, impossible
    /// sampling; a broken picture is found when the session is polled.
    pub fn start(&self, request: Request) -> Result<Session<'_>, PipelineError> {
        let Request {
            picture,
            task,
            sampling,
            max_new_tokens,
        } = request;
        Sampler::new(sampling)?;
        if max_new_tokens == Some(0) {
            return Err(PipelineError::argument(
                "max_new_tokens",
                "is 0, must be at least 1",
            ));
        }
        let usual = self.manifest().max_new_tokens as usize;
        let wanted = max_new_tokens.unwrap_or(usual);
        let text = self.prompt_ids(&task, picture.is_some(), wanted.min(usual))?;
        // Whoever asks for more than the package's number gets what the window still holds.
        let left = self.room(0, picture.is_some())?.saturating_sub(text.len());
        let options = self.options(wanted.min(left), sampling);
        Ok(Session::new(self, picture, text, options))
    }

    pub(crate) fn options(&self, max_new_tokens: usize, sampling: Sampling) -> GenerationOptions {
        let entry = &self.manifest().tokenizer;
        GenerationOptions {
            bos: entry.bos,
            eos: Some(entry.eos),
            max_new_tokens,
            sampling,
        }
    }

    /// Token ids of the prompt for `task`, without `BOS` and prefix, that leave room for `answer`
    /// tokens.
    pub(crate) fn prompt_ids(
        &self,
        task: &Task,
        picture: bool,
        answer: usize,
    ) -> Result<Vec<u32>, PipelineError> {
        let manifest = self.manifest();
        if !manifest.tasks.contains(&task.into()) {
            let model = manifest.name.clone();
            return Err(match task {
                Task::Caption => PipelineError::Task {
                    model,
                    task: "caption pictures",
                },
                Task::Question(_) => PipelineError::Task {
                    model,
                    task: "answer questions",
                },
            });
        }
        let room = self.room(answer, picture)?;
        let (templates, tokenizer) = (&self.settings.templates, self.tokenizer());
        Ok(match task {
            Task::Caption => templates.caption_ids(tokenizer, room)?,
            Task::Question(question) => templates.question_ids(tokenizer, question, room)?,
        })
    }

    /// Tokens a prompt may have beside `answer` tokens.
    fn room(&self, answer: usize, picture: bool) -> Result<usize, PipelineError> {
        let config = self.config();
        let visual = config.adem.text_tokens();
        let prefix = match (visual, picture) {
            (0, _) => 0,
            (_, true) => self.prefix().with_picture.len(),
            (_, false) => self.prefix().without_picture.len(),
        };
        let visual = if picture { visual } else { 0 };
        Ok(prompt_room(
            config.llama.max_seq_len,
            prefix,
            visual,
            answer,
        )?)
    }

    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        &self.settings.tokenizer
    }

    pub(crate) fn prefix(&self) -> &Prefix {
        &self.settings.prefix
    }

    pub(crate) fn model(&self) -> &AdemVl {
        &self.model
    }

    /// What the decoder sees of the picture of this digest, if it was encoded lately.
    pub(crate) fn recall(&self, digest: &Digest) -> Option<VisualPrompt> {
        let known = self.seen.borrow().prompt(digest);
        known.or_else(|| {
            let features = self.seen.borrow_mut().features(digest)?;
            let prompt = self.see(features);
            self.seen.borrow_mut().keep_prompt(*digest, &prompt);
            Some(prompt)
        })
    }

    /// Keeps what was made of a picture for the next question about it.
    pub(crate) fn remember(&self, digest: Digest, features: Tensor<3>, prompt: &VisualPrompt) {
        let mut seen = self.seen.borrow_mut();
        seen.keep_features(digest, features);
        seen.keep_prompt(digest, prompt);
    }

    /// A picture's file to the encoder's input `[3, side, side]`.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<Vec<f32>, PipelineError> {
        Ok(self.pixels(&decode(bytes, &Limits::default())?))
    }

    /// A decoded picture to the encoder's input `[3, side, side]`.
    pub(crate) fn pixels(&self, picture: &RgbImage) -> Vec<f32> {
        pixels(
            picture,
            self.manifest().image.size,
            &self.settings.normalisation,
        )
    }

    /// Encoder features `[batch, 1 + G*G, width]` of `batch` pictures' pixels, one after another.
    pub(crate) fn features(&self, pixels: Vec<f32>, batch: usize) -> Tensor<3> {
        let side = self.manifest().image.size as usize;
        let pixels = host::tensor(pixels, [batch, 3, side, side], &self.device);
        self.model.encode(pixels, None)
    }

    /// What the decoder sees of rows of features.
    pub(crate) fn see(&self, features: Tensor<3>) -> VisualPrompt {
        let rows = features.dims()[0];
        self.keep(self.model.see(features, &vec![true; rows]))
    }

    /// What the decoder sees where there is no picture.
    pub(crate) fn see_nothing(&self) -> VisualPrompt {
        self.keep(self.model.see_nothing(1))
    }

    fn keep(&self, mut prompt: VisualPrompt) -> VisualPrompt {
        if let Some(kept) = &self.kept {
            prompt.memory = prompt.memory.narrow(kept.clone());
        }
        prompt
    }
}
