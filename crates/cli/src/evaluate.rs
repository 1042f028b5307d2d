//! From a submission to results: build, then every case. Scoring and the agent's `evaluate` share it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use agent::{Evaluation, Evaluator};
use score::{
    Build, BuildResult, CaseOutcome, CaseResult, Installed, Results, RunError, Split, Submission,
    TestStage,
};
use target::{Case, Language, Spec};

use crate::context::passing;
use crate::exit::{self, Failure};
use crate::verdict;

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let code = match error {
            RunError::Interrupted => exit::INTERRUPTED,
            RunError::Damaged { .. } => exit::USAGE,
            RunError::Infrastructure { .. } | RunError::Results { .. } => exit::MACHINE,
        };
        Failure::new(code, error)
    }
}

/// Roots in which a submission of a language is built and run.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    pub(crate) build: PathBuf,
    pub(crate) runtime: PathBuf,
}

/// A submission that was built, or the reason why not.
pub(crate) struct Made {
    pub(crate) build: Build,
    pub(crate) log: Vec<u8>,
    pub(crate) stage: Option<(TestStage, Installed)>,
}

/// Checks a submission's rules and builds it.
pub(crate) fn make(
    submission: &Submission,
    language: &Language,
    roots: &Roots,
    spec: &Spec,
    stop: &Arc<AtomicBool>,
) -> Result<Made, Failure> {
    let files: Vec<(&str, &[u8])> = submission
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.bytes.as_slice()))
        .collect();
    let violations = target::conformity::check(&files, language);
    let no = |build, log| Made {
        build,
        log,
        stage: None,
    };
    if !violations.is_empty() {
        return Ok(no(
            Build::Refused(violations.iter().map(ToString::to_string).collect()),
            Vec::new(),
        ));
    }
    match score::build(submission, language, &roots.build, stop)? {
        BuildResult::Stopped => Err(RunError::Interrupted.into()),
        BuildResult::Failed { reason, log } => Ok(no(Build::Failed(reason), log)),
        BuildResult::Built(built) => {
            let installed = Installed::new(&built.files)
                .map_err(|error| Failure::io(&std::env::temp_dir(), &error))?;
            let stage =
                TestStage::for_submission(language, &roots.runtime, &installed, &spec.limits);
            let build = if language.build.is_empty() {
                Build::None
            } else {
                Build::Done
            };
            Ok(Made {
                build,
                log: built.log,
                stage: Some((stage, installed)),
            })
        }
    }
}

/// The results of a submission that was not built: no case starts.
pub(crate) fn not_started(cases: &[(&Case, Split)]) -> Vec<CaseResult> {
    cases
        .iter()
        .map(|(case, split)| CaseResult {
            id: case.id.clone(),
            split: *split,
            outcome: CaseOutcome::Start,
            difference: None,
        })
        .collect()
}

/// `evaluate` in an agent's sandbox. It holds the visible cases and no others.
pub(crate) struct VisibleCases {
    pub(crate) spec: Spec,
    pub(crate) language: Language,
    pub(crate) roots: Roots,
    pub(crate) visible: Vec<Case>,
    pub(crate) jobs: usize,
    pub(crate) interrupted: Arc<AtomicBool>,
    /// Where results stand until they have been shown.
    pub(crate) scratch: PathBuf,
}

impl VisibleCases {
    fn wanted(&self, wanted: &[String]) -> Result<Vec<(&Case, Split)>, String> {
        let fits = |case: &Case, word: &str| {
            case.id == word
                || case.family == word
                || case
                    .id
                    .split_once('/')
                    .is_some_and(|(_, rest)| rest == word)
        };
        if let Some(word) = wanted
            .iter()
            .find(|word| !self.visible.iter().any(|case| fits(case, word)))
        {
            return Err(format!("there is no visible case or family {word}\n"));
        }
        let cases = self
            .visible
            .iter()
            .filter(|case| wanted.is_empty() || wanted.iter().any(|word| fits(case, word)));
        Ok(cases.map(|case| (case, Split::Visible)).collect())
    }

    fn run(
        &self,
        workspace: &Path,
        cases: &[(&Case, Split)],
        print: &mut dyn FnMut(&str),
    ) -> Result<Evaluation, Failure> {
        let total = cases.len() as u64;
        let failed = Evaluation {
            built: false,
            passed: 0,
            total,
            status: 1,
        };
        let submission = match Submission::read(workspace, &self.language.ignore) {
            Ok(submission) => submission,
            Err(refusal) => {
                print(&format!("this cannot be submitted: {refusal}\n"));
                return Ok(failed);
            }
        };
        let made = make(
            &submission,
            &self.language,
            &self.roots,
            &self.spec,
            &self.interrupted,
        )?;
        print(&String::from_utf8_lossy(&made.log));
        let Some((stage, _installed)) = made.stage else {
            print(&match made.build {
                Build::Refused(reasons) => {
                    format!("this breaks the rules: {}\n", reasons.join("; "))
                }
                Build::Failed(reason) => format!("the build failed: {reason}\n"),
                Build::None | Build::Done => String::new(),
            });
            return Ok(failed);
        };
        let kept = passing("results", &self.scratch)?;
        let results = Results::open(kept.path(), "evaluate")?;
        let results = score::run_all(
            &stage,
            &self.spec,
            cases,
            self.jobs,
            results,
            &self.interrupted,
            &mut |_, _| {},
        )?;
        let passed = results
            .iter()
            .filter(|result| result.outcome == CaseOutcome::Pass)
            .count() as u64;
        let mut families: std::collections::BTreeMap<&str, (u64, u64)> =
            std::collections::BTreeMap::new();
        for (case, result) in results.iter().filter_map(|result| {
            Some((
                self.visible.iter().find(|case| case.id == result.id)?,
                result,
            ))
        }) {
            let count = families.entry(&case.family).or_default();
            count.0 += u64::from(result.outcome == CaseOutcome::Pass);
            count.1 += 1;
        }
        for (family, (passed, total)) in families
            .iter()
            .filter(|(_, (passed, total))| passed < total)
        {
            print(&format!("{family}: {passed}/{total}\n"));
        }
        verdict::failures(&self.spec.reference.command, &results, &self.visible, print);
        print(&format!("{passed} of {total} visible cases pass\n"));
        Ok(Evaluation {
            built: true,
            passed,
            total,
            status: i32::from(passed < total),
        })
    }
}

impl Evaluator for VisibleCases {
    fn evaluate(
        &self,
        workspace: &Path,
        wanted: &[String],
        print: &mut dyn FnMut(&str),
    ) -> Evaluation {
        let outcome = self
            .wanted(wanted)
            .map_err(|text| (2, text))
            .and_then(|cases| {
                self.run(workspace, &cases, print).map_err(|failure| {
                    (
                        3,
                        format!(
                            "evaluate failed, which says nothing about the work: {}\n",
                            failure.message
                        ),
                    )
                })
            });
        outcome.unwrap_or_else(|(status, text)| {
            print(&text);
            Evaluation {
                built: false,
                passed: 0,
                total: 0,
                status,
            }
        })
    }
}
