//! What scoring says. A verdict is a pure function of submission, target lock and language lock.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::difference::Difference;

/// Version of the verdict's format.
pub const FORMAT: u32 = 1;

/// The whole verdict, as it stands in `verdict.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// [`FORMAT`].
    pub format: u32,
    /// `target/language`, or the target alone for a prebuilt program.
    pub task: String,
    /// Whether every visible and every hidden case passed.
    pub solved: bool,
    /// The verdict in one line.
    pub summary: String,
    /// How the build went.
    pub build: Build,
    /// Visible cases.
    pub visible: Count,
    /// Hidden cases.
    pub hidden: Count,
    /// Counts by family.
    pub families: BTreeMap<String, FamilyCount>,
    /// Each case, sorted by id.
    pub cases: Vec<CaseResult>,
    /// What was scored.
    pub submission: SubmissionFacts,
    /// What it was scored with: name to version or hash.
    pub versions: BTreeMap<String, String>,
}

/// How the build went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Build {
    /// The language needs none, or the program came built.
    None,
    /// It gave what is to be run.
    Done,
    /// It did not; the reason.
    Failed(String),
    /// The submission breaks a rule of the language; the reasons.
    Refused(Vec<String>),
}

/// Passed of total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Cases whose every byte was right.
    pub passed: u64,
    /// All cases.
    pub total: u64,
}

impl Count {
    fn add(&mut self, passed: bool) {
        self.passed += u64::from(passed);
        self.total += 1;
    }
}

/// Counts of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyCount {
    /// Visible cases.
    pub visible: Count,
    /// Hidden cases.
    pub hidden: Count,
}

/// Which cases an agent sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Given to the agent.
    Visible,
    /// Never given.
    Hidden,
}

/// How one case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaseOutcome {
    /// Every byte right.
    Pass,
    /// Standard output differs.
    Stdout,
    /// Standard error differs.
    Stderr,
    /// The exit status differs.
    Exit,
    /// A declared file differs.
    Files,
    /// The wall time limit was hit.
    WallTime,
    /// The processor time limit was hit.
    CpuTime,
    /// The memory limit was hit.
    Memory,
    /// The process limit was hit.
    Processes,
    /// The output limit was hit.
    Output,
    /// A disk limit was hit.
    Disk,
    /// It died of a signal that the reference did not die of.
    Signal,
    /// It did not start.
    Start,
}

impl CaseOutcome {
    /// The word that stands in `verdict.json`.
    pub fn name(self) -> &'static str {
        match self {
            CaseOutcome::Pass => "pass",
            CaseOutcome::Stdout => "stdout",
            CaseOutcome::Stderr => "stderr",
            CaseOutcome::Exit => "exit",
            CaseOutcome::Files => "files",
            CaseOutcome::WallTime => "wall-time",
            CaseOutcome::CpuTime => "cpu-time",
            CaseOutcome::Memory => "memory",
            CaseOutcome::Processes => "processes",
            CaseOutcome::Output => "output",
            CaseOutcome::Disk => "disk",
            CaseOutcome::Signal => "signal",
            CaseOutcome::Start => "start",
        }
    }
}

/// One case's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseResult {
    /// The case.
    pub id: String,
    /// Whether agents see it.
    pub split: Split,
    /// How it ended.
    pub outcome: CaseOutcome,
    /// Where it first differs; absent for a pass and for limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
}

/// What was scored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmissionFacts {
    /// `source`, or `prebuilt`.
    pub kind: String,
    /// SHA-256 over its files, or of the prebuilt program's image.
    pub digest: String,
    /// Number of files.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Results that cannot make a verdict.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Incomplete {
    /// A result for a case that the target does not have.
    #[error("a result names case {0}, which the target does not have")]
    Unknown(String),
    /// Two results for one case.
    #[error("there are two results for case {0}")]
    Duplicate(String),
    /// A case without a result.
    #[error("there is no result for case {0}")]
    Missing(String),
}

/// What a verdict says besides its cases.
pub struct Header {
    /// See [`Verdict::task`].
    pub task: String,
    /// See [`Verdict::build`].
    pub build: Build,
    /// See [`Verdict::submission`].
    pub submission: SubmissionFacts,
    /// See [`Verdict::versions`].
    pub versions: BTreeMap<String, String>,
}

impl Verdict {
    /// Makes a verdict from exactly one result for each case of `cases` (id to split and family).
    ///
    /// # Errors
    /// [`Incomplete`] when a result is unknown, doubled or missing.
    pub fn new(
        header: Header,
        cases: &BTreeMap<String, (Split, String)>,
        results: Vec<CaseResult>,
    ) -> Result<Self, Incomplete> {
        let mut by_id = BTreeMap::new();
        for result in results {
            if !cases.contains_key(&result.id) {
                return Err(Incomplete::Unknown(result.id));
            }
            if let Some(double) = by_id.insert(result.id.clone(), result) {
                return Err(Incomplete::Duplicate(double.id));
            }
        }
        let (mut visible, mut hidden) = (Count::default(), Count::default());
        let mut families: BTreeMap<String, FamilyCount> = BTreeMap::new();
        let mut results = Vec::with_capacity(cases.len());
        for (id, (split, family)) in cases {
            let mut result = by_id
                .remove(id)
                .ok_or_else(|| Incomplete::Missing(id.clone()))?;
            // The target's word, not the result's, says what is hidden.
            result.split = *split;
            let passed = result.outcome == CaseOutcome::Pass;
            let family = families.entry(family.clone()).or_default();
            match split {
                Split::Visible => (visible.add(passed), family.visible.add(passed)),
                Split::Hidden => {
                    if let Some(difference) = &mut result.difference {
                        difference.context = None;
                    }
                    (hidden.add(passed), family.hidden.add(passed))
                }
            };
            results.push(result);
        }
        let solved = matches!(header.build, Build::None | Build::Done)
            && visible.passed == visible.total
            && hidden.passed == hidden.total
            && visible.total + hidden.total > 0;
        let summary = summary(&header.build, solved, visible, hidden);
        Ok(Verdict {
            format: FORMAT,
            task: header.task,
            solved,
            summary,
            build: header.build,
            visible,
            hidden,
            families,
            cases: results,
            submission: header.submission,
            versions: header.versions,
        })
    }

    /// The file's text: the same verdict is always the same bytes.
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("a verdict holds only text and numbers");
        text.push('\n');
        text
    }

    /// Writes the file whole or not at all.
    ///
    /// # Errors
    /// When the system refuses; nothing half-written stays under the file's name.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write_whole(path, self.to_json().as_bytes())
    }
}

fn summary(build: &Build, solved: bool, visible: Count, hidden: Count) -> String {
    match build {
        Build::Failed(reason) => return format!("not solved: the build failed: {reason}"),
        Build::Refused(reasons) => {
            return format!(
                "not solved: the submission breaks the rules: {}",
                reasons.join("; ")
            );
        }
        Build::None | Build::Done => {}
    }
    let counts = format!(
        "{}/{} visible and {}/{} hidden cases pass",
        visible.passed, visible.total, hidden.passed, hidden.total
    );
    let rate = |count: Count| count.passed as f64 / count.total.max(1) as f64;
    if solved {
        format!("solved: {counts}")
    } else if visible.passed == visible.total && rate(hidden) < 0.5 {
        format!(
            "not solved: {counts}: the visible cases look memorized, the behaviour is not there"
        )
    } else {
        format!("not solved: {counts}")
    }
}

/// Writes a file under another name, makes it durable, and renames it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let written = std::fs::File::create(&partial).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    match written.and_then(|()| std::fs::rename(&partial, path)) {
        Ok(()) => Ok(()),
        Err(error) => {
            let _ = std::fs::remove_file(&partial);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            task: "t/python".to_owned(),
            build: Build::None,
            submission: SubmissionFacts {
                kind: "source".to_owned(),
                digest: String::new(),
                files: 1,
                bytes: 1,
            },
            versions: BTreeMap::new(),
        }
    }

    fn cases() -> BTreeMap<String, (Split, String)> {
        [("t/f/001", Split::Visible), ("t/f/002", Split::Hidden)]
            .map(|(id, split)| (id.to_owned(), (split, "f".to_owned())))
            .into()
    }

    fn result(id: &str, split: Split, outcome: CaseOutcome) -> CaseResult {
        let difference = crate::first_difference("stdout", b"secret", b"");
        CaseResult {
            id: id.to_owned(),
            split,
            outcome,
            difference,
        }
    }

    #[test]
    fn solved_means_both_splits() {
        use CaseOutcome::{Pass, Stdout};
        for (visible, hidden, solved) in [
            (Pass, Pass, true),
            (Pass, Stdout, false),
            (Stdout, Pass, false),
        ] {
            let results = vec![
                result("t/f/001", Split::Visible, visible),
                result("t/f/002", Split::Hidden, hidden),
            ];
            assert_eq!(
                Verdict::new(header(), &cases(), results).unwrap().solved,
                solved
            );
        }
        assert!(
            !Verdict::new(header(), &BTreeMap::new(), vec![])
                .unwrap()
                .solved
        );
    }

    #[test]
    fn refuses_unknown_doubled_and_missing_results() {
        let pass = |id| result(id, Split::Visible, CaseOutcome::Pass);
        let new = |results| Verdict::new(header(), &cases(), results).unwrap_err();
        assert_eq!(
            new(vec![pass("t/f/001"), pass("x")]),
            Incomplete::Unknown("x".to_owned())
        );
        assert_eq!(
            new(vec![pass("t/f/001"), pass("t/f/001")]),
            Incomplete::Duplicate("t/f/001".to_owned())
        );
        assert_eq!(
            new(vec![pass("t/f/001")]),
            Incomplete::Missing("t/f/002".to_owned())
        );
    }

    #[test]
    fn a_hidden_case_shows_nothing_whatever_the_result_claims() {
        let results = vec![
            result("t/f/001", Split::Hidden, CaseOutcome::Stdout),
            result("t/f/002", Split::Visible, CaseOutcome::Stdout),
        ];
        let verdict = Verdict::new(header(), &cases(), results).unwrap();
        assert_eq!(verdict.to_json().matches("secret").count(), 1);
        assert!(
            verdict.cases[1]
                .difference
                .as_ref()
                .unwrap()
                .context
                .is_none()
        );
    }
}
