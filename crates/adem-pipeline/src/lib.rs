//! Package, tokenizer and model joined into a [`Captioner`].
//!
//! A captioner is loaded once from any [`WeightSource`](adem_package::WeightSource) onto any Burn
//! device. Each [`Request`] starts a [`Session`] that is polled for [`Event`]s: the picture was
//! seen, a token came, the text is done. Dropping a session stops it. The command line and the
//! page's workers are both thin shells over this crate, so it prints nothing, starts no thread and
//! never blocks on the device.
//!
//! ```no_run
//! # #[cfg(not(target_arch = "wasm32"))]
//! # async fn example(device: burn::tensor::Device) -> Result<(), adem_pipeline::PipelineError> {
//! use adem_pipeline::{Captioner, Event, Request};
//!
//! let folder = adem_package::Folder::new("models/scenes");
//! let captioner = Captioner::load(folder, |_| {}, &device).await?;
//! let picture = std::fs::read("picture.jpg").unwrap_or_default();
//! let mut session = captioner.start(Request::caption(picture))?;
//! while let Some(event) = session.next().await? {
//!     if let Event::Token { text, .. } = event {
//!         print!("{text}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod batch;
mod captioner;
mod check;
mod error;
mod fusion;
mod request;
mod seen;
mod session;
mod source;
mod stream;
#[cfg(all(feature = "testing", not(target_arch = "wasm32")))]
pub mod testing;
mod timing;

pub use adem_kernels::Report as KernelReport;
pub use adem_kernels::{Sums, Watches};
pub use adem_model::{Beams, Sampling, Sight};
pub use adem_package::Progress;
pub use batch::{Ask, Features};
pub use captioner::Captioner;
pub use check::check;
pub use error::PipelineError;
pub use fusion::FusionChange;
pub use request::{Request, Task};
pub use session::{Event, Outcome, Session};
pub use source::PackageSource;
pub use timing::{Stopwatch, Timings};
