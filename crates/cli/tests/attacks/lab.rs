//! The real sandboxes, with nothing changed but what a twin removes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use agent::event::{Content, Event, RecordError, Recorder, TreeHash};
use agent::{Evaluation, Evaluator, Session, Setting};
use image::{Cache, Recipe, Variant};
use sandbox::Worker;
use score::{BuildResult, Installed, Submission, SubmissionFile, TestStage};
use target::reference::{GuardLibrary, Prepared};
use target::{Catalog, Language, Target};

use crate::outside::{Outside, TRUSTING};
use crate::table::{Act, Attack, Twin};

/// Files of a case that are collected when it has ended. No attack makes regular files of these names, so whatever
/// comes back was reached through a link.
pub(crate) const COLLECTED: [&str; 4] = ["out-link", "out-memory", "out-pipe", "out-socket"];

/// What an attack came to.
pub(crate) struct Got {
    pub(crate) won: bool,
    pub(crate) text: String,
}

pub(crate) fn judge(text: String) -> Got {
    Got {
        won: text.contains("WON") || text.contains("ELF"),
        text,
    }
}

struct Forget;

impl Recorder for Forget {
    fn note(&mut self, _: Event) -> Result<u64, RecordError> {
        Ok(0)
    }

    fn flush(&mut self) -> Result<(), RecordError> {
        Ok(())
    }

    fn bytes(&self, _: &Content) -> Result<Vec<u8>, RecordError> {
        Ok(Vec::new())
    }

    fn content(&mut self, _: &[u8]) -> Result<Content, RecordError> {
        Ok(Content::Inline(String::new()))
    }

    fn snapshot(&mut self, _: &Path) -> Result<Option<TreeHash>, RecordError> {
        Ok(None)
    }

    fn tree(&self) -> Option<TreeHash> {
        None
    }
}

impl Evaluator for Forget {
    fn evaluate(&self, _: &Path, _: &[String], _: &mut dyn FnMut(&str)) -> Evaluation {
        Evaluation {
            built: false,
            passed: 0,
            total: 0,
            status: 2,
        }
    }
}

const GUARD: GuardLibrary = GuardLibrary {
    bytes: oracle::GUARD,
    descriptor: oracle::GUARD_FD,
};

/// What attacks look for, and find in their environment.
///
/// - `PORT`: a port of this machine's loopback address; whoever asks there by HTTP is answered `{"a":"WON"}`
/// - `ABSTRACT`: the name of an abstract socket of the harness
/// - `HIDDEN`: a pattern for `grep` that a hidden case matches, and neither a visible one nor the pattern itself
///
/// Besides, the harness has been started with a descriptor that it did not ask for, of the hidden cases.
struct Facts {
    environment: Vec<(&'static str, String)>,
    _inherited: std::fs::File,
}

impl Facts {
    fn new(target: &Target) -> Self {
        let web = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = web.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in web.incoming().flatten() {
                answer(stream);
            }
        });
        let name = format!("mirrorcode-attacks-{}-{port}", std::process::id());
        let address = <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name);
        let socket = std::os::unix::net::UnixListener::bind_addr(&address.unwrap()).unwrap();
        std::thread::spawn(move || while socket.accept().is_ok() {});
        let hidden = target.dir.join("tests/hidden.jsonl");
        let inherited = std::fs::File::open(&hidden).unwrap();
        rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
        let text = std::fs::read_to_string(&hidden).unwrap();
        let id = text.split('"').nth(3).unwrap();
        Facts {
            environment: vec![
                ("PORT", port.to_string()),
                ("ABSTRACT", name),
                ("HIDDEN", format!("[{}]{}", &id[..1], &id[1..])),
            ],
            _inherited: inherited,
        }
    }
}

/// Answers one question of HTTP.
fn answer(mut stream: std::net::TcpStream) {
    use std::io::{Read, Write};
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let _ = stream.read(&mut [0; 4096]);
    let body = r#"{"a":"WON"}"#;
    let head = "HTTP/1.0 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
}

pub(crate) struct Lab {
    cache: Cache,
    python: Language,
    target: Target,
    facts: Facts,
    sessions: BTreeMap<String, (Session, tempfile::TempDir)>,
    stage: Option<(TestStage, PathBuf)>,
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn catalog() -> Catalog {
    Catalog::find(None, None, &repository()).unwrap()
}

/// A root filesystem, built as the command line builds it.
pub(crate) fn root(cache: &Cache, recipe: &Recipe, absent: &[String]) -> PathBuf {
    let never = AtomicBool::new(false);
    let image = cache.ensure(recipe, &never, &mut |_| {}).unwrap();
    image::without(cache, &image, absent).unwrap().root.clone()
}

pub(crate) fn minimal(packages: &[String]) -> Recipe {
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    Recipe::new(target::SUITE, Variant::Minimal, &packages)
}

pub(crate) fn runtime(language: &Language) -> Recipe {
    let packages: Vec<&str> = language
        .runtime_packages
        .iter()
        .map(String::as_str)
        .collect();
    let mut recipe = Recipe::new(target::SUITE, Variant::Extract, &packages);
    recipe.executables = Some(language.runtime_executables.clone());
    recipe.finish.clone_from(&language.runtime_finish);
    recipe
}

impl Lab {
    pub(crate) fn new() -> Self {
        sandbox::set_worker_program(Path::new(env!("CARGO_BIN_EXE_mirrorcode")));
        let (target, python) = catalog()
            .task(&"jq_simple/python".parse().unwrap())
            .unwrap();
        Lab {
            cache: Cache::open(Some(&crate::common::cache())).unwrap(),
            python,
            facts: Facts::new(&target),
            target,
            sessions: BTreeMap::new(),
            stage: None,
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        std::fs::metadata("/proc/self")
            .is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
    }

    pub(crate) fn act(&mut self, attack: &Attack, twin: &Twin) -> Got {
        match (&attack.act, twin) {
            (Act::Host(act), twin) => Got {
                won: act(!matches!(twin, Twin::No)),
                text: String::new(),
            },
            (
                Act::Agent(script),
                Twin::Bare | Twin::Root | Twin::RootWhere(_) | Twin::Container,
            ) => self.outside(target_of(script), twin, "/bin/bash", &[script]),
            (Act::Agent(script), twin) => self.agent(&[script], twin),
            (Act::Commands(scripts), Twin::Bare) => {
                let directory = tempfile::tempdir().unwrap();
                let outside = Outside {
                    directory: directory.path(),
                    environment: self.facts.environment.clone(),
                    contained: false,
                };
                let head = ["/bin/bash", "-c", TRUSTING, "bash"];
                judge(outside.command(&[&head, *scripts].concat()))
            }
            (Act::Commands(scripts), twin) => self.agent(scripts, twin),
            (
                Act::Cases(programs),
                Twin::Bare | Twin::Root | Twin::RootWhere(_) | Twin::Container,
            ) => self.outside("jq_simple", twin, "/usr/bin/python3", programs),
            (Act::Cases(programs), twin) => self.cases(programs, twin),
            (Act::Build(source), twin) => self.build(&[("main.c", source, false)], twin),
            (Act::BuildScript(script), twin) => {
                let script = format!(
                    "#!/bin/sh\nlink() {{ \"$(cc -print-prog-name=collect2)\" \"$@\"; }}\n{script}\n"
                );
                // The build's command splits names at blanks, so that this one is an option of the compiler's:
                // where to look for the programs that it starts.
                let files = [
                    ("main.c", "int main(void) { return 0; }\n", false),
                    ("x", "/* */\n", false),
                    ("x -B./b/.c", "", false),
                    ("b/.ccollect2", &script, true),
                ];
                self.build(&files, twin)
            }
        }
    }

    /// Code outside, with the reference's package at hand as an ordinary user has it.
    fn outside(&self, target: &str, twin: &Twin, program: &str, codes: &[&str]) -> Got {
        let directory = tempfile::tempdir().unwrap();
        let mut environment = self.facts.environment.clone();
        let tools = tempfile::tempdir().unwrap();
        if matches!(twin, Twin::Container) {
            let target = catalog().target(target).unwrap();
            let root = self.reference(&target).package.root.clone();
            let spec = &target.spec.reference;
            let file = root.join(spec.program.trim_start_matches('/'));
            let command = tools.path().join(&spec.command);
            if spec.kind == target::spec::Kind::Static {
                std::os::unix::fs::symlink(&file, &command).unwrap();
            } else {
                let root = root.display();
                let lines = format!(
                    "#!/bin/sh\nexec {root}/lib64/ld-linux-x86-64.so.2 --library-path {root}/usr/lib/x86_64-linux-gnu {} \"$@\"\n",
                    file.display()
                );
                std::fs::write(&command, lines).unwrap();
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                std::fs::set_permissions(&command, mode).unwrap();
            }
            let path = std::env::var("PATH").unwrap_or_default();
            environment.push(("PATH", format!("{}:{path}", tools.path().display())));
            environment.push(("REFERENCE", file.display().to_string()));
        }
        let outside = Outside {
            directory: directory.path(),
            environment,
            contained: matches!(twin, Twin::Container),
        };
        outside.run(program, codes)
    }

    fn reference(&self, target: &Target) -> Prepared {
        let lock = target.locked().unwrap();
        let never = AtomicBool::new(false);
        target::reference::prepare(&target.spec, Some(&lock), &self.cache, &never, &mut |_| {})
            .unwrap()
    }

    /// A session as `mirrorcode shell` opens it, on the reference named by the script's first line (`#gron`).
    fn agent(&mut self, scripts: &[&str], twin: &Twin) -> Got {
        let name = target_of(scripts[0]);
        let key = format!("{name} {}", twin.describe());
        if !self.sessions.contains_key(&key) {
            let session = self.open(&catalog().target(name).unwrap(), twin);
            self.sessions.insert(key.clone(), session);
        }
        let (session, _) = self.sessions.get_mut(&key).unwrap();
        let begin = matches!(twin, Twin::Naive).then_some(crate::oracle::NAIVE);
        let mut text = String::new();
        for script in begin.iter().chain(scripts) {
            match session.command(script.as_bytes(), b"", &mut |_, _| {}) {
                Ok(outcome) => {
                    let printed = [outcome.stdout, outcome.stderr].concat();
                    text += &String::from_utf8_lossy(&printed);
                }
                // Losing the sandbox is a success too: a run that ends as an error of ours is not counted.
                Err(error) => {
                    self.sessions.remove(&key);
                    return judge(format!("{text}WON against the harness: {error}"));
                }
            }
        }
        judge(text)
    }

    fn open(&self, target: &Target, twin: &Twin) -> (Session, tempfile::TempDir) {
        let spec = &target.spec;
        let prepared = self.reference(target);
        let mut place = target::case_sandbox(&prepared.image.root, &spec.limits);
        target::reference::protect(&mut place, spec, GUARD, &[], &[]);
        let readable = spec.reference.readable.iter().map(PathBuf::from).collect();
        let guarded = place.guard.is_some().then_some(readable);
        let environment: Vec<_> = spec
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let mut reference = oracle::Reference {
            rootfs: prepared.image.root.clone(),
            program: spec.reference.program.clone().into(),
            name: spec.reference.command.clone(),
            guarded,
            mounts: place.mounts,
            environment: environment.clone(),
            settable: ["LC_ALL", "LANG", "TZ"].map(str::to_owned).into(),
            wall: Duration::from_secs(5),
            cpu: Duration::from_secs(5),
            output: 64 << 20,
            memory: u64::from(spec.limits.memory_mib) << 20,
        };
        match twin {
            Twin::Package => {
                reference.rootfs.clone_from(&prepared.package.root);
                reference.mounts.clear();
                reference.guarded = reference.guarded.map(|_| vec!["/".into()]);
            }
            Twin::NoGuard => {
                reference.guarded = reference.guarded.map(|_| vec!["/".into()]);
            }
            _ => {}
        }
        let directory = tempfile::tempdir().unwrap();
        let below = |name: &str| directory.path().join(name);
        std::fs::create_dir(below("task")).unwrap();
        let tests = target.dir.join("tests/visible.jsonl");
        std::fs::copy(tests, below("task").join("visible.jsonl")).unwrap();
        let mut packages = self.python.agent_packages.clone();
        let mut absent: &[String] = &spec.absent;
        let inside = matches!(twin, Twin::Inside | Twin::Naive);
        if inside {
            packages.push(spec.reference.package().to_owned());
            absent = &[];
        }
        if matches!(twin, Twin::Leaky) {
            let hidden = target.dir.join("tests/hidden.jsonl");
            std::fs::copy(hidden, below("task").join("cases.jsonl")).unwrap();
        }
        let memory = if matches!(twin, Twin::Roomy) { 2 } else { 1 };
        let setting = Setting {
            rootfs: root(&self.cache, &minimal(&packages), absent),
            task: below("task"),
            workspace: below("workspace"),
            scratch: below("tmp"),
            environment: environment
                .into_iter()
                .filter(|(name, _)| name != "HOME")
                .collect(),
            reference,
            command_wall: Duration::from_secs(120),
            command_output: 16 << 20,
            memory: memory << 30,
            port: None,
            program: None,
        };
        let session = Session::open(
            setting,
            agent::Ledger::new(Box::new(Forget)),
            Arc::new(Forget),
            0,
            agent::WORKSPACE.into(),
        );
        let mut session = session.unwrap();
        let mut exports = String::new();
        for (name, value) in &self.facts.environment {
            exports += &format!("export {name}='{value}'\n");
        }
        if inside {
            exports += &format!(
                "export PATH=/usr/bin:/bin:/usr/sbin REFERENCE=/tmp/reference\ncp {} $REFERENCE\n",
                spec.reference.program
            );
        }
        let begun = session.command(exports.as_bytes(), b"", &mut |_, _| {});
        assert_eq!(begun.unwrap().ending, agent::event::Ending::Exit(0));
        (session, directory)
    }

    /// Runs programs as the scorer runs a submission, each as one case.
    fn cases(&mut self, programs: &[&str], twin: &Twin) -> Got {
        let runtime = match &self.stage {
            Some((_, runtime)) => runtime.clone(),
            None => root(
                &self.cache,
                &runtime(&self.python),
                &self.target.spec.absent,
            ),
        };
        let main = "import sys\nsys.argv.pop(0)\nexec(compile(sys.argv[0], 'attack', 'exec'))\n";
        let files = [sandbox::File {
            path: "/submission/main.py".into(),
            bytes: main.as_bytes().to_vec(),
            executable: false,
        }];
        let installed = Installed::new(&files).unwrap();
        let mut stage =
            TestStage::for_submission(&self.python, &runtime, &installed, &self.target.spec.limits);
        let own = tempfile::tempdir().unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(own.path(), mode).unwrap();
        if let Twin::Spec(_, change) = twin {
            change(&mut stage.sandbox, own.path());
        }
        let mut worker = Worker::start(&stage.sandbox).unwrap();
        let mut text = String::new();
        let case = self.target.visible();
        let mut case = case.unwrap().into_iter().next().unwrap();
        case.inputs.files.clear();
        case.inputs.outputs = COLLECTED.map(str::to_owned).to_vec();
        let mut spec = self.target.spec.clone();
        spec.limits.wall_seconds = 5;
        for program in programs {
            case.inputs.argv = vec![target::Bytes(program.as_bytes().to_vec())];
            let observed = target::observe(
                &mut worker,
                &stage.program,
                &spec,
                &case,
                sandbox::Conditions::default(),
            );
            match observed {
                Ok(observed) => {
                    text += &format!(
                        "{:?}\n{}{}\n",
                        observed.ending,
                        String::from_utf8_lossy(&observed.stdout),
                        String::from_utf8_lossy(&observed.stderr)
                    );
                    if observed.files.values().any(|bytes| !bytes.is_empty()) {
                        text += "WON: collected\n";
                    }
                }
                Err(error) => {
                    text += &format!("WON against the harness: {error}\n");
                    break;
                }
            }
        }
        self.stage = Some((stage, runtime));
        judge(text)
    }

    /// Builds C as scoring builds a submission, and runs what comes of it as a case.
    fn build(&mut self, files: &[(&str, &str, bool)], twin: &Twin) -> Got {
        let (target, c) = catalog().task(&"jq_simple/c".parse().unwrap()).unwrap();
        if !matches!(twin, Twin::No) {
            return self.build_outside(&c.build, files);
        }
        let toolchain = root(
            &self.cache,
            &minimal(&c.build_packages),
            &target.spec.absent,
        );
        let submission = Submission {
            files: files
                .iter()
                .map(|&(path, text, executable)| SubmissionFile {
                    path: path.to_owned(),
                    bytes: text.as_bytes().to_vec(),
                    executable,
                })
                .collect(),
        };
        let built = match score::build(&submission, &c, &toolchain, &std::sync::Arc::default()) {
            Ok(BuildResult::Built(built)) => built,
            Ok(BuildResult::Failed { reason, log }) => {
                return judge(format!("{reason}\n{}", String::from_utf8_lossy(&log)));
            }
            Ok(BuildResult::Stopped) => unreachable!("nobody asks for the end"),
            Err(error) => return judge(format!("WON against the harness: {error}")),
        };
        let mut log = String::from_utf8_lossy(&built.log).into_owned();
        if built
            .files
            .iter()
            .any(|file| file.bytes.starts_with(b"root:"))
        {
            log += "WON: collected\n";
        }
        let installed = Installed::new(&built.files).unwrap();
        let runtime = root(&self.cache, &runtime(&c), &target.spec.absent);
        let stage = TestStage::for_submission(&c, &runtime, &installed, &target.spec.limits);
        let case = target.visible().unwrap();
        let observed = Worker::start(&stage.sandbox).and_then(|mut worker| {
            let conditions = sandbox::Conditions::default();
            target::observe(
                &mut worker,
                &stage.program,
                &target.spec,
                &case[0],
                conditions,
            )
        });
        match observed {
            Ok(observed) => judge(format!(
                "{log}{:?}\n{}",
                observed.ending,
                String::from_utf8_lossy(&observed.stdout)
            )),
            Err(error) => judge(format!("WON against the harness: {error}")),
        }
    }

    /// The same build with this machine's compiler.
    fn build_outside(&self, build: &[String], files: &[(&str, &str, bool)]) -> Got {
        let directory = tempfile::tempdir().unwrap();
        for (path, text, executable) in files {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            let mode = if *executable { 0o755 } else { 0o644 };
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(&path, mode).unwrap();
        }
        let mut environment = self.facts.environment.clone();
        let scratch = directory.path().join("scratch");
        std::fs::create_dir(&scratch).unwrap();
        environment.push(("SCRATCH", scratch.display().to_string()));
        environment.push(("TMPDIR", scratch.display().to_string()));
        let outside = Outside {
            directory: directory.path(),
            environment,
            contained: true,
        };
        let build: Vec<&str> = build.iter().map(String::as_str).collect();
        let mut text = outside.command(&build);
        let program = directory.path().join("program");
        if std::fs::read(&program).is_ok_and(|bytes| bytes.starts_with(b"root:")) {
            text += "WON: collected\n";
        } else if program.exists() {
            text += &outside.command(&["./program"]);
        }
        judge(text)
    }
}

/// The target that a script is about.
fn target_of(script: &str) -> &str {
    script
        .strip_prefix('#')
        .and_then(|rest| rest.lines().next())
        .unwrap_or("jq_simple")
}
