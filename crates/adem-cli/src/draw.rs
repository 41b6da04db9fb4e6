//! `adem draw`.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use adem_data::scenes::{HELD_OUT_SEEDS, Scene};
use clap::Args;
use image::ImageFormat;

use crate::error::CliError;
use crate::{file, output};

#[derive(Debug, Clone, Args)]
pub struct DrawArgs {
    /// Where the PNG files go.
    #[arg(value_name = "DIR")]
    pub out: PathBuf,
    /// The first scene's number; the others follow.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// How many scenes.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// Side of a picture in pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=1024))]
    pub side: u32,
}

/// Writes scenes as `scene-SEED.png` and prints each file with what is true of it.
pub fn run(args: DrawArgs) -> Result<(), CliError> {
    let fail = |path: &Path, message: String| CliError::Write {
        path: path.to_owned(),
        message,
    };
    let seeds = args.seed..args.seed.saturating_add(args.count.into());
    if seeds.end > HELD_OUT_SEEDS {
        let last = HELD_OUT_SEEDS - 1;
        return Err(CliError::Usage(format!("the last scene is {last}")));
    }
    fs::create_dir_all(&args.out).map_err(|error| fail(&args.out, error.to_string()))?;
    for seed in seeds {
        let scene = Scene::sample(seed);
        let path = args.out.join(format!("scene-{seed}.png"));
        let mut png = Cursor::new(Vec::new());
        scene
            .render(args.side)
            .write_to(&mut png, ImageFormat::Png)
            .map_err(|error| fail(&path, error.to_string()))?;
        file::replace(&path, png.get_ref())?;
        let told = scene.captions().into_iter().next().unwrap_or_default();
        output::line(&format!("{}: {told}", path.display()))?;
    }
    Ok(())
}
