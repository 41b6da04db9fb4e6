//! Files of the hub into the cache, each whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::cache::{Cache, make_parent};
use super::client::{ATTEMPTS, Client, Hasher, Refused, Remote, wait};
use super::{HubError, HubProgress};

/// Bytes between two looks at what the user wants.
const STEP: usize = 1 << 20;

/// What was done, over all files.
#[derive(Default)]
pub(super) struct Total {
    now: HubProgress,
}

/// Fetches files of one commit.
pub(super) struct Download<'a> {
    pub client: &'a Client<'a>,
    pub cache: &'a Cache,
    pub commit: &'a str,
    pub progress: &'a mut dyn FnMut(HubProgress),
    pub stop: &'a AtomicBool,
}

impl Download<'_> {
    /// Brings `files` into the snapshot, those that are not there.
    pub fn all(&mut self, files: &[Remote], total: &mut Total) -> Result<(), HubError> {
        let now = &mut total.now;
        now.total_files += files.len();
        now.total_bytes += files.iter().fold(0, |sum, it| it.size.saturating_add(sum));
        for file in files {
            if self.cache.has(self.commit, file)? {
                now.bytes += file.size;
            } else {
                let _lock = self.cache.lock(file)?;
                // Whoever had the lock may have fetched it.
                match self.cache.has(self.commit, file)? {
                    true => now.bytes += file.size,
                    false => self.one(file, now)?,
                }
            }
            now.files += 1;
            (self.progress)(*now);
        }
        Ok(())
    }

    fn one(&mut self, file: &Remote, now: &mut HubProgress) -> Result<(), HubError> {
        let blob = self.cache.blob(file);
        let path = blob.with_file_name(format!("{}.incomplete", file.digest.text()));
        let mut part = Part::open(&path, file)?;
        now.bytes += part.length;
        let mut attempts = 0;
        while part.length < file.size {
            let before = part.length;
            let error = match self.part(file, &mut part, now) {
                Ok(()) => continue,
                Err(Refused::ForGood(error)) => return Err(error),
                Err(Refused::ForNow(error)) => error,
            };
            attempts = match part.length > before {
                true => 1,
                false => attempts + 1,
            };
            if attempts >= ATTEMPTS {
                return Err(error);
            }
            wait(attempts);
        }
        let found = part.finish()?;
        if found != file.digest.text() {
            fs::remove_file(&path).map_err(|e| HubError::io(&path, e))?;
            return Err(HubError::Digest {
                name: self.client.name.to_string(),
                file: file.path.clone(),
                kind: file.digest.kind(),
                wanted: file.digest.text().to_owned(),
                found,
            });
        }
        fs::rename(&path, &blob).map_err(|e| HubError::io(&blob, e))?;
        self.cache.link(self.commit, file)
    }

    /// One request: as many of the missing bytes as come.
    fn part(
        &mut self,
        file: &Remote,
        part: &mut Part<'_>,
        now: &mut HubProgress,
    ) -> Result<(), Refused> {
        let response = self.client.open(self.commit, &file.path, part.length)?;
        let starts_at = response
            .headers()
            .get("Content-Range")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("bytes ")?.split_once('-'))
            .and_then(|(start, _)| start.trim().parse::<u64>().ok());
        let continues = response.status() == 206 && starts_at == Some(part.length);
        let network = |reason: &str| {
            Refused::ForNow(HubError::Network {
                url: self.client.url(self.commit, &file.path),
                reason: format!("`{}` {reason}", file.path),
            })
        };
        if !continues && part.length > 0 {
            // A server without ranges, or another opinion of what is there.
            now.bytes -= part.length;
            part.restart().map_err(Refused::ForGood)?;
        }
        if !continues && response.status() != 200 {
            return Err(network("came as another part than was asked for"));
        }
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; STEP];
        while part.length < file.size {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Refused::ForGood(HubError::Stopped));
            }
            let room = (file.size - part.length).min(STEP as u64) as usize;
            let read = match body.read(&mut buffer[..room]) {
                Ok(0) => return Err(network("broke off")),
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(network(&format!("broke off: {e}"))),
            };
            part.write(&buffer[..read]).map_err(Refused::ForGood)?;
            now.bytes += read as u64;
            now.fetched += read as u64;
            (self.progress)(*now);
        }
        Ok(())
    }
}

/// What is here of a file.
struct Part<'a> {
    path: &'a Path,
    file: File,
    remote: &'a Remote,
    length: u64,
    hasher: Hasher,
}

impl<'a> Part<'a> {
    /// What an earlier attempt has left, or nothing.
    fn open(path: &'a Path, remote: &'a Remote) -> Result<Self, HubError> {
        let fail = |e| HubError::io(path, e);
        make_parent(path).map_err(fail)?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut part = Self {
            path,
            file: options.open(path).map_err(fail)?,
            remote,
            length: 0,
            hasher: remote.digest.hasher(remote.size),
        };
        if part.file.metadata().map_err(fail)?.len() > remote.size {
            part.restart()?;
        }
        let mut buffer = vec![0; STEP];
        loop {
            match part.file.read(&mut buffer) {
                Ok(0) => return Ok(part),
                Ok(read) => {
                    part.hasher.update(&buffer[..read]);
                    part.length += read as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(fail(e)),
            }
        }
    }

    fn restart(&mut self) -> Result<(), HubError> {
        let cut = self.file.set_len(0);
        let cut = cut.and_then(|()| self.file.seek(SeekFrom::Start(0)));
        cut.map_err(|e| HubError::io(self.path, e))?;
        self.length = 0;
        self.hasher = self.remote.digest.hasher(self.remote.size);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        let written = self.file.write_all(bytes);
        written.map_err(|e| HubError::io(self.path, e))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The digest of what was written.
    fn finish(self) -> Result<String, HubError> {
        let kept = self.file.sync_all();
        kept.map_err(|e| HubError::io(self.path, e))?;
        Ok(self.hasher.finish())
    }
}
