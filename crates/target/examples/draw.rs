//! Draws the cases of a target and prints them as JSON lines, or everything that is wrong with its families.
//!
//!     cargo run -p target --example draw -- targets/gron [--seed N]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for whoever writes families"
)]

use std::path::Path;
use std::process::ExitCode;

use target::{Family, Fixtures, Problem, Problems, Round};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (dir, seed) = match &arguments[..] {
        [dir] => (dir, Some(1)),
        [dir, flag, seed] if flag == "--seed" => (dir, seed.parse().ok()),
        _ => (&String::new(), None),
    };
    let Some(seed) = seed else {
        eprintln!("usage: draw TARGET-DIRECTORY [--seed N]");
        return ExitCode::from(2);
    };
    match run(Path::new(dir), seed) {
        Ok(lines) => {
            print!("{lines}");
            ExitCode::SUCCESS
        }
        Err(problems) => {
            eprintln!("{problems}");
            ExitCode::from(2)
        }
    }
}

fn run(dir: &Path, seed: u64) -> Result<String, Problems> {
    let name = dir
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("target");
    let fixtures = Fixtures::load(&dir.join("fixtures"))?;
    let families = families(&dir.join("families"))?;
    let drawn = target::draw(name, &families, &fixtures, seed, Round::First)?;
    Ok(drawn
        .iter()
        .map(|case| format!("{}\n", case.to_json(&fixtures)))
        .collect())
}

fn families(dir: &Path) -> Result<Vec<Family>, Problems> {
    let io = |error: std::io::Error| Problem::whole(&dir.display().to_string(), error.to_string());
    let (mut families, mut problems) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let bytes = std::fs::read(&path).map_err(io)?;
        match Family::parse(&path.display().to_string(), &bytes) {
            Ok(family) => families.push(family),
            Err(problem) => problems.push(problem),
        }
    }
    problems.sort_by(|a, b| a.file.cmp(&b.file));
    if problems.is_empty() {
        Ok(families)
    } else {
        Err(Problems(problems))
    }
}
