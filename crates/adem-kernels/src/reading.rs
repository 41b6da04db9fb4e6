//! Results on their way from the device.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{self, AssertUnwindSafe};
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use burn::tensor::{DType, Int, Tensor};

/// The device failed, or was lost: nothing on it can be read any more. In the device's own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DeviceError(pub(crate) String);

impl DeviceError {
    pub(crate) fn nothing() -> Self {
        Self("nothing was read".to_owned())
    }
}

type Reading = Pin<Box<dyn Future<Output = Result<i64, DeviceError>> + Send>>;

/// Readings nobody waits for any more. A device must finish with its copy before the memory is
/// taken for another one, so they are kept until then.
static LEFT: Mutex<Vec<Reading>> = Mutex::new(Vec::new());

/// An id that [`next_token`](crate::next_token) left on the device, on its way here. It may be
/// dropped at any time.
pub struct IdReading {
    under_way: Option<Reading>,
    here: Option<Result<i64, DeviceError>>,
}

impl IdReading {
    /// Has the device copy the id, `[1]`, after the work it has been given so far; later work does
    /// not delay it.
    pub fn start(id: Tensor<1, Int>) -> Self {
        let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain_mut(|reading| ask(reading).is_pending());
        drop(left);
        // A future does nothing before it is polled; whoever waits for it polls it again.
        let mut reading: Reading = Box::pin(read(id));
        match ask(&mut reading) {
            Poll::Ready(id) => Self {
                under_way: None,
                here: Some(id),
            },
            Poll::Pending => Self {
                under_way: Some(reading),
                here: None,
            },
        }
    }

    /// Waits for the id; none is past the vocabulary but that of logits with NaN.
    ///
    /// # Errors
    /// Where the device fails or is lost, before or while this waits.
    pub async fn finish(mut self) -> Result<i64, DeviceError> {
        if let Some(id) = self.here.take() {
            return id;
        }
        let id = poll_fn(|context| match &mut self.under_way {
            Some(reading) => look(reading, context),
            None => Poll::Ready(Err(DeviceError::nothing())),
        })
        .await;
        self.under_way = None;
        id
    }
}

impl Drop for IdReading {
    fn drop(&mut self) {
        if let Some(reading) = self.under_way.take() {
            let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
            left.push(reading);
        }
    }
}

impl fmt::Debug for IdReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdReading")
            .field("here", &self.here)
            .finish_non_exhaustive()
    }
}

fn ask(reading: &mut Reading) -> Poll<Result<i64, DeviceError>> {
    look(reading, &mut Context::from_waker(Waker::noop()))
}

fn look(reading: &mut Reading, context: &mut Context<'_>) -> Poll<Result<i64, DeviceError>> {
    guarded(reading.as_mut(), context).unwrap_or_else(|error| Poll::Ready(Err(error)))
}

/// Polls what reads from a device. Where that is destroyed after its copy has come and before it is
/// looked at, the runtime below panics over the buffer that is gone: an error like any other loss.
fn guarded<F: Future + ?Sized>(
    reading: Pin<&mut F>,
    context: &mut Context<'_>,
) -> Result<Poll<F::Output>, DeviceError> {
    let poll = panic::catch_unwind(AssertUnwindSafe(|| reading.poll(context)));
    poll.map_err(|_| DeviceError("the device was lost while a result was read".to_owned()))
}

async fn read(id: Tensor<1, Int>) -> Result<i64, DeviceError> {
    #[cfg(feature = "wgpu")]
    if let Some(reading) = crate::gpu::read_id(&id) {
        return reading.await;
    }
    let data = id.into_data_async().await;
    let data = data.map_err(|e| DeviceError(e.to_string()))?;
    data.iter::<i64>().next().ok_or_else(DeviceError::nothing)
}

/// A tensor's values, as f32.
///
/// # Errors
/// Where the device fails or is lost, before or while this waits.
pub async fn read_floats<const D: usize>(x: Tensor<D>) -> Result<Vec<f32>, DeviceError> {
    let mut reading = pin!(async {
        #[cfg(feature = "wgpu")]
        let device = x.device();
        let data = x.cast(DType::F32).into_data_async().await;
        let data = data.map_err(|e| DeviceError(e.to_string()))?;
        #[cfg(feature = "wgpu")]
        if let Some(refusal) = crate::gpu::take_refusal(&device) {
            return Err(DeviceError(refusal));
        }
        let values = data.try_into_vec();
        values.map_err(|e| DeviceError(format!("{e:?}")))
    });
    poll_fn(|context| match guarded(reading.as_mut(), context) {
        Ok(poll) => poll,
        Err(error) => Poll::Ready(Err(error)),
    })
    .await
}
