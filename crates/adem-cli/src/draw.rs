//! `adem draw`.

use std::fs;
use std::path::PathBuf;

use adem_data::scenes::{HELD_OUT_SEEDS, Scene};
use clap::Args;

use crate::error::CliError;
use crate::output;

#[derive(Debug, Clone, Args)]
pub struct DrawArgs {
    /// Where the PNG files go.
    #[arg(value_name = "DIR")]
    pub out: PathBuf,
    /// The first scene's number; the others follow.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// How many scenes.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub count: usize,
    /// Side of a picture in pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=1024))]
    pub side: u32,
}

/// Writes scenes as `scene-SEED.png` and prints each file with what is true of it.
pub fn run(args: DrawArgs) -> Result<(), CliError> {
    let write = |path: &std::path::Path, message: String| CliError::Write {
        path: path.to_owned(),
        message,
    };
    fs::create_dir_all(&args.out).map_err(|error| write(&args.out, error.to_string()))?;
    for seed in (args.seed..HELD_OUT_SEEDS).take(args.count) {
        let scene = Scene::sample(seed);
        let path = args.out.join(format!("scene-{seed}.png"));
        scene
            .render(args.side)
            .save(&path)
            .map_err(|error| write(&path, error.to_string()))?;
        let told = scene.captions().into_iter().next().unwrap_or_default();
        output::line(&format!("{}: {told}", path.display()))?;
    }
    Ok(())
}
