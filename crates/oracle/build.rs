//! Compiles the two programs that the crate carries as bytes: the shim and the guard.
//!
//! Both are freestanding, with flags that no Cargo profile can give to one binary of a package, so the
//! compiler is called directly. RUSTFLAGS are left out on purpose: coverage or sanitizer flags would link a runtime in.

use std::env;
use std::path::{Path, PathBuf};
use std::process::exit;

/// What both have in common: small, without unwinding, one unit so that what is unused goes away.
const COMMON: &[&str] = &[
    "--edition=2024",
    "-Cpanic=abort",
    "-Copt-level=s",
    "-Ccodegen-units=1",
    "-Coverflow-checks=off",
    "-Cdebug-assertions=off",
    "-Cstrip=symbols",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-Wl,--gc-sections",
    "-Clink-arg=-Wl,--build-id=none",
    "-Clink-arg=-Wl,-z,noexecstack",
    "--check-cfg=cfg(test_dir)",
];

/// A static executable at a fixed place. One page size for everything keeps the file small.
const EXECUTABLE: &[&str] = &[
    "--crate-type=bin",
    "-Crelocation-model=static",
    "-Ctarget-feature=+crt-static",
    "-Clink-arg=-static",
    "-Clink-arg=-Wl,-z,max-page-size=4096",
];

/// A shared object whose constructor the loader runs before any other, with every reference bound inside.
const SHARED: &[&str] = &[
    "--crate-type=cdylib",
    "-Crelocation-model=pic",
    "-Clink-arg=-Wl,-z,initfirst",
    "-Clink-arg=-Wl,-z,defs",
    "-Clink-arg=-Wl,-z,max-page-size=4096",
];

fn main() {
    for path in [
        "bare",
        "shim",
        "guard",
        "src/wire.rs",
        "src/guard_fd.rs",
        "build.rs",
    ] {
        println!("cargo::rerun-if-changed={path}");
    }
    println!("cargo::rerun-if-env-changed=RUSTC");
    let (arch, os) = (
        variable("CARGO_CFG_TARGET_ARCH"),
        variable("CARGO_CFG_TARGET_OS"),
    );
    if (arch.as_str(), os.as_str()) != ("x86_64", "linux") {
        fail(&format!(
            "the oracle's shim and guard are written for x86_64 Linux, not for {arch} {os}: \
             crates/oracle/bare/syscall.rs is where another machine would be added"
        ));
    }
    compile("shim/main.rs", "shim", EXECUTABLE);
    // The tests' copy differs in one thing: a variable says where its sockets are.
    compile(
        "shim/main.rs",
        "shim-test",
        &[EXECUTABLE, &["--cfg=test_dir"]].concat(),
    );
    compile("guard/lib.rs", "guard.so", SHARED);
}

fn compile(source: &str, name: &str, flags: &[&str]) {
    let output = PathBuf::from(variable("OUT_DIR")).join(name);
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    #[expect(
        clippy::disallowed_methods,
        reason = "a build script runs the compiler: no sandbox exists yet"
    )]
    let mut command = std::process::Command::new(&rustc);
    command
        .arg(Path::new(&variable("CARGO_MANIFEST_DIR")).join(source))
        .arg(format!("--crate-name={}", name.replace(['-', '.'], "_")))
        .arg("--target")
        .arg(variable("TARGET"))
        .args(COMMON)
        .args(flags)
        .arg("-o")
        .arg(&output);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut flag = std::ffi::OsString::from("-Clinker=");
        flag.push(linker);
        command.arg(flag);
    }
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!(
            "{source} does not compile ({status}): {command:?}"
        )),
        Err(error) => fail(&format!(
            "cannot start the compiler {}: {error}",
            rustc.display()
        )),
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| fail(&format!("cargo did not set {name}")))
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1)
}
