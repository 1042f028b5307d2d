//! Archives and trees of files.

use std::cell::RefCell;
use std::fs;
use std::io::Write;
use std::path::Path;

use agent::event::{Recorder, TreeHash};
use run::{Header, Known, Limits, Run, Tree};
use score::Submission;

use super::one_in;
use crate::plant::{self, Outside};

/// What an archive may hold here: more than any input says without lying.
const MOST_BYTES: u64 = 1 << 20;

/// Puts right what every header of an archive says about itself, so that more than one input in 2^18 gets further.
fn with_checksums(archive: &[u8]) -> Vec<u8> {
    let mut archive = archive.to_vec();
    let mut at = 0;
    while let Some(block) = archive.get_mut(at..at + 512) {
        if block.iter().all(|&byte| byte == 0) {
            break;
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let text = String::from_utf8_lossy(&block[124..136]);
        let size = usize::from_str_radix(text.trim_matches(['\0', ' ']), 8).unwrap_or(0);
        at = at
            .saturating_add(512)
            .saturating_add(size.div_ceil(512).saturating_mul(512));
    }
    archive
}

/// What was unpacked is inside, is readable, and has no special files.
fn check(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let data = fs::symlink_metadata(entry.path()).expect("it was just listed");
        assert!(
            data.is_dir() || data.is_file() || data.is_symlink(),
            "{entry:?}"
        );
        let mode = std::os::unix::fs::PermissionsExt::mode(&data.permissions());
        assert!(
            data.is_symlink() || mode & 0o7000 == 0,
            "{entry:?}: {mode:o}"
        );
        if data.is_dir() {
            check(&entry.path());
        }
    }
}

/// The first byte says whether checksums are put right.
pub(super) fn archive(input: &[u8], scratch: &Path) {
    let Some((&how, bytes)) = input.split_first() else {
        return;
    };
    let outside = Outside::new(scratch);
    let root = scratch.join("root");
    fs::create_dir(&root).expect("the scratch directory is empty");
    let bytes = if how & 3 == 0 {
        bytes.to_vec()
    } else {
        with_checksums(bytes)
    };
    drop(image::fuzzing::unpack_root(
        &bytes[..],
        &root,
        MOST_BYTES,
        1000,
    ));
    check(&root);
    plant::clear(&root);
    outside.check();
}

/// The first byte says whether checksums are put right, and whether the archive is compressed here.
pub(super) fn source_archive(input: &[u8], scratch: &Path) {
    let Some((&how, bytes)) = input.split_first() else {
        return;
    };
    let outside = Outside::new(scratch);
    let (root, path) = (scratch.join("root"), scratch.join("archive"));
    let bytes = if how & 3 == 0 {
        bytes.to_vec()
    } else {
        with_checksums(bytes)
    };
    let packed = if how & 12 == 12 {
        bytes
    } else {
        let level = flate2::Compression::fast();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
        encoder.write_all(&bytes).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    };
    fs::write(&path, packed).expect("the scratch directory can be written to");
    drop(image::fuzzing::unpack_source(&path, &root));
    check(&root);
    plant::clear(&root);
    outside.check();
}

pub(super) fn elf(input: &[u8], scratch: &Path) {
    let path = scratch.join("file");
    fs::write(&path, input).expect("the scratch directory can be written to");
    image::fuzzing::is_program(&path).expect("what can be read is a program or not");
}

thread_local! {
    /// The run that workspaces are recorded in, and how many: making a new one costs more than recording.
    static RUN: RefCell<Option<(Run, u32)>> = const { RefCell::new(None) };
}

const LIMITS: Limits = Limits {
    files: 100,
    bytes: 1 << 20,
    depth: 64,
};

pub(super) fn snapshot(input: &[u8], scratch: &Path) {
    let outside = Outside::new(scratch);
    let (root, again) = (scratch.join("workspace"), scratch.join("again"));
    let planted = plant::plant(input, &root);
    RUN.with_borrow_mut(|kept| {
        let dir = scratch.join("run");
        if kept.as_ref().is_none_or(|(_, trees)| *trees == 1000) {
            *kept = None;
            plant::clear(&dir);
            let header = Header::new("a/b", "0", [].into()).expect("the name is plain");
            let run = Run::create(&dir, &header, Known::nothing(), LIMITS).expect("it is new");
            *kept = Some((run, 0));
        }
        let (run, trees) = kept.as_mut().expect("it was just made");
        *trees += 1;
        match run.snapshot(&root) {
            Ok(tree) => {
                let tree = tree.expect("no workspace has been noted");
                if one_in(8, input) {
                    restored(run, tree, &again);
                }
            }
            // Too many files, too large, too deep.
            Err(agent::event::RecordError::Workspace(_)) => {}
            Err(error) => panic!("{error}"),
        }
    });
    planted.clear();
    outside.check();
}

/// A tree restored and recorded again is the same, but for what could not be read.
fn restored(run: &mut Run, hash: TreeHash, dir: &Path) {
    let tree = Tree::load(run.store(), hash).expect("what was recorded is read");
    fs::create_dir(dir).expect("the scratch directory is empty");
    run::restore(run.store(), hash, dir, LIMITS).expect("what was recorded is restored");
    let again = run.snapshot(dir).expect("what was restored is recorded");
    let readable = |node: &run::Node| !matches!(node, run::Node::Unreadable { .. });
    if tree.nodes.iter().all(readable) {
        assert_eq!(again, Some(hash), "restored and recorded again");
    }
    plant::clear(dir);
}

pub(super) fn submission(input: &[u8], scratch: &Path) {
    let outside = Outside::new(scratch);
    let root = scratch.join("workspace");
    let (ignore, plan) = input.split_at_checked(1).unwrap_or_default();
    let planted = plant::plant(plan, &root);
    let ignore = match ignore {
        [1..=255] => vec!["*.o".to_owned(), "target".to_owned()],
        _ => Vec::new(),
    };
    if let Ok(submission) = Submission::read(&root, &ignore) {
        assert!(!submission.files.is_empty());
        assert!(submission.files.is_sorted_by(|a, b| a.path < b.path));
        for file in &submission.files {
            assert!(
                !file.bytes.starts_with(plant::CANARY),
                "{} leads outside",
                file.path
            );
            assert!(
                !file
                    .path
                    .split('/')
                    .any(|part| [".git", "", "..", "."].contains(&part))
            );
        }
        if one_in(8, input) {
            let again = Submission::read(&root, &ignore).map(|again| again.digest());
            assert_eq!(again.ok(), Some(submission.digest()), "read twice");
        }
    }
    planted.clear();
    outside.check();
}

/// A tree, a zero byte, then the arguments, a line each.
pub(super) fn edit(input: &[u8], scratch: &Path) {
    let outside = Outside::new(scratch);
    let root = scratch.join("workspace");
    // What is compared with, coverage finds out: an input that says the words itself shows nothing.
    let canary = String::from_utf8_lossy(plant::CANARY);
    let knows = String::from_utf8_lossy(input).contains(&*canary);
    let mut parts = input.splitn(2, |&byte| byte == 0);
    let planted = plant::plant(parts.next().unwrap_or_default(), &root);
    for line in String::from_utf8_lossy(parts.next().unwrap_or_default()).lines() {
        match agent::scaffold::fuzzing::edit(&root, line) {
            Ok(text) | Err(text) => {
                assert!(knows || !text.contains(&*canary), "{line} leads outside");
            }
        }
    }
    planted.clear();
    outside.check();
}
