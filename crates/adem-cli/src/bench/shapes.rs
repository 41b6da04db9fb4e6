//! `adem bench shapes`: models of known sizes with random weights, to set beside other runtimes.

use adem_kernels::variant::Format;
use adem_model::config::{AdemConfig, ClipConfig, LlamaConfig, RopeStyle};
use adem_model::nn::Builder;
use adem_model::{
    AdemVl, Blocks, Generation, GenerationOptions, ModelConfig, ModelError, Prefix, RandomInit,
    Sampling, Scales, Scheme, SourceError, TensorSource,
};
use adem_pipeline::{PipelineError, Stopwatch};
use burn::tensor::{Device, Tensor, TensorData};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::args::DeviceName;
use crate::error::CliError;
use crate::{device, output};

#[derive(Debug, Clone, Args)]
pub struct ShapesArgs {
    /// Only this shape.
    #[arg(long, value_enum)]
    pub shape: Option<ShapeName>,
    /// Only weights stored so.
    #[arg(long, value_enum)]
    pub weights: Option<WeightsName>,
    /// Tokens to write.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(2..=400))]
    pub tokens: u16,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// What computes.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    pub device: DeviceName,
}

/// Sizes of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShapeName {
    /// A decoder of 7 M parameters: width 256, 6 layers.
    S,
    /// SmolLM-135M's decoder: width 576, 30 layers, 49152 tokens.
    M,
    /// ViT-S/16 on pictures of 224 pixels.
    V,
}

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WeightsName {
    /// Single precision.
    Float,
    /// Eight bits.
    Q8,
    /// Four bits.
    Q4,
}

/// Tokens of the prompt.
const PROMPT: u32 = 16;
/// How often everything is measured; the median is shown.
const RUNS: usize = 5;

/// One measurement.
#[derive(Debug, Serialize)]
struct Row {
    shape: &'static str,
    weights: &'static str,
    device: &'static str,
    /// Decoders: tokens a second after the first.
    tokens_per_second: Option<f64>,
    /// Decoders: the prompt up to the first token.
    prefill_ms: Option<f64>,
    /// Decoders: kernels launched for a token; none where Burn's own operations have part in it.
    launches: Option<u64>,
    /// Encoders.
    picture_ms: Option<f64>,
}

pub fn run(args: ShapesArgs) -> Result<(), CliError> {
    let device = device::open(args.device)?;
    let formats = [Format::Float, Format::Across, Format::Q8, Format::Q4];
    pollster::block_on(adem_kernels::self_test_once(&device, &formats));
    pollster::block_on(adem_kernels::tune(&device));
    for shape in [ShapeName::S, ShapeName::M, ShapeName::V] {
        for weights in [WeightsName::Float, WeightsName::Q8, WeightsName::Q4] {
            let wanted = args.shape.is_none_or(|wanted| wanted == shape)
                && args.weights.is_none_or(|wanted| wanted == weights);
            if wanted {
                let row = measure(&args, shape, weights, &device).map_err(PipelineError::from)?;
                show(&args, &row)?;
            }
        }
    }
    Ok(())
}

fn show(args: &ShapesArgs, row: &Row) -> Result<(), CliError> {
    if args.json {
        return output::json(row);
    }
    let launches = match row.launches {
        Some(launches) => format!(", {launches} dispatches a token"),
        None => String::new(),
    };
    let figures = match (row.tokens_per_second, row.prefill_ms, row.picture_ms) {
        (Some(rate), Some(prefill), _) => {
            format!("{rate:.1} tokens/s, prefill of {PROMPT} tokens {prefill:.1} ms{launches}")
        }
        (_, _, Some(picture)) => format!("{picture:.1} ms a picture"),
        _ => String::new(),
    };
    output::line(&format!(
        "{} {} on {}: {figures}",
        row.shape, row.weights, row.device
    ))
}

fn measure(
    args: &ShapesArgs,
    shape: ShapeName,
    weights: WeightsName,
    device: &Device,
) -> Result<Row, ModelError> {
    let (config, name) = config(shape);
    let (scheme, weights) = match weights {
        WeightsName::Float => (None, "float"),
        WeightsName::Q8 => (Some(Scheme::Q8), "q8"),
        WeightsName::Q4 => (Some(Scheme::Q4), "q4"),
    };
    let mut source = Noise {
        init: RandomInit::new(1),
        scheme,
        state: 1,
    };
    let mut builder = Builder::new(&mut source, device).for_inference();
    let model = AdemVl::build(&config, &mut builder)?;
    let mut row = Row {
        shape: name,
        weights,
        device: args.device.word(),
        tokens_per_second: None,
        prefill_ms: None,
        launches: None,
        picture_ms: None,
    };
    if shape == ShapeName::V {
        row.picture_ms = Some(encode(&model, device)?);
        return Ok(row);
    }
    let (mut rates, mut prefills) = (Vec::new(), Vec::new());
    // The first run is for what is compiled on first use.
    for run in 0..=RUNS {
        let (rate, prefill, launches) = decode(&model, usize::from(args.tokens))?;
        if run > 0 {
            rates.push(rate);
            prefills.push(prefill);
        }
        row.launches = launches;
    }
    row.tokens_per_second = median(rates);
    row.prefill_ms = median(prefills);
    Ok(row)
}

/// Tokens a second after the first, milliseconds up to it, and kernels a token.
fn decode(model: &AdemVl, tokens: usize) -> Result<(f64, f64, Option<u64>), ModelError> {
    let options = GenerationOptions {
        bos: 1,
        eos: None,
        max_new_tokens: tokens,
        sampling: Sampling::Greedy,
    };
    let text = [(2..PROMPT + 1).collect::<Vec<u32>>()];
    let seen = model.see_nothing(1);
    let clock = Stopwatch::start();
    let mut generation = Generation::new(model, seen, &text, &Prefix::default(), options)?;
    pollster::block_on(generation.step())?;
    let prefill = clock.ms();
    let clock = Stopwatch::start();
    while pollster::block_on(generation.step())?.is_some() {}
    let rate = (tokens - 1) as f64 * 1e3 / clock.ms();
    Ok((rate, prefill, generation.launches()))
}

/// Milliseconds a picture.
fn encode(model: &AdemVl, device: &Device) -> Result<f64, ModelError> {
    let side = model.config().clip.image_size;
    let pixels = vec![0.5f32; 3 * side * side];
    let mut times = Vec::new();
    for run in 0..=RUNS {
        let clock = Stopwatch::start();
        let data = TensorData::new(pixels.clone(), [1, 3, side, side]);
        let features = model.encode(Tensor::from_data(data, device), None);
        let read = pollster::block_on(features.into_data_async());
        let read = read.map_err(|error| ModelError::Read(error.to_string()))?;
        // What is read back may be fetched only when it is looked at.
        let _ = read.iter::<f32>().next();
        if run > 0 {
            times.push(clock.ms());
        }
    }
    Ok(median(times).unwrap_or_default())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// A model of which one half has the sizes of `shape` and the other next to none.
fn config(shape: ShapeName) -> (ModelConfig, &'static str) {
    let small = LlamaConfig {
        dim: 64,
        n_layers: 1,
        n_heads: 2,
        vocab_size: 64,
        ffn_hidden: 64,
        max_seq_len: 512,
        rope_style: RopeStyle::Half,
        ..LlamaConfig::default()
    };
    let (llama, name) = match shape {
        ShapeName::S => (
            LlamaConfig {
                dim: 256,
                n_layers: 6,
                n_heads: 8,
                ffn_hidden: 688,
                vocab_size: 4096,
                ..small
            },
            "S",
        ),
        ShapeName::M => (
            LlamaConfig {
                dim: 576,
                n_layers: 30,
                n_heads: 9,
                n_kv_heads: Some(3),
                ffn_hidden: 1536,
                vocab_size: 49_152,
                tie_embeddings: true,
                ..small
            },
            "M",
        ),
        ShapeName::V => (small, "V"),
    };
    let clip = match shape {
        ShapeName::V => ClipConfig {
            image_size: 224,
            patch: 16,
            width: 384,
            // ADEM-VL leaves the last one out.
            layers: 13,
            heads: 6,
            ..ClipConfig::default()
        },
        _ => ClipConfig {
            image_size: 16,
            patch: 16,
            width: 32,
            layers: 1,
            heads: 1,
            ..ClipConfig::default()
        },
    };
    let adem = AdemConfig {
        down_sample: vec![1],
        hidden_proj: 32,
        clip_adapter_dim: 0,
        ..AdemConfig::default()
    };
    (ModelConfig { llama, clip, adem }, name)
}

/// Random weights, packed where a scheme is given.
struct Noise {
    init: RandomInit,
    scheme: Option<Scheme>,
    state: u32,
}

impl TensorSource for Noise {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, SourceError> {
        self.init.tensor(name, shape)
    }

    fn packed(&mut self, name: &str, shape: &[usize]) -> Result<Option<Blocks>, SourceError> {
        let Some(scheme) = self.scheme else {
            return Ok(None);
        };
        let columns: usize = shape[1..].iter().product();
        let blocks = shape[0] * columns.div_ceil(adem_kernels::BLOCK);
        let mut word = || {
            self.state = self
                .state
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
            self.state ^ self.state >> 16
        };
        let words = (0..blocks * scheme.words()).map(|_| word()).collect();
        // Halves of about the deviation that keeps activations as large as they are.
        let reach = match scheme {
            Scheme::Q4 => 4.6,
            Scheme::Q8 => 74.0,
        };
        let scale = 1.0 / (columns as f32).sqrt() / reach;
        let half = u32::from(burn::tensor::f16::from_f32(scale).to_bits());
        let scales = Scales::Half(vec![half | half << 16; blocks.div_ceil(2)]);
        Blocks::new(scheme, [shape[0], columns], words, scales)
            .map(Some)
            .map_err(|error| SourceError::Unreadable {
                name: name.to_owned(),
                message: error.to_string(),
            })
    }
}
