//! Landlock rule sets, as descriptors that can be put in force again and again.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr,
};

/// File rights of the first Landlock version, in every kernel since 5.13; each is required, none is best effort.
const VERSION: ABI = ABI::V1;

fn describe(error: impl std::error::Error) -> io::Error {
    io::Error::other(format!("landlock: {error}"))
}

fn create(handled: BitFlags<AccessFs>) -> io::Result<RulesetCreated> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(handled)
        .and_then(Ruleset::create)
        .map_err(describe)
}

fn allow(
    mut rules: RulesetCreated,
    paths: &[PathBuf],
    rights: BitFlags<AccessFs>,
) -> io::Result<RulesetCreated> {
    for path in paths {
        let handle = match PathFd::new(path) {
            Ok(handle) => handle,
            Err(error) => {
                return Err(io::Error::other(format!(
                    "landlock: {}: {error}",
                    path.display()
                )));
            }
        };
        let rights = if path.is_dir() {
            rights
        } else {
            rights & AccessFs::from_file(VERSION)
        };
        rules = rules
            .add_rule(PathBeneath::new(handle, rights))
            .map_err(describe)?;
    }
    Ok(rules)
}

fn finish(rules: RulesetCreated) -> io::Result<OwnedFd> {
    Option::<OwnedFd>::from(rules).ok_or_else(|| io::Error::other("landlock: not in this kernel"))
}

/// Rules under which only these files and directories may be executed.
pub(crate) fn execute_only(paths: &[PathBuf]) -> io::Result<OwnedFd> {
    let execute = BitFlags::from(AccessFs::Execute);
    finish(allow(create(execute)?, paths, execute)?)
}

/// Rules under which these files and directories may be read, those read and written, and nothing executed.
pub(crate) fn read_and_write(read: &[PathBuf], write: &[PathBuf]) -> io::Result<OwnedFd> {
    let all = AccessFs::from_all(VERSION);
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let rules = allow(create(all)?, read, reading)?;
    finish(allow(
        rules,
        write,
        all & !BitFlags::from(AccessFs::Execute),
    )?)
}

/// Whether this kernel can hold such rules.
pub(crate) fn available() -> io::Result<()> {
    execute_only(&[]).map(drop)
}
