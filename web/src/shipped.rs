//! The models beside the page, and pictures to try each on.

use crate::{page, text};
use web_sys::Url;

/// A model that lies beside the page.
pub struct Shipped {
    /// Its word in the page's address, and the name in its manifest.
    pub name: &'static str,
    /// Its folder, relative to the page.
    folder: &'static str,
    /// What it describes.
    pub label: &'static str,
    /// What may be expected of it.
    pub note: &'static str,
    /// Whether it answers questions.
    pub questions: bool,
    /// Pictures of that kind, in the order they are shown.
    pub samples: &'static [Sample],
}

/// A picture beside the page.
pub struct Sample {
    /// Address, relative to the page.
    pub file: &'static str,
    /// What it shows, for those who do not see it.
    pub alt: &'static str,
}

/// The first one is there where nothing else is asked for.
pub static SHIPPED: [Shipped; 3] = [
    Shipped {
        name: "photo",
        folder: "package/",
        label: text::PHOTOS,
        note: text::PHOTOS_NOTE,
        questions: false,
        samples: &PHOTOS,
    },
    Shipped {
        name: "photo-q8",
        folder: "package-q8/",
        label: text::PHOTOS_Q8,
        note: text::PHOTOS_Q8_NOTE,
        questions: false,
        samples: &PHOTOS,
    },
    Shipped {
        name: "scenes",
        folder: "scenes/",
        label: text::SCENES,
        note: text::SCENES_NOTE,
        questions: true,
        samples: &SCENES,
    },
];

impl Shipped {
    /// Where its package is.
    pub fn address(&self) -> String {
        let page = page::address().unwrap_or_default();
        Url::new_with_base(self.folder, &page).map_or_else(|_| self.folder.into(), |url| url.href())
    }

    /// The one that the page's address asks for.
    pub fn asked() -> Option<&'static Self> {
        Self::named(&page::parameter("model")?)
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SHIPPED.iter().find(|shipped| shipped.name == name)
    }
}

/// Photographs that are free to show; `samples/README.md` says whose they are.
static PHOTOS: [Sample; 5] = [
    sample("samples/photo-chelsea.jpg", "A cat"),
    sample("samples/photo-astronaut.jpg", "An astronaut"),
    sample(
        "samples/photo-camera.jpg",
        "A man with a camera on a tripod",
    ),
    sample("samples/photo-coffee.jpg", "A cup of coffee"),
    sample("samples/photo-rocket.jpg", "A rocket at night"),
];

/// Scenes of `adem-data`, by the seeds in their names.
static SCENES: [Sample; 6] = [
    sample(
        "samples/scene-7000000007.jpg",
        "A striped circle and two rings",
    ),
    sample(
        "samples/scene-7000000027.jpg",
        "A dotted square and two stars",
    ),
    sample("samples/scene-7000000048.jpg", "A heart and a triangle"),
    sample("samples/scene-7000000046.jpg", "A square and two hearts"),
    sample("samples/scene-7000000005.jpg", "A star and two triangles"),
    sample("samples/scene-7000000033.jpg", "Three hearts"),
];

const fn sample(file: &'static str, alt: &'static str) -> Sample {
    Sample { file, alt }
}
