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

use crate::table::{Act, Attack, Twin};

/// What an attack came to.
pub(crate) struct Got {
    pub(crate) won: bool,
    pub(crate) text: String,
}

fn judge(text: String) -> Got {
    Got {
        won: text.contains("WON") || text.contains("ELF"),
        text,
    }
}

struct Forget;

impl Recorder for Forget {
    fn record(&mut self, _: Event) -> Result<(), RecordError> {
        Ok(())
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

pub(crate) struct Lab {
    cache: Cache,
    python: Language,
    target: Target,
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
                won: act(!matches!(twin, Twin::No(_))),
                text: String::new(),
            },
            (Act::Agent(script), Twin::Bare) => bare("/bin/bash", &[script]),
            (Act::Agent(script), twin) => self.agent(script, twin),
            (Act::Cases(programs), Twin::Bare) => bare("/usr/bin/python3", programs),
            (Act::Cases(programs), twin) => self.cases(programs, twin),
            (Act::Build(source), _) => self.build(source),
        }
    }

    fn reference(&self, target: &Target) -> Prepared {
        let lock = target.locked().unwrap();
        let never = AtomicBool::new(false);
        target::reference::prepare(&target.spec, Some(&lock), &self.cache, &never, &mut |_| {})
            .unwrap()
    }

    /// A session as `mirrorcode shell` opens it, on the reference named by the script's first line (`#gron`).
    fn agent(&mut self, script: &str, twin: &Twin) -> Got {
        let name = script
            .strip_prefix('#')
            .and_then(|rest| rest.lines().next())
            .unwrap_or("jq_simple");
        let key = format!("{name} {}", twin.describe());
        if !self.sessions.contains_key(&key) {
            let session = self.open(&catalog().target(name).unwrap(), twin);
            self.sessions.insert(key.clone(), session);
        }
        let (session, _) = self.sessions.get_mut(&key).unwrap();
        match session.command(script.as_bytes(), b"", &mut |_, _| {}) {
            Ok(outcome) => judge(
                String::from_utf8_lossy(&[outcome.stdout, outcome.stderr].concat()).into_owned(),
            ),
            // Losing the sandbox is a success too: a run that ends as an error of ours is not counted.
            Err(error) => {
                self.sessions.remove(&key);
                judge(format!("WON against the harness: {error}"))
            }
        }
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
                reference.mounts.clear();
                reference.guarded = reference.guarded.map(|_| vec!["/".into()]);
            }
            _ => {}
        }
        let directory = tempfile::tempdir().unwrap();
        let below = |name: &str| directory.path().join(name);
        std::fs::create_dir(below("task")).unwrap();
        let tests = target.dir.join("tests/visible.jsonl");
        std::fs::copy(tests, below("task").join("visible.jsonl")).unwrap();
        let mut absent = spec.absent.clone();
        absent.sort();
        let setting = Setting {
            rootfs: root(
                &self.cache,
                &minimal(&self.python.agent_packages),
                &spec.absent,
            ),
            task: below("task"),
            workspace: below("workspace"),
            scratch: below("tmp"),
            environment: environment
                .into_iter()
                .filter(|(name, _)| name != "HOME")
                .collect(),
            reference,
            command_wall: Duration::from_secs(60),
            command_output: 16 << 20,
            memory: 1 << 30,
        };
        let session = Session::open(
            setting,
            Box::new(Forget),
            Arc::new(Forget),
            0,
            agent::WORKSPACE.into(),
        );
        (session.unwrap(), directory)
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
        if let Twin::Spec(_, change) = twin {
            change(&mut stage.sandbox);
        }
        let mut worker = Worker::start(&stage.sandbox).unwrap();
        let mut text = String::new();
        let case = self.target.visible();
        let mut case = case.unwrap().into_iter().next().unwrap();
        case.inputs.files.clear();
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

    /// Builds one C file as scoring builds a submission, and runs what comes of it as a case.
    fn build(&mut self, source: &str) -> Got {
        let (target, c) = catalog().task(&"jq_simple/c".parse().unwrap()).unwrap();
        let toolchain = root(
            &self.cache,
            &minimal(&c.build_packages),
            &target.spec.absent,
        );
        let submission = Submission {
            files: vec![SubmissionFile {
                path: "main.c".to_owned(),
                bytes: source.as_bytes().to_vec(),
                executable: false,
            }],
        };
        let built = match score::build(&submission, &c, &toolchain, &std::sync::Arc::default()) {
            Ok(BuildResult::Built(built)) => built,
            Ok(BuildResult::Failed { reason, log }) => {
                return judge(format!("{reason}\n{}", String::from_utf8_lossy(&log)));
            }
            Ok(BuildResult::Stopped) => unreachable!("nobody asks for the end"),
            Err(error) => return judge(format!("WON against the harness: {error}")),
        };
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
                "{:?}\n{}",
                observed.ending,
                String::from_utf8_lossy(&observed.stdout)
            )),
            Err(error) => judge(format!("WON against the harness: {error}")),
        }
    }
}

/// The same code with no wall at all.
fn bare(program: &str, codes: &[&str]) -> Got {
    let directory = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for code in codes {
        #[expect(
            clippy::disallowed_methods,
            reason = "a twin is an attack without the sandbox"
        )]
        let output = std::process::Command::new(program)
            .args(["-c", code])
            .current_dir(directory.path())
            .output()
            .unwrap();
        text += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
    }
    judge(text)
}
