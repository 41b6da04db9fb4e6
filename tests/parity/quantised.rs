//! Quantised packages: packed weights compute what their unpacked values compute, and every
//! backend writes the same.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use adem_data::scenes::Scene;
use adem_model::nn::Builder;
use adem_model::{
    AdemVl, Generation, GenerationOptions, ModelConfig, Prefix, Sampling, SourceError, TensorSource,
};
use adem_package::quant::{QuantizeOptions, Scheme, quantize};
use adem_package::{Folder, Package};
use adem_pipeline::testing::{TINY_SIDE, write_tiny_package};
use adem_pipeline::{Ask, Captioner, PackageSource, Task};
use burn::tensor::{Device, Tensor, TensorData};

use crate::backend::Backend;
use crate::compare::{Report, difference, download};

/// A quantised package that hands out floats alone.
struct Unpacked(PackageSource);

impl TensorSource for Unpacked {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, SourceError> {
        self.0.tensor(name, shape)
    }
}

/// Quantises the package in `from`.
fn quantised(from: &Path, scheme: Scheme, to: &Path) {
    pollster::block_on(async {
        let package = Package::open(Folder::new(from)).await.unwrap();
        let options = QuantizeOptions::new(scheme);
        let stop = AtomicBool::new(false);
        quantize(&package, to, &options, |_| {}, &stop)
            .await
            .unwrap();
    });
}

fn models(folder: &Path, device: &Device) -> [AdemVl; 2] {
    pollster::block_on(async {
        let package = Package::open(Folder::new(folder)).await.unwrap();
        let config: ModelConfig = serde_json::from_value(package.manifest().model.clone()).unwrap();
        let source = || async { PackageSource::new(package.load_weights(|_| {}).await.unwrap()) };
        let mut packed = source().await;
        let mut unpacked = Unpacked(source().await);
        let build = |source: &mut dyn TensorSource| {
            let mut builder = Builder::new(source, device).for_inference();
            AdemVl::build(&config, &mut builder).unwrap()
        };
        let models = [build(&mut packed), build(&mut unpacked)];
        packed.finish().unwrap();
        models
    })
}

/// Logits of eight steps about a picture.
fn logits(model: &AdemVl, device: &Device) -> Vec<Vec<f32>> {
    let side = TINY_SIDE as usize;
    let pixels: Vec<f32> = (0..3 * side * side).map(|i| (i as f32).sin()).collect();
    let pixels = TensorData::new(pixels, [1, 3, side, side]);
    let features = model.encode(Tensor::from_data(pixels, device), None);
    let options = GenerationOptions {
        bos: 1,
        eos: None,
        max_new_tokens: 8,
        sampling: Sampling::Greedy,
    };
    let seen = model.see(features, &[true]);
    let text = [vec![5, 9, 7, 30, 31]];
    let mut generation = Generation::new(model, seen, &text, &Prefix::default(), options).unwrap();
    let mut all = Vec::new();
    while pollster::block_on(generation.step()).unwrap().is_some() {
        all.push(download(generation.last_logits().unwrap()).values);
    }
    assert_eq!(all.len(), 8);
    all
}

fn packed_and_unpacked(backend: &Backend) {
    let mut report = Report::new("packed and unpacked weights", backend.name);
    let place = tempfile::tempdir().unwrap();
    let float = place.path().join("float");
    write_tiny_package(&float, 4).unwrap();
    for scheme in [Scheme::Q4, Scheme::Q8] {
        let folder = place.path().join(scheme.name());
        quantised(&float, scheme, &folder);
        let [packed, unpacked] = models(&folder, &backend.device);
        assert_eq!(packed.parameters(), unpacked.parameters());
        let pair = [&packed, &unpacked].map(|model| logits(model, &backend.device));
        for (step, (packed, unpacked)) in pair[0].iter().zip(&pair[1]).enumerate() {
            let what = format!("{}, step {step}", scheme.name());
            let d = difference(packed, unpacked);
            // On the processor many rows of activations meet packed weights in fixed point.
            let allowed = backend.tolerances.logits.max(5e-4);
            report.number("logits", &what, d, 0.0, allowed);
        }
        report.case();
    }
    report.finish();
}

crate::on_every_backend!(packed_and_unpacked);

/// The shipped model in four and in eight bits writes the same on the processor and on a GPU.
#[test]
fn captions_are_the_same_on_every_backend() {
    let Some(gpu) = Backend::wgpu() else { return };
    let shipped = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../web/scenes");
    let place = tempfile::tempdir().unwrap();
    let pictures: Vec<_> = (0..3).map(|seed| Scene::sample(seed).render(128)).collect();
    for scheme in [Scheme::Q4, Scheme::Q8] {
        let folder = place.path().join(scheme.name());
        quantised(&shipped, scheme, &folder);
        let said = [&Device::flex(), &gpu.device].map(|device| {
            pollster::block_on(async {
                let source = Folder::new(&folder);
                let captioner = Captioner::load(source, |_| {}, device).await.unwrap();
                let mut said = Vec::new();
                for picture in &pictures {
                    let features = captioner.encode(std::slice::from_ref(picture)).unwrap();
                    let ask = Ask {
                        picture: 0,
                        task: Task::Caption,
                    };
                    said.extend(captioner.answer(&features, &[ask]).await.unwrap());
                }
                said
            })
        });
        assert_eq!(said[0], said[1], "{}", scheme.name());
        assert!(said[0].iter().all(|caption| !caption.is_empty()));
    }
}
