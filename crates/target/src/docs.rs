//! The documentation that agents get, taken from the reference's package when a target is built.

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use image::{Cache, Image, Recipe, Variant};
use sandbox::{Command, Conditions, Ending, Limits, Mount, Scratch, Source, Syscalls, Worker};

use crate::execute::{Observed, Program, observe_inputs};
use crate::spec::Spec;
use crate::{Bytes, Inputs};

/// Width of rendered manual pages, in columns.
const WIDTH: u32 = 100;
/// Largest file of documentation, in bytes.
const MOST_BYTES: u64 = 8 << 20;

/// A page for the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// File name, as in `gron.1.txt`.
    pub name: String,
    /// Its text.
    pub bytes: Vec<u8>,
}

/// Why documentation could not be extracted.
#[derive(Debug, thiserror::Error)]
pub enum DocsError {
    /// The image for rendering manual pages.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The sandbox failed.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// A file that target.toml names.
    #[error("target.toml: docs: {path}: {what}")]
    File {
        /// The file, as target.toml names it.
        path: String,
        /// What is wrong.
        what: String,
    },
}

fn file_error(path: &str, what: impl ToString) -> DocsError {
    DocsError::File {
        path: path.to_owned(),
        what: what.to_string(),
    }
}

/// The image that renders manual pages.
pub fn renderer() -> Recipe {
    let mut recipe = Recipe::new(crate::SUITE, Variant::Extract, &["mandoc"]);
    recipe.executables = Some(vec!["/usr/bin/mandoc".to_owned()]);
    recipe
}

/// Extracts every page that a target names. `package` is the image with the package's documentation;
/// `sandbox` and `program` run the reference, for its own help.
///
/// # Errors
/// [`DocsError`], which names the entry of target.toml.
pub fn extract(
    spec: &Spec,
    directory: &Path,
    cache: &Cache,
    package: &Image,
    reference: (&sandbox::Spec, &Program),
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(image::Progress),
) -> Result<Vec<Page>, DocsError> {
    let mut pages = Vec::new();
    if !spec.docs.man.is_empty() {
        let renderer = cache.ensure(&renderer(), cancel, progress)?;
        let mut worker = Worker::start(&rendering_sandbox(&renderer, package))?;
        for path in &spec.docs.man {
            let text = cut(&render(&mut worker, path)?, &spec.docs.cut);
            let name = path
                .rsplit('/')
                .next()
                .unwrap_or(path)
                .trim_end_matches(".gz");
            pages.push(Page {
                name: format!("{name}.txt"),
                bytes: text.into_bytes(),
            });
        }
    }
    if !spec.docs.help.is_empty() {
        let (sandbox, program) = reference;
        let mut worker = Worker::start(sandbox)?;
        let mut text = Vec::new();
        for argv in &spec.docs.help {
            let observed = ask(&mut worker, program, spec, argv, Vec::new())?;
            text.extend_from_slice(format!("$ {} {}\n", program.name, argv.join(" ")).as_bytes());
            text.extend_from_slice(&observed.stdout);
            text.extend_from_slice(&observed.stderr);
            text.push(b'\n');
        }
        pages.push(Page {
            name: "help.txt".to_owned(),
            bytes: text,
        });
    }
    if !spec.docs.printed.is_empty() {
        let (sandbox, program) = reference;
        let mut worker = Worker::start(sandbox)?;
        for printed in &spec.docs.printed {
            let stdin = fs::read(directory.join(&printed.stdin))
                .map_err(|error| file_error(&printed.stdin, error))?;
            let observed = ask(&mut worker, program, spec, &printed.argv, stdin)?;
            if observed.ending != Ending::Exited(0) {
                let said = String::from_utf8_lossy(&observed.stderr).into_owned();
                return Err(file_error(
                    &printed.page,
                    format!("the reference failed: {}", said.trim()),
                ));
            }
            pages.push(Page {
                name: printed.page.clone(),
                bytes: observed.stdout,
            });
        }
    }
    for path in &spec.docs.files {
        let bytes = read_inside(&package.root, path).map_err(|error| file_error(path, error))?;
        let name = path
            .rsplit('/')
            .next()
            .unwrap_or(path)
            .trim_end_matches(".gz");
        pages.push(Page {
            name: name.to_owned(),
            bytes,
        });
    }
    for path in &spec.docs.ours {
        let bytes = fs::read(directory.join(path)).map_err(|error| file_error(path, error))?;
        let name = path.rsplit('/').next().unwrap_or(path);
        pages.push(Page {
            name: name.to_owned(),
            bytes,
        });
    }
    Ok(pages)
}

fn ask(
    worker: &mut Worker,
    program: &Program,
    spec: &Spec,
    argv: &[String],
    stdin: Vec<u8>,
) -> Result<Observed, sandbox::Error> {
    let inputs = Inputs {
        argv: argv
            .iter()
            .map(|argument| Bytes(argument.clone().into_bytes()))
            .collect(),
        stdin: Bytes(stdin),
        ..Inputs::default()
    };
    observe_inputs(worker, program, spec, &inputs, Conditions::default())
}

fn rendering_sandbox(renderer: &Image, package: &Image) -> sandbox::Spec {
    sandbox::Spec {
        rootfs: renderer.root.clone(),
        mounts: vec![Mount {
            source: Source::Path(package.root.clone()),
            at: "/package".into(),
            writable: false,
        }],
        scratch: vec![Scratch {
            at: "/tmp".into(),
            bytes: 16 << 20,
            inodes: 100,
            executable: false,
        }],
        hostname: crate::HOST_NAME.to_owned(),
        proc: false,
        terminals: false,
        syscalls: Syscalls::Program,
        execute: None,
        guard: None,
        memory: 256 << 20,
        processes: 8,
    }
}

fn render(worker: &mut Worker, path: &str) -> Result<String, DocsError> {
    let width = format!("width={WIDTH}");
    let page = format!("/package{path}");
    let argv = ["mandoc", "-T", "utf8", "-O", &width, &page];
    let captured = worker.run(
        &Command {
            program: "/usr/bin/mandoc".into(),
            argv: argv.iter().map(Into::into).collect(),
            env: vec![("LC_ALL".into(), "C.UTF-8".into())],
            cwd: "/tmp".into(),
            files: Vec::new(),
            collect: Vec::new(),
            limits: Limits {
                wall: Duration::from_secs(60),
                cpu: Duration::from_secs(60),
                output: MOST_BYTES,
                file_size: MOST_BYTES,
                open_files: 64,
            },
            conditions: Conditions::default(),
            keep_background: false,
            terminal: false,
        },
        b"",
    )?;
    // 2: warnings about the page's own style.
    if !matches!(captured.outcome.ending, Ending::Exited(0..=2)) || captured.stdout.is_empty() {
        return Err(file_error(
            path,
            String::from_utf8_lossy(&captured.stderr).trim(),
        ));
    }
    Ok(without_overstrike(&String::from_utf8_lossy(
        &captured.stdout,
    )))
}

/// Takes out what printers used for bold and underlined letters.
fn without_overstrike(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter == '\u{8}' {
            plain.pop();
        } else {
            plain.push(letter);
        }
    }
    plain
}

/// Leaves out sections by their headings, each up to the next line that is indented no deeper.
fn cut(text: &str, headings: &[String]) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut out = String::with_capacity(text.len());
    let mut skipping = None;
    for line in text.lines() {
        if let Some(depth) = skipping
            && !line.trim().is_empty()
            && indent(line) <= depth
        {
            skipping = None;
        }
        if skipping.is_none() && headings.iter().any(|heading| heading == line.trim()) {
            skipping = Some(indent(line));
        }
        if skipping.is_none() {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Reads a file of an image; links are followed inside the image only.
fn read_inside(root: &Path, path: &str) -> io::Result<Vec<u8>> {
    let mut at = PathBuf::from(path);
    for _ in 0..8 {
        let below: PathBuf = at
            .components()
            .filter(|part| matches!(part, Component::Normal(_)))
            .collect();
        let full = root.join(&below);
        if !fs::symlink_metadata(&full)?.is_symlink() {
            let mut bytes = Vec::new();
            let file = fs::File::open(&full)?.take(MOST_BYTES);
            if path.ends_with(".gz") {
                flate2::read::MultiGzDecoder::new(file)
                    .take(MOST_BYTES)
                    .read_to_end(&mut bytes)?;
            } else {
                io::BufReader::new(file).read_to_end(&mut bytes)?;
            }
            return Ok(bytes);
        }
        let link = fs::read_link(&full)?;
        at = if link.is_absolute() {
            link
        } else {
            below.parent().unwrap_or(Path::new("")).join(link)
        };
    }
    Err(io::Error::other("too many links"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overstrike_goes() {
        assert_eq!(without_overstrike("N\u{8}NA\u{8}A _\u{8}x"), "NA x");
    }

    #[test]
    fn sections_go_with_what_is_below_them() {
        let text = "NAME\n     a\nMODULES\n     b\n\n   sub\n     c\nEND\n     d\n";
        assert_eq!(
            cut(text, &["MODULES".to_owned()]),
            "NAME\n     a\nEND\n     d\n"
        );
        assert_eq!(
            cut(text, &["sub".to_owned()]),
            "NAME\n     a\nMODULES\n     b\n\nEND\n     d\n"
        );
    }
}
