//! The last hand on a built page: digests of its files, for the browser to check.

use crate::{
    shell::Failure,
    sizes::files,
    web::{Profile, dist},
};
use sha2::{Digest, Sha256, Sha384};
use std::{fs, path::Path};

/// Files that are no part of a build: models have a store of their own, and a service worker
/// cannot vouch for itself.
const APART: [&str; 4] = ["package/", "package-q8/", "scenes/", "sw.js"];

/// Puts the list of the build's files and their digests in front of the service worker, and the
/// digest of the first script into the page.
pub(crate) fn seal(profile: Profile) -> Result<(), Failure> {
    pin_boot()?;
    let mut listed = Vec::new();
    for path in files(&dist())? {
        let name = path.strip_prefix(dist()).unwrap_or(&path);
        let name = name.to_string_lossy().replace('\\', "/");
        if !APART.iter().any(|apart| name.starts_with(apart)) {
            listed.push((name, hex(&Sha256::digest(read(&path)?))));
        }
    }
    let worker = dist().join("sw.js");
    let text = String::from_utf8_lossy(&read(&worker)?).into_owned();
    let build = manifest(&listed, &text, profile);
    write(&worker, &format!("{build}\n{text}"))
}

/// The build as the service worker reads it. Its version follows from every file and from the
/// worker itself: the same build has the same name.
fn manifest(files: &[(String, String)], worker: &str, profile: Profile) -> String {
    let mut all = Sha256::new();
    for (name, digest) in files {
        all.update(format!("{name} {digest}\n"));
    }
    all.update(worker);
    let mut version = hex(&all.finalize());
    version.truncate(16);
    let lines: Vec<String> = files
        .iter()
        .map(|(name, digest)| format!("  [{name:?}, {digest:?}]"))
        .collect();
    let quick = match profile {
        Profile::Quick => "-quick",
        Profile::Release => "",
    };
    format!(
        "const BUILD = {{ version: \"{version}{quick}\", files: [\n{}\n] }};",
        lines.join(",\n")
    )
}

/// Gives the page's script and its program their digests. Trunk has put that of the program into
/// an element that preloads it, where no browser looks at it.
fn pin_boot() -> Result<(), Failure> {
    let digest = Sha384::digest(read(&dist().join("boot.js"))?);
    let page = dist().join("index.html");
    let text = String::from_utf8_lossy(&read(&page)?).into_owned();
    let pinned = pinned(&text, &base64(&digest)).ok_or_else(|| {
        Failure::Program(format!(
            "{}: expected one script, boot.js, and one program that is preloaded",
            page.display()
        ))
    })?;
    write(&page, &pinned)
}

/// The page with `boot`, a digest, in its script's element, and the program's beside it.
fn pinned(page: &str, boot: &str) -> Option<String> {
    let start = page
        .match_indices("<link")
        .map(|(start, _)| start)
        .find(|start| tag(page, *start).is_some_and(is_program))?;
    let preload = tag(page, start)?;
    let digest = preload.split("integrity=").nth(1)?;
    let digest = digest.split([' ', '>']).next()?.trim_matches('"');
    if page.matches("<script ").count() != 1 {
        return None;
    }
    let script = format!("<script integrity=\"sha384-{boot}\" data-digest=\"{digest}\" ");
    Some(page.replace(preload, "").replace("<script ", &script))
}

/// Whether an element preloads the program; quick builds have quotes.
fn is_program(tag: &str) -> bool {
    tag.replace('"', "").contains("as=fetch")
}

/// The element that begins at `start`.
fn tag(page: &str, start: usize) -> Option<&str> {
    let end = page[start..].find('>')?;
    page.get(start..=start + end)
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|source| Failure::File {
        path: path.to_owned(),
        source,
    })
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|source| Failure::File {
        path: path.to_owned(),
        source,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 4648, section 4, of whole groups of three bytes.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three
            .iter()
            .fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(LETTERS[(bits >> shift) as usize & 63]))
    };
    bytes.chunks_exact(3).flat_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::{base64, manifest, pinned};
    use crate::web::Profile;

    #[test]
    fn digests_are_spelt_as_browsers_want_them() {
        assert_eq!(base64(b"Man"), "TWFu");
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn the_program_is_checked_and_not_merely_preloaded() {
        let page = "<link href=a.js rel=modulepreload><script data-page=a.js></script><link as=fetch crossorigin href=a.wasm integrity=sha384-AA== rel=preload>";
        let expected = "<link href=a.js rel=modulepreload><script integrity=\"sha384-BB==\" data-digest=\"sha384-AA==\" data-page=a.js></script>";
        assert_eq!(pinned(page, "BB==").as_deref(), Some(expected));
        let quoted = page.replace("as=fetch", "as=\"fetch\"");
        assert_eq!(pinned(&quoted, "BB==").as_deref(), Some(expected));
        assert_eq!(pinned("<script src=boot.js></script>", "BB=="), None);
    }

    #[test]
    fn a_build_is_named_by_all_that_is_in_it() {
        let build = |digest: &str, worker: &str| {
            let files = [("a.js".to_owned(), digest.to_owned())];
            manifest(&files, worker, Profile::Release)
        };
        assert_eq!(build("1", "w"), build("1", "w"));
        let version = |text: String| text.lines().next().map(str::to_owned);
        assert_ne!(version(build("1", "w")), version(build("2", "w")));
        assert_ne!(version(build("1", "w")), version(build("1", "v")));
    }
}
