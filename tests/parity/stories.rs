//! A decoder with real trained weights tells its story to the letter.

use std::sync::atomic::AtomicBool;

use adem_data::tokenizer::Tokenizer;
use adem_import::{ImportOptions, import};
use adem_model::config::{LlamaConfig, RopeStyle};
use adem_model::language::Llama;
use adem_model::nn::Builder;
use adem_model::{SourceError, TensorSource};
use adem_package::{Folder, Package};
use adem_pipeline::PackageSource;
use adem_tests::golden::{self, Array};
use burn::tensor::TensorData;
use pollster::block_on;

use crate::backend::Backend;
use crate::compare::say;
use crate::llama::greedy;
use crate::source::checked;

/// Begins a text, and ends one.
const BOS: u32 = 1;
/// Steps of the reference text.
const STEPS: usize = 256;

/// Little-endian numbers read off the front of a file.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes(&mut self, n: usize) -> &[u8] {
        let (head, tail) = self.0.split_at(n);
        self.0 = tail;
        head
    }

    fn i32(&mut self) -> i32 {
        i32::from_le_bytes(self.bytes(4).try_into().unwrap())
    }

    fn array(&mut self, shape: &[usize]) -> Array<f32> {
        let n: usize = shape.iter().product();
        let values = self.bytes(4 * n).chunks_exact(4);
        let values = values
            .map(|c| f32::from_le_bytes(c.try_into().unwrap()))
            .collect();
        Array {
            shape: shape.to_vec(),
            values,
        }
    }
}

/// llama2.c's first checkpoint format: seven integers, then every tensor stacked over the layers.
struct Checkpoint {
    config: LlamaConfig,
    tensors: Vec<(&'static str, Array<f32>)>,
}

impl Checkpoint {
    fn read(file: &[u8]) -> Self {
        let mut r = Reader(file);
        let header: Vec<i32> = (0..7).map(|_| r.i32()).collect();
        let [dim, hidden, layers, heads, kv_heads, vocabulary, context] =
            <[i32; 7]>::try_from(header).unwrap();
        let size = |n: i32| n.unsigned_abs() as usize;
        let config = LlamaConfig {
            dim: size(dim),
            n_layers: size(layers),
            n_heads: size(heads),
            n_kv_heads: Some(size(kv_heads)),
            vocab_size: size(vocabulary),
            ffn_hidden: size(hidden),
            norm_eps: 1e-5,
            rope_theta: 10000.0,
            rope_scaling: None,
            rope_style: RopeStyle::Interleaved,
            // A negative vocabulary says that the output head is a tensor of its own.
            tie_embeddings: vocabulary > 0,
            max_seq_len: size(context),
        };
        let (l, d, h, v) = (
            config.n_layers,
            config.dim,
            config.ffn_hidden,
            config.vocab_size,
        );
        let kv = config.kv_heads() * config.head_dim();
        let tables = config.max_seq_len * config.head_dim() / 2;
        let shapes: [(&str, Vec<usize>); 14] = [
            ("tok_embeddings", vec![v, d]),
            ("attention_norm", vec![l, d]),
            ("attention.wq", vec![l, d, d]),
            ("attention.wk", vec![l, kv, d]),
            ("attention.wv", vec![l, kv, d]),
            ("attention.wo", vec![l, d, d]),
            ("ffn_norm", vec![l, d]),
            ("feed_forward.w1", vec![l, h, d]),
            ("feed_forward.w2", vec![l, d, h]),
            ("feed_forward.w3", vec![l, h, d]),
            ("norm", vec![d]),
            ("cosines", vec![tables]),
            ("sines", vec![tables]),
            (
                "output",
                if config.tie_embeddings {
                    vec![0]
                } else {
                    vec![v, d]
                },
            ),
        ];
        let tensors = shapes
            .into_iter()
            .map(|(n, shape)| (n, r.array(&shape)))
            .collect();
        assert!(r.0.is_empty(), "{} bytes left over", r.0.len());
        Self { config, tensors }
    }
}

impl TensorSource for Checkpoint {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, SourceError> {
        let path = name.strip_suffix(".weight").unwrap();
        let (layer, part) = match path
            .strip_prefix("layers.")
            .map(|p| p.split_once('.').unwrap())
        {
            Some((layer, part)) => (Some(layer.parse().unwrap()), part),
            None => (None, path),
        };
        let (_, array) = self.tensors.iter().find(|(n, _)| *n == part).unwrap();
        checked(
            name,
            shape,
            layer.map_or_else(|| array.clone(), |l| array.row(l)),
        )
    }
}

/// The pieces of llama2.c's tokenizer file.
fn pieces(file: &[u8], vocabulary: usize) -> Vec<Vec<u8>> {
    let mut r = Reader(file);
    r.i32(); // longest piece
    (0..vocabulary)
        .map(|_| {
            r.i32(); // score
            let length = r.i32() as usize;
            r.bytes(length).to_vec()
        })
        .collect()
}

/// The bytes of a token; `<0x0A>` is one byte, and a text does not begin with a space.
fn text_of(piece: &[u8], first: bool) -> &[u8] {
    match piece.strip_prefix(b" ") {
        Some(rest) if first => rest,
        _ => piece,
    }
}

fn byte_token(piece: &[u8]) -> Option<u8> {
    let hex = std::str::from_utf8(piece)
        .ok()?
        .strip_prefix("<0x")?
        .strip_suffix('>')?;
    u8::from_str_radix(hex, 16).ok()
}

fn the_story_is_told_to_the_letter(backend: &Backend) {
    let folder = golden::data().join("stories260K");
    let Ok(checkpoint) = std::fs::read(folder.join("stories260K.bin")) else {
        say(&format!(
            "\n*** SKIPPED: no stories260K.bin in {} (ADEM_DATA) ***\n",
            folder.display()
        ));
        return;
    };
    let mut checkpoint = Checkpoint::read(&checkpoint);
    let config = checkpoint.config.clone();
    let llama = Llama::new(&mut Builder::new(&mut checkpoint, &backend.device), &config).unwrap();
    let tokenizer = std::fs::read(folder.join("tok512.bin")).unwrap();
    let pieces = pieces(&tokenizer, config.vocab_size);

    let mut text = Vec::new();
    let mut tokens = 0;
    greedy(&llama, &[BOS], STEPS, &backend.device, |token| {
        if token == BOS {
            return false;
        }
        let piece = &pieces[token as usize];
        match byte_token(piece) {
            Some(byte) => text.push(byte),
            None => text.extend(text_of(piece, tokens == 0)),
        }
        tokens += 1;
        true
    });
    let told = std::fs::read_to_string(folder.join("golden_greedy_256.txt")).unwrap();
    // The reference program ends its output with a line break.
    let told = told.strip_suffix('\n').unwrap_or(&told);
    assert_eq!(
        String::from_utf8(text).unwrap(),
        told,
        "on {}",
        backend.name
    );
    say(&format!(
        "stories260K on {}: {tokens} tokens, equal to the letter",
        backend.name
    ));
}

/// The same through what everybody uses: checkpoint and tokenizer imported as a package.
fn the_imported_package_tells_it_too(backend: &Backend) {
    let folder = golden::data().join("stories260K");
    let checkpoint = folder.join("stories260K.bin");
    if !checkpoint.exists() {
        say(&format!(
            "\n*** SKIPPED: no stories260K.bin in {} (ADEM_DATA) ***\n",
            folder.display()
        ));
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let options = ImportOptions {
        tokenizer: Some(folder.join("tok512.bin")),
        ..ImportOptions::default()
    };
    import(
        &[checkpoint],
        place.path(),
        &options,
        |_| {},
        &AtomicBool::new(false),
    )
    .unwrap();
    let package = block_on(Package::open(Folder::new(place.path()))).unwrap();
    let config: LlamaConfig =
        serde_json::from_value(package.manifest().model["llama"].clone()).unwrap();
    let weights = block_on(package.load_weights(|_| {})).unwrap();
    let mut source = PackageSource::new(weights);
    let llama = Llama::new(&mut Builder::new(&mut source, &backend.device), &config).unwrap();
    source.finish().unwrap();
    let tokenizer = Tokenizer::from_bytes(package.tokenizer()).unwrap();

    let mut ids = Vec::new();
    greedy(&llama, &[BOS], STEPS, &backend.device, |token| {
        ids.push(token);
        token != BOS
    });
    if ids.last() == Some(&BOS) {
        ids.pop();
    }
    let told = std::fs::read_to_string(folder.join("golden_greedy_256.txt")).unwrap();
    let told = told.strip_suffix('\n').unwrap_or(&told);
    assert_eq!(tokenizer.decode(&ids).unwrap(), told, "on {}", backend.name);
}

crate::on_every_backend!(
    the_story_is_told_to_the_letter,
    the_imported_package_tells_it_too
);
