//! The demonstration.

use crate::{
    shell::{Failure, command, step},
    web::{self, Profile, dist},
};
use adem_serve::Server;
use std::{
    env,
    process::{Command, Stdio},
};

/// The port that is tried first.
const PORT: u16 = 8080;

/// How to run the demonstration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// `None`: 8080, or any free one where that is taken.
    port: Option<u16>,
    open: bool,
}

impl Options {
    /// From the command line.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, Failure> {
        match words {
            [] => Ok(Options {
                port: None,
                open: true,
            }),
            ["--no-open", rest @ ..] => Ok(Options {
                open: false,
                ..Self::parse(rest)?
            }),
            ["--port", port, rest @ ..] => {
                let port = port
                    .parse()
                    .map_err(|_| Failure::Usage(format!("demo --port {port}")))?;
                Ok(Options {
                    port: Some(port),
                    ..Self::parse(rest)?
                })
            }
            other => Err(Failure::Usage(format!("demo {}", other.join(" ")))),
        }
    }
}

/// Builds the page, serves it on 127.0.0.1 and opens it, until interrupted.
pub(crate) fn run(options: Options) -> Result<(), Failure> {
    web::build(Profile::Release)?;
    let server = match options.port {
        Some(port) => Server::bind(&dist(), port),
        None => Server::bind(&dist(), PORT).or_else(|_| Server::bind(&dist(), 0)),
    }
    .map_err(|source| Failure::File {
        path: dist(),
        source,
    })?;
    step(format_args!(
        "the page is at {}  (Ctrl-C ends)",
        server.url()
    ));
    if options.open
        && let Some(mut opener) = opener()
    {
        // Whoever has no desktop reads the address above.
        let _ = opener.arg(server.url()).stderr(Stdio::null()).spawn();
    }
    server.run();
    Ok(())
}

/// The program that opens an address on this desktop, if there is a desktop.
fn opener() -> Option<Command> {
    if cfg!(target_os = "macos") {
        Some(command("open"))
    } else if cfg!(target_os = "windows") {
        Some(command("explorer"))
    } else {
        let desktop = ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|name| env::var_os(name).is_some());
        desktop.then(|| command("xdg-open"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Options;

    #[test]
    fn options_come_in_any_order() {
        let expected = Options {
            port: Some(9000),
            open: false,
        };
        for words in [
            ["--port", "9000", "--no-open"],
            ["--no-open", "--port", "9000"],
        ] {
            assert_eq!(Options::parse(&words).unwrap(), expected);
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for words in [
            vec!["--port"],
            vec!["--port", "70000"],
            vec!["--loud"],
            vec!["--no-open", "x"],
        ] {
            assert!(Options::parse(&words).is_err(), "{words:?}");
        }
    }
}
