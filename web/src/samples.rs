//! Generated pictures to try the model on: scenes of `adem-data`, by the seeds in their names.

/// A picture beside the page.
#[derive(Clone, Copy)]
pub struct Sample {
    /// Address, relative to the page.
    pub file: &'static str,
    /// What it shows, for those who do not see it.
    pub alt: &'static str,
}

/// The samples, in the order they are shown.
pub const SAMPLES: [Sample; 6] = [
    Sample {
        file: "samples/scene-7000000007.jpg",
        alt: "A striped circle and two rings",
    },
    Sample {
        file: "samples/scene-7000000027.jpg",
        alt: "A dotted square and two stars",
    },
    Sample {
        file: "samples/scene-7000000048.jpg",
        alt: "A heart and a triangle",
    },
    Sample {
        file: "samples/scene-7000000046.jpg",
        alt: "A square and two hearts",
    },
    Sample {
        file: "samples/scene-7000000005.jpg",
        alt: "A star and two triangles",
    },
    Sample {
        file: "samples/scene-7000000033.jpg",
        alt: "Three hearts",
    },
];
