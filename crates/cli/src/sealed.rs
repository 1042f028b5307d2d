//! `mirrorcode target pack` and `mirrorcode target open`: targets that never stand in a public repository.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use target::{Identities, Recipient, Target, sealed};

use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::terminal;

/// Seals the directory of a target.
pub(crate) fn pack(dir: &Path, recipients: &[String], to: Option<&Path>) -> Answer {
    let recipients = recipients
        .iter()
        .map(|text| text.parse::<Recipient>().map_err(Failure::usage))
        .collect::<Result<Vec<_>, _>>()?;
    let name = dir
        .canonicalize()
        .ok()
        .and_then(|dir| Some(dir.file_name()?.to_string_lossy().into_owned()));
    let to = to.map_or_else(
        || {
            PathBuf::from(format!(
                "{}.{}",
                name.unwrap_or_default(),
                sealed::EXTENSION
            ))
        },
        Path::to_owned,
    );
    let target = sealed::pack(dir, &recipients, &to)?;
    terminal::line(&format!(
        "{}: sealed in {}",
        summary(&target)?,
        to.display()
    ));
    Ok(exit::DONE)
}

/// Says what a sealed target holds; with `to`, writes its plain form there.
pub(crate) fn open(context: &Context, file: &Path, to: Option<&Path>) -> Answer {
    let opened = sealed::open(file, &context.identities()?)?;
    for name in opened.names() {
        let target = Target::load(&opened.path().join(name))?;
        if target.lock()?.is_some() {
            target.tests()?;
        }
        let Some(to) = to else {
            terminal::line(&summary(&target)?);
            continue;
        };
        let plain = to.join(name);
        if plain.exists() {
            return Err(Failure::usage(format!(
                "{} is there already; remove it, or name another directory",
                plain.display()
            )));
        }
        // Its owner's alone from the first file on, wherever it is copied to.
        fs::create_dir_all(to).map_err(|error| Failure::io(to, &error))?;
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&plain)
            .map_err(|error| Failure::io(&plain, &error))?;
        copy(&target.dir, &plain)?;
        terminal::line(&format!(
            "{}: written to {}",
            summary(&target)?,
            plain.display()
        ));
    }
    Ok(exit::DONE)
}

fn summary(target: &Target) -> Result<String, Failure> {
    let counts = target.lock()?.map(|lock| lock.counts).unwrap_or_default();
    Ok(format!(
        "{}: {} visible and {} hidden cases in {} families",
        target.spec.name,
        counts.visible,
        counts.hidden,
        target.families()?.len()
    ))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to).map_err(|error| Failure::io(to, &error))?;
    for entry in fs::read_dir(from).map_err(|error| Failure::io(from, &error))? {
        let entry = entry.map_err(|error| Failure::io(from, &error))?;
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &place)?;
        } else {
            fs::copy(entry.path(), &place).map_err(|error| Failure::io(&place, &error))?;
        }
    }
    Ok(())
}

/// The file that holds the identities, read.
pub(crate) fn identities(path: Option<&Path>) -> Result<Identities, Failure> {
    let path = path.ok_or_else(|| {
        Failure::usage(format!(
            "a sealed target needs an identity: name the file that age-keygen wrote with --identity or {}",
            sealed::VARIABLE
        ))
    })?;
    Ok(Identities::read(path)?)
}

/// Refuses what would be written into the plain form, and lost. `otherwise` says what else can be done.
pub(crate) fn must_be_plain(
    catalog: &target::Catalog,
    target: &Target,
    command: &str,
    otherwise: &str,
) -> Result<(), Failure> {
    if catalog.is_sealed(target) {
        return Err(Failure::usage(format!(
            "{} is sealed: write it to a directory with `mirrorcode target open FILE --output DIR`, {command} it there with \
             --targets DIR, and seal it again{otherwise}",
            target.spec.name
        )));
    }
    Ok(())
}
