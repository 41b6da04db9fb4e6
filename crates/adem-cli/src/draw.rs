//! `adem draw`.

use std::fs;

use adem_data::scenes::{HELD_OUT_SEEDS, Scene};

use crate::args::DrawArgs;
use crate::error::CliError;
use crate::output;

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
