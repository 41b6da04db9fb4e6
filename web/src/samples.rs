//! Generated pictures to try the model on.

/// A picture beside the page.
#[derive(Clone, Copy)]
pub struct Sample {
    /// Address, relative to the page.
    pub file: &'static str,
    /// What it shows, for those who do not see it.
    pub alt: &'static str,
}

/// The samples, in the order they are shown.
pub const SAMPLES: [Sample; 0] = [];
