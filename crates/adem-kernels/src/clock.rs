//! Timing work on a device, without blocking: a browser cannot wait.

use std::time::Duration;

use burn::tensor::Tensor;
use web_time::Instant;

/// The median time of `runs` calls of `work`, each of which is done `repeats` times before its last
/// result is read back. One untimed call comes first, for what is compiled on first use.
///
/// `None` where the device fails.
pub(crate) async fn median<const D: usize>(
    runs: usize,
    repeats: u32,
    mut work: impl FnMut() -> Tensor<D>,
) -> Option<Duration> {
    finish(work()).await?;
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        for _ in 1..repeats {
            work();
        }
        finish(work()).await?;
        times.push(start.elapsed() / repeats.max(1));
    }
    times.sort();
    times.get(runs / 2).copied()
}

/// A call that takes longer alone is timed once: what is around it no longer counts.
#[cfg(feature = "wgpu")]
const SLOW: Duration = Duration::from_millis(8);

/// What one call more costs: `repeats` and one are timed beside one alone, `runs` times each in
/// turn, and the least of each is taken, since reading back may cost more than the work and what
/// disturbs only makes it longer. A slow call is timed once. One untimed call comes first.
#[cfg(feature = "wgpu")]
pub(crate) async fn marginal<const D: usize>(
    runs: usize,
    repeats: u32,
    mut work: impl FnMut() -> Tensor<D>,
) -> Option<Duration> {
    finish(work()).await?;
    let mut timed = async |calls: u32| {
        let start = Instant::now();
        for _ in 1..calls {
            work();
        }
        finish(work()).await?;
        Some(start.elapsed())
    };
    let mut one = timed(1).await?;
    if one > SLOW {
        return Some(one);
    }
    let mut many = Duration::MAX;
    for _ in 0..runs {
        many = many.min(timed(1 + repeats).await?);
        one = one.min(timed(1).await?);
    }
    Some(many.saturating_sub(one) / repeats.max(1))
}

/// Waits until a result is there.
async fn finish<const D: usize>(result: Tensor<D>) -> Option<()> {
    let data = result.into_data_async().await.ok()?;
    // What is read back may be fetched only when it is looked at.
    data.try_to_vec::<f32>().ok().map(drop)
}
