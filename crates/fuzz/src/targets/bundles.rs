//! Bundles of runs that strangers send.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use agent::event::TreeHash;
use bundle::{FORMAT, JOURNAL, Limits, Listed, Manifest, RUN, VERDICT};
use zstd::bulk::Compressor;

use crate::plant::Outside;

const HEADER: &str = "id = \"20261124T021000-a-b-0000\"\ntask = \"a/b\"\ncreated = \"2026-11-24T02:10:00.123Z\"\nformat = 4\nmirrorcode = \"0\"\n";
const RUN_ID: &str = "20261124T021000-a-b-0000";
/// What parts an input into files.
const PART: u8 = 0xff;
/// Small, so that inputs come to them.
const LIMITS: Limits = Limits {
    file: 1 << 16,
    unpacked: 1 << 16,
    files: 16,
    manifest: 1 << 13,
    contents: 1 << 16,
    list: 1 << 12,
};

thread_local! {
    /// A new one costs more than what it compresses here.
    static COMPRESSOR: RefCell<Compressor<'static>> =
        RefCell::new(Compressor::new(1).expect("memory takes it"));
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    COMPRESSOR
        .with_borrow_mut(|compressor| compressor.compress(bytes))
        .expect("memory takes it")
}

/// The archive's files from an input's parts: journal, verdict, and contents.
fn files(input: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut parts = input.split(|byte| *byte == PART);
    let mut files = BTreeMap::from([
        (RUN.to_owned(), HEADER.as_bytes().to_vec()),
        (
            JOURNAL.to_owned(),
            parts.next().unwrap_or_default().to_vec(),
        ),
        (
            VERDICT.to_owned(),
            parts.next().unwrap_or_default().to_vec(),
        ),
    ]);
    for content in parts {
        let name = run::digest(content).to_string();
        let packed = compressed(content);
        files.insert(format!("blobs/{}/{}", &name[..2], &name[2..]), packed);
    }
    files
}

/// The manifest that these files have; what is submitted is the last content that the journal names.
fn manifest(files: &BTreeMap<String, Vec<u8>>) -> Manifest {
    let journal = String::from_utf8_lossy(&files[JOURNAL]).into_owned();
    let tree = journal
        .rsplit("\"tree\":\"")
        .next()
        .and_then(|rest| rest.get(..64)?.parse().ok())
        .unwrap_or_else(|| run::digest(b""));
    Manifest {
        format: FORMAT,
        run: RUN_ID.to_owned(),
        task: "a/b".to_owned(),
        submission: TreeHash(tree),
        versions: BTreeMap::new(),
        mirrorcode: "0".to_owned(),
        files: files
            .iter()
            .map(|(path, content)| Listed {
                path: path.clone(),
                bytes: content.len() as u64,
                sha256: run::digest(content),
            })
            .collect(),
    }
}

/// The archive as bundles have it, not compressed yet.
fn archive(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let text = manifest(files).to_json();
    let first = [
        ("manifest.json", text.as_bytes()),
        ("manifest.json.minisig", b"nobody's".as_slice()),
    ];
    let rest = files
        .iter()
        .map(|(name, content)| (name.as_str(), content.as_slice()));
    let mut plain = Vec::new();
    for (name, content) in first.into_iter().chain(rest) {
        let mut header = tar::Header::new_ustar();
        header.set_path(name).expect("names are short");
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        header.set_cksum();
        plain.extend_from_slice(header.as_bytes());
        plain.extend_from_slice(content);
        plain.resize(plain.len().next_multiple_of(512), 0);
    }
    plain.resize(plain.len() + 1024, 0);
    plain
}

/// The first byte says what the rest is: a bundle, an archive that is to be compressed, or the files of one.
pub(super) fn read(input: &[u8], scratch: &Path) {
    let Some((how, rest)) = input.split_first() else {
        return;
    };
    let bytes = match how & 3 {
        0 => rest.to_vec(),
        1 => compressed(rest),
        _ => compressed(&archive(&files(rest))),
    };
    let outside = Outside::new(scratch);
    let dir = scratch.join("run");
    fs::create_dir(&dir).expect("the scratch directory is empty");
    let unpacked =
        bundle::open(bytes.as_slice(), &LIMITS).and_then(|opened| opened.unverified().unpack(&dir));
    if let Ok(manifest) = unpacked {
        for file in &manifest.files {
            let content = fs::read(dir.join(&file.path)).expect("it is unpacked");
            assert_eq!(run::digest(&content), file.sha256);
        }
        assert!(manifest.files.len() <= LIMITS.files);
        if let Ok(checked) = bundle::check(&dir, &manifest, &LIMITS) {
            assert!(checked.contents <= LIMITS.contents);
            assert!(
                bundle::differences(&checked.verdict, &checked.verdict).is_empty(),
                "a verdict differs from itself in nothing"
            );
        }
    }
    outside.check();
    crate::plant::clear(&dir);
}

/// A run without a workspace of its own but an empty one, whole and in parts.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let empty = run::digest(b"");
    let list = format!(
        "{{\"kind\":\"file\",\"path\":\"a\",\"sha256\":\"{empty}\",\"bytes\":0,\"executable\":false}}\n"
    );
    let tree = run::digest(list.as_bytes());
    let journal = format!(
        "{{\"seq\":1,\"time\":\"2026-11-24T02:10:00.123Z\",\"type\":\"start\",\"format\":4,\"task\":\"a/b\",\"agent\":\"person\",\
         \"versions\":{{}},\"digests\":{{}},\"limits\":{{}}}}\n\
         {{\"seq\":2,\"time\":\"2026-11-24T02:10:01.123Z\",\"type\":\"workspace\",\"number\":0,\"tree\":\"{tree}\"}}\n\
         {{\"seq\":3,\"time\":\"2026-11-24T02:10:02.123Z\",\"type\":\"submit\",\"tree\":\"{tree}\"}}\n"
    );
    let verdict = "{\"format\":1,\"task\":\"a/b\",\"solved\":false,\"summary\":\"\",\"build\":\"none\",\
        \"visible\":{\"passed\":0,\"total\":0},\"hidden\":{\"passed\":0,\"total\":1},\"families\":{},\
        \"cases\":[{\"id\":\"a/b/1\",\"split\":\"hidden\",\"outcome\":\"stdout\"}],\
        \"submission\":{\"kind\":\"source\",\"digest\":\"\",\"files\":1,\"bytes\":0},\"versions\":{}}";
    let parts = [journal.as_bytes(), verdict.as_bytes(), list.as_bytes(), b""].join(&PART);
    let plain = archive(&files(&parts));
    let packed = compressed(&plain);
    let with = |how: u8, rest: &[u8]| [&[how], rest].concat();
    vec![with(0, &packed), with(1, &plain), with(2, &parts)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        for (number, seed) in seeds().iter().enumerate().take(2) {
            let place = dir.path().join(number.to_string());
            fs::create_dir(&place).unwrap();
            let bytes = match seed[0] {
                0 => seed[1..].to_vec(),
                _ => compressed(&seed[1..]),
            };
            let opened = bundle::open(bytes.as_slice(), &LIMITS).unwrap();
            let manifest = opened.unverified().unpack(&place).unwrap();
            bundle::check(&place, &manifest, &LIMITS).unwrap();
        }
    }
}
