//! What an agent is given: README.md, docs/, cases/ — and, as hashes, everything that a task is made of.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use target::spec::Limits;
use target::{Case, Fixtures, Language, Target, write_cases};

use crate::context::Context;
use crate::exit::Failure;

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let path = path.to_owned();
    move |error| Failure::io(&path, &error)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Hash of a file, or nothing for one that is not there.
fn hash_of(path: &Path) -> Option<String> {
    fs::read(path).ok().map(|bytes| sha256(&bytes))
}

/// Hashes of what a task is made of: the target's lock and cases, the language.
pub(crate) fn digests(
    context: &Context,
    target: &Target,
    language: Option<&Language>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut digests = BTreeMap::new();
    let mut add = |name: &str, path: PathBuf| {
        if let Some(hash) = hash_of(&path) {
            digests.insert(name.to_owned(), hash);
        }
    };
    add("target-lock", target.lock_path());
    add("target", target.dir.join("target.toml"));
    add("visible-cases", target.dir.join("tests/visible.jsonl"));
    add("hidden-cases", target.dir.join("tests/hidden.jsonl"));
    if let Some(language) = language {
        add(
            "language",
            context
                .catalog()?
                .languages
                .join(format!("{}.toml", language.name)),
        );
    }
    Ok(digests)
}

/// The documentation in the cache; what is not there yet is extracted from the reference's package, as
/// `target build --no-draw` does.
pub(crate) fn docs(context: &Context, target: &Target) -> Result<PathBuf, Failure> {
    // Runs of a set begin at the same time.
    static ONE: Mutex<()> = Mutex::new(());
    let docs = target::build::docs_directory(&context.cache()?, &target.spec.name)?;
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    if !docs.is_dir() {
        crate::target::extract_docs(context, target)?;
    }
    Ok(docs)
}

/// Writes what the agent sees at `/task`, and returns the paths of what need not be stored with a run.
pub(crate) fn assemble(
    context: &Context,
    target: &Target,
    language: &Language,
    visible: &[Case],
    into: &Path,
) -> Result<(), Failure> {
    let partial = into.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    let (docs, cases) = (partial.join("docs"), partial.join("cases"));
    for dir in [&docs, &cases] {
        fs::create_dir_all(dir).map_err(io(dir))?;
    }
    let from = self::docs(context, target)?;
    let mut pages = Vec::new();
    for entry in fs::read_dir(&from).map_err(io(&from))? {
        let entry = entry.map_err(io(&from))?;
        let to = docs.join(entry.file_name());
        fs::copy(entry.path(), &to).map_err(io(&to))?;
        pages.push(entry.file_name().to_string_lossy().into_owned());
    }
    pages.sort();
    let path = cases.join("visible.jsonl");
    fs::write(&path, write_cases(visible, &Fixtures::none())).map_err(io(&path))?;
    let path = partial.join("README.md");
    fs::write(&path, readme(target, language, visible.len(), &pages)).map_err(io(&path))?;
    let _ = fs::remove_dir_all(into);
    fs::rename(&partial, into).map_err(io(into))
}

fn limits(limits: &Limits) -> String {
    format!(
        "{} s on the clock, {} s of processor time, {} MiB of memory, {} MiB of output",
        limits.wall_seconds, limits.cpu_seconds, limits.memory_mib, limits.output_mib
    )
}

fn readme(target: &Target, language: &Language, visible: usize, pages: &[String]) -> String {
    let spec = &target.spec;
    let command = &spec.reference.command;
    let environment: Vec<_> = spec
        .environment
        .iter()
        .map(|(name, value)| format!("    {name}={value}\n"))
        .collect();
    let pages: Vec<_> = pages
        .iter()
        .map(|page| format!("- `/task/docs/{page}`\n"))
        .collect();
    format!(
        "# Rebuild `{command}` in {language}\n\n\
         `{command}` {about}. Write a program in {language} that behaves exactly as it does.\n\n\
         You can run the original as `{command}`, but not read it. It sees `/workspace`, `/tmp` and `/task`, and is \
         the authority: where the documentation and the program differ, the program is right. You have no source \
         code, no network and no other help.\n\n\
         ## What is here\n\n\
         - `/workspace`: your work. Everything in it is the submission.\n\
         - `/task/cases/visible.jsonl`: {visible} test cases, one JSON object a line: arguments, standard input, \
         files, environment, and what is expected.\n\
         {pages}\
         - `evaluate`: builds your work and runs the visible cases as scoring does. `evaluate FAMILY...` or \
         `evaluate ID...` runs some of them.\n\
         - `submit`: ends your work.\n\n\
         ## What passing means\n\n\
         Standard output, standard error, exit status and declared files must be the same byte for byte, in every \
         visible case and in every hidden one. Hidden cases are drawn from the same families as the visible ones; \
         each has visible ones like it. The task is solved only if all of them pass.\n\n\
         ## How a case runs\n\n\
         In a fresh directory `/case` that holds the case's files and nothing else, with this environment and the \
         case's own variables on top:\n\n\
         {environment}\n\
         as user `agent` (1000) on host `{host}`. `/tmp` is empty and writable. Standard input and output are pipes. \
         There is no network and no other program. Limits: {limits}.\n\n\
         A case in the file is `{{\"id\", \"family\", \"argv\", \"stdin\", \"files\", \"env\", \"expect\"}}`; what is empty is left \
         out. Bytes are a JSON string, or `{{\"base64\": ...}}` when they are not valid UTF-8. `argv` is what follows \
         the program's name. To ask the original about a case, put its files into a directory, change there, and \
         run `{command}` with the same arguments and input.\n\n\
         ## {about_language}\n\n{guide}",
        language = language.name,
        about = spec.about,
        pages = pages.concat(),
        environment = environment.concat(),
        host = target::HOST_NAME,
        limits = limits(&spec.limits),
        about_language = language.about,
        guide = language.guide.trim_start(),
    )
}
