//! Shards behind TLS, from a server with an authority of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::place::{Place, Ran, assert_says};
use crate::training::TINY_RUN;

/// `openssl s_server` on a folder.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// `None`, said, where there is no `openssl`.
    fn start(folder: &Path) -> Option<Self> {
        let certificate = |args: &[&str]| {
            Command::new("openssl")
                .args([
                    "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                ])
                .args(args)
                .current_dir(folder)
                .output()
        };
        let authority = "-subj /CN=authority -keyout authority.key -out authority.pem";
        let server = "-subj /CN=localhost -keyout key.pem -out cert.pem -CA authority.pem \
            -CAkey authority.key -addext basicConstraints=CA:FALSE \
            -addext subjectAltName=DNS:localhost";
        for args in [authority, server] {
            let args: Vec<&str> = args.split_whitespace().collect();
            let Ok(made) = certificate(&args) else {
                println!("skipped: `openssl` (Debian's package of that name) is not here");
                return None;
            };
            assert!(
                made.status.success(),
                "{}",
                String::from_utf8_lossy(&made.stderr)
            );
        }
        let mut child = Command::new("openssl")
            .args([
                "s_server",
                "-WWW",
                "-accept",
                "127.0.0.1:0",
                "-naccept",
                "9",
            ])
            .args(["-cert", "cert.pem", "-key", "key.pem"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("ACCEPT") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "the server ended");
        }
        // What it says of requests must go somewhere.
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        let port = line.trim().rsplit(':').next().unwrap().parse().unwrap();
        Some(Self { child, port })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two pictures and their captions as a shard.
fn shard(place: &Place) {
    let folder = place.path("samples");
    std::fs::create_dir(&folder).unwrap();
    for i in 0..2 {
        std::fs::copy(place.path("picture.png"), folder.join(format!("{i}.png"))).unwrap();
        let text = "{\"captions\": [\"a plain picture\"]}";
        std::fs::write(folder.join(format!("{i}.json")), text).unwrap();
    }
    let packed = Command::new("tar")
        .args([
            "-cf",
            "train.tar",
            "-C",
            "samples",
            "0.json",
            "0.png",
            "1.json",
            "1.png",
        ])
        .current_dir(place.path("."))
        .status()
        .unwrap();
    assert!(packed.success());
}

#[test]
fn shards_come_over_tls_from_an_authority_the_system_names() {
    let place = Place::new();
    shard(&place);
    let Some(server) = Server::start(&place.path(".")) else {
        return;
    };
    let epoch = "--set=tune.epoch_samples=2";
    let url = format!("https://localhost:{}/train.tar", server.port);
    let files = "kind = \"captions\"\nfile = \"captions.jsonl\"\nimages = \"images\"\n";
    let shards = format!("kind = \"webdataset\"\nshards = [\"{url}\"]\n");
    place.put("run.toml", TINY_RUN.replace(files, &shards).as_bytes());
    let run = |certificates: &str, plan: &[&str]| {
        let mut command = place.command(&[&["train", "run.toml", epoch], plan].concat());
        command.env("SSL_CERT_FILE", place.path(certificates));
        command.env_remove("SSL_CERT_DIR");
        for proxy in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            command.env_remove(proxy);
        }
        Ran::of(command.output().unwrap())
    };
    let known = run("authority.pem", &["--dry-run"]);
    assert_eq!(known.status, 0, "{}", known.err);
    assert_says(&known.out, &["a plain picture"]);

    let other = place.path("other");
    std::fs::create_dir(&other).unwrap();
    let _other = Server::start(&other).unwrap();
    let unknown = run("other/authority.pem", &[]);
    assert_eq!(unknown.status, 1, "{}", unknown.out);
    assert_says(&unknown.err, &[&url, "certificate"]);
}
