//! A folder over HTTP on 127.0.0.1: what the demo and the browser test load the page from.
//!
//! Plain static hosting and nothing more: `GET` and `HEAD`, byte ranges, the media types a browser
//! insists on for modules and WebAssembly. It never listens on another interface.

mod request;
mod response;

use std::{
    fs, io,
    io::BufReader,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use request::Request;
use response::Response;

/// How long a connection may stay silent before it is closed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder that is ready to be served.
pub struct Server {
    root: PathBuf,
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Listens on `127.0.0.1:port` for requests for files under `root`; port 0 takes a free one.
    ///
    /// # Errors
    /// Where `root` is not there, or the port is taken.
    pub fn bind(root: &Path, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        Ok(Server {
            root: fs::canonicalize(root)?,
            address: listener.local_addr()?,
            listener,
        })
    }

    /// The address of the root, such as `http://127.0.0.1:8080/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Serves until the process ends.
    pub fn run(self) {
        for stream in self.listener.incoming().flatten() {
            let root = self.root.clone();
            thread::spawn(move || {
                // A visitor who hangs up is no concern of ours.
                let _ = converse(&root, &stream);
            });
        }
    }
}

/// Answers the requests of one connection until it ends.
fn converse(root: &Path, stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader)? {
        let last = request.close;
        Response::to(&request, root).send(&mut &*stream, request.head)?;
        if last {
            break;
        }
    }
    Ok(())
}
