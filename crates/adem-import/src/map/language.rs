//! LLaMA-family decoders under Meta's, Hugging Face's and GGUF's names.

mod gguf;

use serde_json::json;

use super::{Known, Mapping, Wanted};
use crate::config::{LlamaConfig, RopeScaling, RopeStyle};
use crate::error::ImportError;
use crate::json::Json;
use crate::limits;
use crate::llama2c::Header;

pub(crate) use gguf::gguf;

/// Whose names a checkpoint uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    /// The package's own.
    Meta,
    HuggingFace,
    Gguf,
}

/// Meta's, Hugging Face's and GGUF's name of each of a layer's tensors.
const LAYER: [[&str; 3]; 9] = [
    ["attention.wq", "self_attn.q_proj", "attn_q"],
    ["attention.wk", "self_attn.k_proj", "attn_k"],
    ["attention.wv", "self_attn.v_proj", "attn_v"],
    ["attention.wo", "self_attn.o_proj", "attn_output"],
    ["feed_forward.w1", "mlp.gate_proj", "ffn_gate"],
    ["feed_forward.w2", "mlp.down_proj", "ffn_down"],
    ["feed_forward.w3", "mlp.up_proj", "ffn_up"],
    ["attention_norm", "input_layernorm", "attn_norm"],
    ["ffn_norm", "post_attention_layernorm", "ffn_norm"],
];

/// The same of the tensors outside the layers.
const OUTSIDE: [[&str; 3]; 3] = [
    ["tok_embeddings", "model.embed_tokens", "token_embd"],
    ["norm", "model.norm", "output_norm"],
    ["output", "lm_head", "output"],
];

impl Naming {
    fn index(self) -> usize {
        match self {
            Self::Meta => 0,
            Self::HuggingFace => 1,
            Self::Gguf => 2,
        }
    }

    fn layer(self, layer: u64, names: &[&str; 3]) -> String {
        let before = match self {
            Self::Meta => "layers",
            Self::HuggingFace => "model.layers",
            Self::Gguf => "blk",
        };
        format!("{before}.{layer}.{}.weight", names[self.index()])
    }
}

/// The tensors of a decoder under the names of `naming`.
pub(crate) fn mapping(config: &LlamaConfig, naming: Naming) -> Mapping {
    let LlamaConfig {
        dim, ffn_hidden, ..
    } = *config;
    let kv_dim = config.head_dim() * config.kv_heads();
    let mut wanted = Vec::new();
    let mut add = |name: String, from: String, shape: Vec<u64>, divided| {
        wanted.push(Wanted {
            divided,
            ..Wanted::whole(name, from, shape)
        });
    };
    for names in OUTSIDE.iter().take(2 + usize::from(!config.tie_embeddings)) {
        let from = format!("{}.weight", names[naming.index()]);
        let name = format!("{}.weight", names[0]);
        match names[0] {
            "norm" => add(name, from, vec![dim], None),
            // Divided by rows or by columns, depending on the release.
            _ => add(name, from, vec![config.vocab_size, dim], Some(0)),
        }
    }
    for layer in 0..config.n_layers {
        for names in &LAYER {
            let (shape, divided) = match names[0] {
                "attention.wq" => (vec![dim, dim], Some(0)),
                "attention.wk" | "attention.wv" => (vec![kv_dim, dim], Some(0)),
                "attention.wo" => (vec![dim, dim], Some(1)),
                "feed_forward.w2" => (vec![dim, ffn_hidden], Some(1)),
                "feed_forward.w1" | "feed_forward.w3" => (vec![ffn_hidden, dim], Some(0)),
                _ => (vec![dim], None),
            };
            let (name, from) = (Naming::Meta.layer(layer, names), naming.layer(layer, names));
            add(name, from, shape, divided);
        }
    }
    let mut known = vec![Known {
        is: |name| {
            name.ends_with("rotary_emb.inv_freq")
                || matches!(name, "rope.freqs" | "rope_freqs.weight")
        },
        reason: "RoPE's frequencies, which follow from the config",
    }];
    if config.tie_embeddings {
        known.push(Known {
            is: |name| matches!(name, "lm_head.weight" | "output.weight"),
            reason: "the output head is the token embedding, says the config",
        });
    }
    Mapping { wanted, known }
}

/// The config of a Hugging Face folder, `LlamaForCausalLM`'s.
pub(crate) fn hugging_face(json: &Json) -> Result<LlamaConfig, ImportError> {
    if json.str("model_type") != Some("llama") {
        let found = json.str("model_type").unwrap_or("missing");
        let reason = format!("is {found}; of language models `llama` (LlamaForCausalLM) is read");
        return Err(json.fault("model_type", reason));
    }
    for (field, wanted) in [
        ("hidden_act", json!("silu")),
        ("attention_bias", json!(false)),
        ("mlp_bias", json!(false)),
    ] {
        json.must_be(field, &wanted, "the decoder is LLaMA's")?;
    }
    let heads = json.size("num_attention_heads")?;
    // Newer configs put RoPE's numbers together.
    let rope = json.object("rope_parameters");
    let theta = match &rope {
        Some(rope) => rope.number_or_none("rope_theta")?,
        None => json.number_or_none("rope_theta")?,
    };
    let scaling = rope.or_else(|| json.object("rope_scaling"));
    let config = LlamaConfig {
        dim: json.size("hidden_size")?,
        n_layers: json.size("num_hidden_layers")?,
        n_heads: heads,
        n_kv_heads: Some(json.size_or_none("num_key_value_heads")?.unwrap_or(heads)),
        vocab_size: json.size("vocab_size")?,
        ffn_hidden: json.size("intermediate_size")?,
        norm_eps: json.number("rms_norm_eps")?,
        rope_theta: theta.unwrap_or(10_000.0),
        rope_scaling: scaling.as_ref().map_or(Ok(None), rope_scaling)?,
        rope_style: RopeStyle::Half,
        tie_embeddings: json.bool("tie_word_embeddings").unwrap_or(false),
        max_seq_len: json.size("max_position_embeddings")?,
    };
    let config = checked(config, |field, reason| json.fault(field, reason))?;
    let head_dim = json!(config.head_dim());
    json.must_be("head_dim", &head_dim, "heads are equal parts of the width")?;
    Ok(config)
}

fn rope_scaling(json: &Json) -> Result<Option<RopeScaling>, ImportError> {
    match json.str("rope_type").or_else(|| json.str("type")) {
        None | Some("default") => Ok(None),
        Some("llama3") => Ok(Some(RopeScaling {
            rope_type: "llama3".into(),
            factor: json.number("factor")?,
            low_freq_factor: json.number("low_freq_factor")?,
            high_freq_factor: json.number("high_freq_factor")?,
            original_max_position_embeddings: json.size("original_max_position_embeddings")?,
        })),
        Some(other) => Err(json.fault(
            "rope_type",
            format!("is {other}; `default` and `llama3` are known"),
        )),
    }
}

/// Sizes that Meta's `params.json` leaves to the tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub vocab_size: u64,
    pub ffn_hidden: u64,
    pub has_output: bool,
}

/// The config of a folder of Meta's.
pub(crate) fn meta(json: &Json, found: Found) -> Result<LlamaConfig, ImportError> {
    let heads = json.size("n_heads")?;
    // Llama 3.1's own words; the numbers are those of its code.
    let scaled = json.bool("use_scaled_rope").unwrap_or(false);
    let scaling = match json.object("rope_scaling") {
        Some(scaling) => rope_scaling(&scaling)?,
        None => scaled.then(|| llama3_scaling(8.0)),
    };
    let config = LlamaConfig {
        dim: json.size("dim")?,
        n_layers: json.size("n_layers")?,
        n_heads: heads,
        n_kv_heads: Some(json.size_or_none("n_kv_heads")?.unwrap_or(heads)),
        vocab_size: found.vocab_size,
        ffn_hidden: found.ffn_hidden,
        norm_eps: json.number("norm_eps")?,
        rope_theta: json.number_or_none("rope_theta")?.unwrap_or(10_000.0),
        rope_scaling: scaling,
        rope_style: RopeStyle::Interleaved,
        tie_embeddings: !found.has_output,
        // LLaMA 1's window; files of Meta's do not say theirs.
        max_seq_len: json.size_or_none("max_seq_len")?.unwrap_or(2048),
    };
    checked(config, |field, reason| json.fault(field, reason))
}

fn llama3_scaling(factor: f64) -> RopeScaling {
    RopeScaling {
        rope_type: "llama3".into(),
        factor,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    }
}

/// The config of a llama2.c file.
pub(crate) fn llama2c(header: &Header) -> LlamaConfig {
    LlamaConfig {
        dim: header.dim,
        n_layers: header.n_layers,
        n_heads: header.n_heads,
        n_kv_heads: Some(header.n_kv_heads),
        vocab_size: header.vocab_size,
        ffn_hidden: header.hidden_dim,
        norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        rope_style: RopeStyle::Interleaved,
        tie_embeddings: header.shared,
        max_seq_len: header.seq_len,
    }
}

/// Refuses sizes that are no decoder's.
pub(crate) fn checked(
    config: LlamaConfig,
    fault: impl Fn(&str, &str) -> ImportError,
) -> Result<LlamaConfig, ImportError> {
    let heads = config.n_heads;
    let sizes = [
        config.dim,
        config.n_layers,
        heads,
        config.kv_heads(),
        config.vocab_size,
        config.ffn_hidden,
        config.max_seq_len,
    ];
    if sizes
        .iter()
        .any(|size| !(1..=limits::LARGEST).contains(size))
    {
        return Err(fault("sizes", "are none, or larger than any model's"));
    }
    if !config.dim.is_multiple_of(heads) || !config.head_dim().is_multiple_of(2) {
        return Err(fault("heads", "do not divide the width into even parts"));
    }
    if !heads.is_multiple_of(config.kv_heads()) {
        return Err(fault("heads", "are no multiple of the key/value heads"));
    }
    if config.n_layers > limits::LAYERS {
        return Err(fault("layers", "are more than any model has"));
    }
    Ok(config)
}
