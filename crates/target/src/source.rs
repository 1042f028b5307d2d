//! A reference that is built from a package of source code, or taken out of one: what target.toml says of it.

use image::{Origin, Recipe, Registry, Variant};

use crate::places::{Node, Table};
use crate::problem::Problem;
use crate::spec::{absolute_path, absolute_paths, package};

/// Where the source stands while it is built.
pub(crate) const SOURCE_DIRECTORY: &str = "/source";
/// Where builders put what they make, so that the source stays as it is.
pub(crate) const BUILD_DIRECTORY: &str = "/build";

/// The package that a reference is made from, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageSource {
    /// The package, pinned.
    pub origin: Origin,
    /// Debian packages of the image that builds it.
    pub build_packages: Vec<String>,
    /// Arguments for `cargo build` or `go build`.
    pub arguments: Vec<String>,
    /// Shell commands that build it: for a Debian source package instead of `arguments`.
    pub commands: Vec<String>,
    /// The program's path where it is built.
    pub built: String,
    /// Files and directories that the program needs beside it when it runs, by their paths where it is built.
    pub keep: Vec<String>,
}

/// What compiles in each kind of package, by names whose versions say all that matters: Debian's `gcc` and `rustc`
/// lead to `gcc-14` and `libstd-rust-dev`.
fn builder(registry: Registry) -> &'static [&'static str] {
    match registry {
        Registry::Crate => &[
            "cargo",
            "gcc",
            "gcc-14",
            "libc6-dev",
            "libstd-rust-dev",
            "rustc",
        ],
        Registry::CrateFiles => &["gcc", "gcc-14", "libc6-dev", "make"],
        Registry::Debian => &["dpkg-dev", "gcc", "gcc-14", "libc6-dev", "make"],
        Registry::Go => &["golang-go"],
        Registry::Wheel | Registry::Npm => &["unzip"],
    }
}

impl PackageSource {
    /// The image that builds.
    pub(crate) fn toolchain(&self) -> Recipe {
        let packages: Vec<&str> = self.build_packages.iter().map(String::as_str).collect();
        Recipe::new(crate::SUITE, Variant::Minimal, &packages)
    }

    /// The shell script that builds, without a network. What was fetched stands in `/fetched`.
    pub(crate) fn script(&self) -> String {
        let quoted = |words: &[String]| -> String {
            words
                .iter()
                .map(|word| format!(" '{}'", word.replace('\'', r"'\''")))
                .collect()
        };
        let arguments = quoted(&self.arguments);
        let copy = "cp -R /fetched/source/. /source\n";
        let build = match self.origin.registry {
            // Not from within the source: settings of Cargo that come with a crate are not for whoever installs it. The seed
            // is for `const-random`, below many hash tables, which draws another one for each build where none is given.
            Registry::Crate => format!(
                "{copy}cd /\nCONST_RANDOM_SEED=0 cargo build --release --offline --locked --manifest-path /source/Cargo.toml \
                 --target-dir {BUILD_DIRECTORY} --config 'source.crates-io.replace-with=\"fetched\"' \
                 --config 'source.fetched.directory=\"/fetched/vendor\"'{arguments}\n"
            ),
            Registry::Go => format!(
                "{copy}cd /source\nCGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=vendor GOPROXY=off \
                 GOCACHE=/tmp/go go build -trimpath -buildvcs=false -o {BUILD_DIRECTORY}/program{arguments}\n"
            ),
            Registry::Wheel => "unzip -q /fetched/source/*.whl -d /source\n".to_owned(),
            Registry::Npm | Registry::CrateFiles => copy.to_owned(),
            // With the files' times: otherwise makefiles take generated files for old, and want the autotools.
            Registry::Debian => {
                "cd /tmp\ndpkg-source --no-check --require-strong-checksums -x \
                 /fetched/source/*.dsc unpacked >/dev/null\ncp -a unpacked/. /source\nrm -r unpacked\ncd /source\n"
                    .to_owned()
            }
        };
        let commands: String = self
            .commands
            .iter()
            .map(|command| format!("{command}\n"))
            .collect();
        format!("set -e\n{build}{commands}")
    }
}

/// Reads the package that a table names.
pub(crate) fn origin(table: &Table<'_>) -> Result<Origin, Problem> {
    let origin = Origin {
        registry: table.need("kind")?.one_of(&Registry::ALL)?,
        name: table.need("name")?.words()?.to_owned(),
        version: table.need("version")?.words()?.to_owned(),
        checksum: table.need("checksum")?.words()?.to_owned(),
    };
    origin
        .check()
        .map_err(|error| table.problem(error.to_string()))?;
    Ok(origin)
}

/// Reads `[reference.source]`. `command` is the name that the program is called by.
pub(crate) fn read(table: &Table<'_>, command: &str) -> Result<PackageSource, Problem> {
    table.only(&[
        "kind",
        "name",
        "version",
        "checksum",
        "build-packages",
        "arguments",
        "commands",
        "built",
        "keep",
    ])?;
    let origin = origin(table)?;
    let registry = origin.registry;
    let list = |key: &str| {
        table
            .get(key)
            .map_or(Ok(Vec::new()), |node| node.some_strings())
    };
    let arguments = list("arguments")?;
    if let (Some(node), false) = (
        table.get("arguments"),
        matches!(registry, Registry::Crate | Registry::Go),
    ) {
        return Err(node.problem("\"arguments\" are for crates and Go modules: write \"commands\""));
    }
    let commands = list("commands")?;
    if registry == Registry::Debian && commands.is_empty() {
        return Err(table.problem(
            "a Debian source package needs \"commands\": shell lines that build the program",
        ));
    }
    let mut build_packages: Vec<String> = builder(registry)
        .iter()
        .map(|&name| name.to_owned())
        .collect();
    for node in table
        .get("build-packages")
        .map(|node| node.list())
        .transpose()?
        .unwrap_or_default()
    {
        let name = package(&node)?;
        if !build_packages.contains(&name) {
            build_packages.push(name);
        }
    }
    let built = match (table.get("built"), registry) {
        (Some(node), _) => absolute_path(&node)?,
        (None, Registry::Crate) => format!("{BUILD_DIRECTORY}/release/{command}"),
        (None, Registry::Go) => format!("{BUILD_DIRECTORY}/program"),
        (None, _) => {
            return Err(table.problem(format!(
                "\"built\" must say where the program is, as in \"{SOURCE_DIRECTORY}/bin/{command}\""
            )));
        }
    };
    let keep = table
        .get("keep")
        .map_or(Ok(Vec::new()), |node| absolute_paths(&node))?;
    let within = |node: Option<Node<'_>>, paths: &[String]| {
        let outside = paths.iter().find(|path| {
            ![SOURCE_DIRECTORY, BUILD_DIRECTORY]
                .iter()
                .any(|directory| path.starts_with(&format!("{directory}/")))
        });
        match (node, outside) {
            (Some(node), Some(path)) => Err(node.problem(format!(
                "\"{path}\" is neither below {SOURCE_DIRECTORY} nor below {BUILD_DIRECTORY}"
            ))),
            _ => Ok(()),
        }
    };
    within(table.get("built"), std::slice::from_ref(&built))?;
    within(table.get("keep"), &keep)?;
    Ok(PackageSource {
        origin,
        build_packages,
        arguments,
        commands,
        built,
        keep,
    })
}

#[cfg(test)]
mod tests {
    use crate::spec::Provenance;
    use crate::{Problem, Spec};

    fn spec(reference: &str) -> Result<Spec, Problem> {
        let text = format!(
            "name = \"x\"\nabout = \"a\"\ndomain = \"d\"\nsize = \"S\"\n[docs]\nhelp = [[]]\n[languages]\nall = [\"c\"]\n\
             [limits]\nwall-seconds = 1\ncpu-seconds = 1\nmemory-mib = 64\noutput-mib = 1\n\
             [reference]\nprogram = \"/usr/bin/x\"\nkind = \"dynamic\"\n{reference}"
        );
        Spec::parse("target.toml", "x", text.as_bytes())
    }

    fn source(kind: &str, rest: &str) -> String {
        let checksum = match kind {
            "go" => format!("h1:{}=", "a".repeat(43)),
            _ => "a".repeat(64),
        };
        format!(
            "[reference.source]\nkind = \"{kind}\"\nname = \"x\"\nversion = \"1.0.0\"\nchecksum = \"{checksum}\"\n{rest}"
        )
    }

    #[test]
    fn a_crate_needs_no_more_than_name_version_and_checksum() {
        let spec = spec(&source("crate", "arguments = [\"--bin\", \"it's\"]\n")).unwrap();
        let Provenance::Source {
            source,
            runtime_packages,
        } = &spec.reference.from
        else {
            panic!("{:?}", spec.reference)
        };
        assert_eq!(source.built, "/build/release/x");
        assert_eq!(runtime_packages, &["libc6", "libgcc-s1"]);
        assert!(source.build_packages.iter().any(|name| name == "rustc"));
        let script = source.script();
        assert!(script.contains("--offline --locked"), "{script}");
        assert!(script.contains("CONST_RANDOM_SEED="), "{script}");
        assert!(script.ends_with(" '--bin' 'it'\\''s'\n"), "{script}");
    }

    #[test]
    fn nothing_of_rust_is_compiled_when_a_crate_is_taken_as_files() {
        let spec = spec(&source(
            "crate-files",
            "commands = [\"make\"]\nbuilt = \"/source/x\"\n",
        ))
        .unwrap();
        let Provenance::Source { source, .. } = &spec.reference.from else {
            panic!("{:?}", spec.reference)
        };
        assert!(!source.build_packages.iter().any(|name| name == "rustc"));
        let script = source.script();
        assert!(!script.contains("cargo"), "{script}");
        assert!(script.ends_with("/source\nmake\n"), "{script}");
    }

    #[test]
    fn what_is_wrong_with_a_source_is_named() {
        for (reference, expected) in [
            (
                format!("package = \"x\"\n{}", source("crate", "")),
                "not from both",
            ),
            (
                "package = \"x\"\nruntime-packages = [\"libc6\"]\n".to_owned(),
                "goes with \"source\"",
            ),
            (
                format!("runtime-packages = []\n{}", source("crate", "")),
                "one package at least",
            ),
            (source("debian", "built = \"/source/x\"\n"), "\"commands\""),
            (source("wheel", ""), "\"built\""),
            (source("crate-files", ""), "\"built\""),
            (
                source("crate-files", "built = \"/build/x\"\narguments = [\"x\"]\n"),
                "for crates and Go modules",
            ),
            (
                source("wheel", "built = \"/usr/bin/x\"\n"),
                "neither below /source nor below /build",
            ),
            (
                source("npm", "built = \"/source/x\"\nkeep = [\"/etc\"]\n"),
                "neither below",
            ),
            (
                source("npm", "built = \"/source/x\"\narguments = [\"x\"]\n"),
                "for crates and Go modules",
            ),
            (
                source("crate", "").replace("1.0.0", "^1"),
                "\"^1\" is not one exact version",
            ),
            (source("gem", ""), "\"crate\""),
            (
                source("crate", "argument = []\n"),
                "did you mean \"arguments\"",
            ),
            (String::new(), "package"),
        ] {
            let found = spec(&reference).unwrap_err().to_string();
            assert!(found.contains(expected), "{reference}: {found}");
        }
    }
}
