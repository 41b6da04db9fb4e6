//! A package's weights on their way to a device, shard by shard.

use std::collections::BTreeMap;

use adem_kernels::{Matrix, keeps_packed};
use adem_model::nn::upload;
use adem_model::{ModelError, Placed, SourceError, TensorSource};
use adem_package::{Package, Progress, Storage, TensorView, WeightSource};
use burn::tensor::{Device, Tensor, TensorData};

use crate::error::PipelineError;
use crate::source::blocks;

/// Tensors that lie on a device, waiting for the model that is made of them.
///
/// Each shard is read, checked, uploaded and let go before the next one is read: the program's
/// memory never holds more of the package than one shard and the numbers of one tensor.
#[derive(Debug)]
pub(crate) struct Streamed {
    tensors: BTreeMap<String, (Vec<usize>, Placed)>,
}

impl Streamed {
    /// Reads the shards of `package` onto `device`; `progress` is called every few megabytes.
    pub async fn load<S: WeightSource>(
        package: &Package<S>,
        mut progress: impl FnMut(Progress),
        device: &Device,
    ) -> Result<Self, PipelineError> {
        let mut now = Progress {
            bytes: 0,
            total_bytes: package.manifest().weight_bytes(),
            shards: 0,
            total_shards: package.manifest().shards.len(),
        };
        let mut tensors = BTreeMap::new();
        while now.shards < now.total_shards {
            let shard = package.load_shard(now.shards, |part| {
                now.bytes += part;
                progress(now);
            });
            let Some(mut shard) = shard.await? else { break };
            let names: Vec<_> = shard
                .unused()
                .map(|tensor| tensor.name.to_owned())
                .collect();
            for name in names {
                let view = shard.get(&name)?;
                let (shape, placed) = (view.shape.to_vec(), place(&view, device)?);
                shard.release(&name)?;
                tensors.insert(name, (shape, placed));
            }
            drop(shard);
            settle(device).await?;
            now.shards += 1;
            progress(now);
        }
        Ok(Self { tensors })
    }

    /// Ends the building: every tensor must have been asked for, or the weights are those of
    /// another model.
    pub fn finish(self) -> Result<(), PipelineError> {
        match self.tensors.first_key_value() {
            None => Ok(()),
            Some((first, _)) => Err(PipelineError::Unused {
                count: self.tensors.len(),
                first: first.clone(),
            }),
        }
    }
}

impl TensorSource for Streamed {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, SourceError> {
        match self.placed(name, shape)? {
            Some(Placed::Float(values)) => Ok(values.into_data()),
            Some(Placed::Packed(matrix)) => Ok(matrix.unpacked().into_data()),
            None => Err(missing(name)),
        }
    }

    fn placed(&mut self, name: &str, shape: &[usize]) -> Result<Option<Placed>, SourceError> {
        let (found, placed) = self.tensors.remove(name).ok_or_else(|| missing(name))?;
        match found == shape {
            true => Ok(Some(placed)),
            false => Err(SourceError::Shape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                found,
            }),
        }
    }
}

fn missing(name: &str) -> SourceError {
    SourceError::Missing {
        name: name.to_owned(),
        origin: "the package".to_owned(),
    }
}

/// The tensor on `device`: in blocks where it is stored so and the device multiplies those, else in
/// single precision.
fn place(view: &TensorView<'_>, device: &Device) -> Result<Placed, PipelineError> {
    match &view.storage {
        Storage::Quantised(stored) if keeps_packed(device) => {
            let blocks = blocks(stored).map_err(|error| SourceError::Unreadable {
                name: view.name.to_owned(),
                message: error.to_string(),
            });
            let blocks = blocks.map_err(ModelError::from)?;
            Ok(Placed::Packed(Matrix::packed(blocks, device)))
        }
        _ => {
            let values = view.to_f32();
            let count = values.len();
            Ok(Placed::Float(upload(
                TensorData::new(values, [count]),
                device,
            )))
        }
    }
}

/// Waits until the device has taken what it was given: uploads are queued, with their numbers.
async fn settle(device: &Device) -> Result<(), PipelineError> {
    if adem_kernels::on_host(device) {
        return Ok(());
    }
    let last = adem_kernels::read_floats(Tensor::<1>::zeros([1], device)).await;
    last.map_err(|error| ModelError::Read(error.to_string()))?;
    Ok(())
}
