//! `adem caption` and `adem ask`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use adem_data::image::{ImageError, Limits};
use adem_model::Sampler;
use adem_pipeline::{Captioner, Outcome, PipelineError, Request, Task};
use clap::Args;

use crate::args::{ModelArgs, TextArgs};
use crate::error::CliError;
use crate::output::Printer;
use crate::package::{self, Wanted};

#[derive(Debug, Clone, Args)]
pub struct CaptionArgs {
    /// PNG, JPEG, WebP or GIF files; `-` reads one from standard input.
    #[arg(required = true, value_name = "PICTURE")]
    pub pictures: Vec<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub text: TextArgs,
}

#[derive(Debug, Clone, Args)]
pub struct AskArgs {
    /// A PNG, JPEG, WebP or GIF file; `-` reads it from standard input.
    #[arg(value_name = "PICTURE")]
    pub picture: PathBuf,
    /// What to ask.
    #[arg(value_name = "QUESTION")]
    pub question: String,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub text: TextArgs,
}

/// Stands for standard input.
const STDIN: &str = "-";

/// Describes every picture; one that fails does not keep the others from being described.
pub fn caption(args: CaptionArgs) -> Result<(), CliError> {
    describe(&args.pictures, Task::Caption, &args.model, &args.text)
}

/// Answers a question about a picture.
pub fn ask(args: AskArgs) -> Result<(), CliError> {
    describe(
        &[args.picture],
        Task::Question(args.question),
        &args.model,
        &args.text,
    )
}

fn describe(
    pictures: &[PathBuf],
    task: Task,
    model: &ModelArgs,
    text: &TextArgs,
) -> Result<(), CliError> {
    // Before the model is loaded: a slip on the command line should not cost its loading.
    Sampler::new(text.sampling()).map_err(|error| CliError::Usage(error.to_string()))?;
    let mut printer = Printer::new(text.json, pictures.len());
    let wanted = match task {
        Task::Caption => Wanted::Photo,
        Task::Question(_) => Wanted::Scenes,
    };
    let captioner = match package::load(model, wanted) {
        Ok(captioner) => captioner,
        Err(error) if text.json => {
            for picture in pictures {
                printer.failed(&picture.to_string_lossy(), &error)?;
            }
            return Err(CliError::Reported {
                failed: pictures.len(),
                all: pictures.len(),
            });
        }
        Err(error) => return Err(error),
    };
    let mut failed = 0;
    for picture in pictures {
        let file = picture.to_string_lossy();
        let described = one(&captioner, picture, &task, text, |piece| {
            printer.text(&file, piece)
        });
        match described {
            Ok(outcome) => {
                let question = match &task {
                    Task::Question(question) => Some(question.as_str()),
                    Task::Caption => None,
                };
                printer.done(&file, question, &outcome)?;
            }
            Err(error @ CliError::Output(_)) => return Err(error),
            Err(error) => {
                printer.failed(&file, &error)?;
                failed += 1;
            }
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(CliError::Reported {
            failed,
            all: pictures.len(),
        }),
    }
}

/// Describes one picture, handing its text on as it comes.
fn one(
    captioner: &Captioner,
    picture: &Path,
    task: &Task,
    text: &TextArgs,
    piece: impl FnMut(&str) -> Result<(), CliError>,
) -> Result<Outcome, CliError> {
    let request = Request {
        picture: Some(read(picture)?),
        task: task.clone(),
        sampling: text.sampling(),
        max_new_tokens: text.max_tokens(),
    };
    pollster::block_on(captioner.start(request)?.finish_with(piece))
}

/// A picture's file; never much more than a picture may have.
fn read(picture: &Path) -> Result<Vec<u8>, CliError> {
    let limit = Limits::default().max_bytes;
    let mut bytes = Vec::new();
    let most = limit as u64 + 1;
    if picture == Path::new(STDIN) {
        io::stdin()
            .lock()
            .take(most)
            .read_to_end(&mut bytes)
            .map_err(CliError::Input)?;
        return Ok(bytes);
    }
    let file = File::open(picture).map_err(CliError::Input)?;
    let found = file.metadata().map_err(CliError::Input)?;
    if found.is_dir() {
        return Err(CliError::Usage("is a folder; name pictures".to_owned()));
    }
    let found = found.len();
    if found > limit as u64 {
        let bytes = usize::try_from(found).unwrap_or(usize::MAX);
        return Err(PipelineError::from(ImageError::TooManyBytes { bytes, limit }).into());
    }
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(CliError::Input)?;
    Ok(bytes)
}
