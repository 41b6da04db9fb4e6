//! What meets a model's weights while it captions pictures: what rounding them should spare.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use adem_data::datasets::{BadRows, DataSource};
use adem_pipeline::{Ask, Captioner, Sums, Task, Watches};

use crate::captions::CaptionProgress;
use crate::captions::pictures::Pictures;
use crate::error::EvalError;

/// Pictures encoded, and captions written, at once.
const BATCH: usize = 16;

/// Has `model`, built with `watches`, caption the first `count` pictures of `data`, and gives what met
/// its weights on the way, by their names: what the encoder computes of the pictures, and the decoder
/// of the captions it has written. Rows that cannot be used go to `bad`; `progress` may stop it, which
/// is no result.
///
/// # Errors
/// [`EvalError`] when the data cannot be read, holds no picture with captions, or `count` is 0.
pub async fn calibrate(
    model: &Captioner,
    watches: Watches,
    data: &dyn DataSource,
    bad: &Arc<BadRows>,
    count: u64,
    mut progress: impl FnMut(CaptionProgress) -> ControlFlow<()>,
) -> Result<Option<BTreeMap<String, Sums>>, EvalError> {
    if count == 0 {
        return Err(EvalError::Zero { argument: "count" });
    }
    let mut pictures = Pictures::new(data, bad, Some(count))?;
    let started = Instant::now();
    let mut done = 0;
    loop {
        let now = CaptionProgress {
            done,
            count: Some(data.samples()?.map_or(count, |all| all.min(count))),
            seconds: started.elapsed().as_secs_f64(),
        };
        if progress(now).is_break() {
            return Ok(None);
        }
        let batch = pictures.batch(BATCH)?;
        if batch.is_empty() {
            break;
        }
        let batch: Vec<_> = batch.into_iter().map(|(_, picture)| picture).collect();
        watches.look(true);
        let features = model.encode(&batch)?;
        watches.look(false);
        let ask = |picture| Ask {
            picture,
            task: Task::Caption,
        };
        let asks: Vec<_> = (0..batch.len()).map(ask).collect();
        let said = model.answer_ids(&features, &asks).await?;
        watches.look(true);
        // One by one: rows of a batch are padded, and nobody looks at what pads become.
        for (ask, said) in asks.iter().zip(&said) {
            let (ask, said) = (std::slice::from_ref(ask), std::slice::from_ref(said));
            model.predict(&features, ask, said).await?;
        }
        done += batch.len() as u64;
    }
    match done {
        0 => Err(EvalError::NoCaptions {
            data: data.name().to_owned(),
        }),
        _ => Ok(Some(watches.take())),
    }
}
