//! Compiles the shim and the guard: programs without a C library that are embedded in the crate.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    for file in ["build.rs", "bare/syscall.rs", "shim/main.rs", "guard/lib.rs"] {
        println!("cargo::rerun-if-changed={file}");
    }
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let os = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if (arch.as_str(), os.as_str()) != ("x86_64", "linux") {
        println!("cargo::error=mirrorcode runs on x86-64 Linux only, not on {arch} {os}");
        return;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let common = ["-Cpanic=abort", "-Copt-level=2", "-Cstrip=symbols", "-Clink-arg=-nostdlib"];
    compile(
        Path::new("shim/main.rs"),
        &out.join("shim"),
        &[&common[..], &["--crate-type=bin", "-Crelocation-model=static", "-Clink-arg=-static", "-Clink-arg=-nostartfiles"]]
            .concat(),
    );
    compile(
        Path::new("guard/lib.rs"),
        &out.join("guard.so"),
        &[&common[..], &["--crate-type=cdylib"]].concat(),
    );
}

fn compile(source: &Path, to: &Path, flags: &[&str]) {
    let rustc = env::var_os("RUSTC").expect("cargo sets RUSTC");
    #[expect(clippy::disallowed_methods, reason = "a build script runs the compiler")]
    let output = Command::new(rustc)
        .arg(source)
        .arg("-o")
        .arg(to)
        .args(["--edition=2024", "--cap-lints=warn"])
        .arg(format!("--target={}", env::var("TARGET").expect("cargo sets TARGET")))
        .args(flags)
        .env_remove("RUSTFLAGS")
        .output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            for line in String::from_utf8_lossy(&output.stderr).lines() {
                println!("cargo::error={line}");
            }
        }
        Err(error) => println!("cargo::error=cannot run the compiler: {error}"),
    }
}
