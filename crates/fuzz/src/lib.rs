//! Fuzz targets: everything that reads bytes of somebody who is not trusted.
//!
//! A [`Target`] takes any bytes and must return: an error is what the code under test says, a panic is what is looked
//! for. Beside that it checks what must hold of whatever was read, such as that it is written as it was read.
//!
//! Two programs drive them. `fuzz` changes seeds at random, needs nothing but this crate, and does the same for the
//! same seed. `guided` lets coverage choose what is changed further; it is built by `guided.sh`.

pub mod hunt;
pub mod mutate;
mod plant;
mod seeds;
mod targets;

use std::fs;
use std::io;
use std::path::Path;

pub use targets::TARGETS;

/// Something that reads a stranger's bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// What it reads.
    pub reads: &'static str,
    /// Whose bytes they are.
    pub from: &'static str,
    /// How much one input costs.
    pub pace: Pace,
    /// Longest input, in bytes; less than what the format allows where time grows with the length, or nothing but the
    /// beginning is read.
    pub longest: usize,
    /// Inputs that make sense, to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Reads an input; the directory is for whatever it has to put into files. Panics where something is wrong.
    pub run: fn(&[u8], &Path),
}

/// How much one input costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Computing only: microseconds.
    Memory,
    /// A few system calls.
    Calls,
    /// A tree of files, or a process.
    Files,
}

impl Pace {
    /// How many of so many inputs are run when all targets shall take about the same time.
    #[must_use]
    pub fn share(self, inputs: u64) -> u64 {
        match self {
            Pace::Memory => inputs,
            Pace::Calls => inputs / 10,
            Pace::Files => inputs / 100,
        }
        .max(1)
    }
}

/// The target of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Writes seeds into a directory for each target, and beside it a dictionary, as libFuzzer reads them, and the length of
/// the longest input.
///
/// # Errors
/// When something cannot be written.
pub fn prepare(directory: &Path) -> io::Result<()> {
    for target in TARGETS {
        let seeds = directory.join(target.name);
        fs::create_dir_all(&seeds)?;
        let inputs = (target.seeds)();
        for (number, seed) in inputs.iter().enumerate() {
            fs::write(seeds.join(format!("seed-{number}")), seed)?;
        }
        let mut words = String::new();
        for word in mutate::words(&inputs) {
            let hex: String = word.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            words.push_str(&format!("\"{hex}\"\n"));
        }
        fs::write(directory.join(format!("{}.words", target.name)), words)?;
        fs::write(
            directory.join(format!("{}.longest", target.name)),
            target.longest.to_string(),
        )?;
    }
    Ok(())
}
