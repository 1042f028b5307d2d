//! What authors of targets and of submissions write.

use std::path::Path;
use std::sync::OnceLock;

use agent::event;
use model::{Cost, Name, Prices};
use score::{Verdict, first_difference};
use target::{Bytes, Digest, Family, Fixtures, Language, Lock, Round, Signature, Spec};
use target::{conformity, read_cases, write_cases};

fn fixtures() -> &'static Fixtures {
    static FIXTURES: OnceLock<Fixtures> = OnceLock::new();
    FIXTURES.get_or_init(|| {
        let long = vec![b'x'; target::NAMED_FROM];
        Fixtures::new(
            [
                ("long.txt".to_owned(), long),
                ("short".to_owned(), b"s".to_vec()),
            ]
            .into(),
        )
    })
}

/// A message names the file, and is one that a terminal can show.
fn check_message(problem: &target::Problem) {
    let text = problem.to_string();
    assert!(text.starts_with("file"), "{text}");
}

pub(super) fn cases(input: &[u8], _: &Path) {
    let cases = match read_cases("file", input, fixtures()) {
        Ok(cases) => cases,
        Err(problem) => return check_message(&problem),
    };
    for written in [&Fixtures::none(), fixtures()] {
        let text = write_cases(&cases, written);
        let again = read_cases("file", text.as_bytes(), fixtures());
        assert_eq!(again.as_ref(), Ok(&cases), "written as it was read");
    }
    for case in &cases {
        let signature = Signature::of(case, &["int".to_owned()]);
        assert_eq!(signature.family, case.family);
        drop(target::duals(case, &cases, &[]));
    }
}

pub(super) fn target(input: &[u8], _: &Path) {
    if let Err(problem) = Spec::parse("file", "gron", input) {
        check_message(&problem);
    }
}

pub(super) fn family(input: &[u8], _: &Path) {
    if let Err(problem) = Family::parse("file.toml", input) {
        check_message(&problem);
    }
}

/// The first byte is a part of the seed. Only what asks for few cases is drawn: how many is the author's decision.
pub(super) fn draw(input: &[u8], _: &Path) {
    let Some((&seed, input)) = input.split_first() else {
        return;
    };
    let Ok(family) = Family::parse("file.toml", input) else {
        return;
    };
    if family.cases > 30 {
        return;
    }
    let families = [family];
    let draw = || target::draw("t", &families, fixtures(), seed.into(), Round::First);
    if let Ok(cases) = draw() {
        assert_eq!(cases.len() as u32, families[0].cases);
        assert_eq!(
            draw().ok(),
            Some(cases),
            "the same seed gives the same cases"
        );
    }
}

pub(super) fn language(input: &[u8], _: &Path) {
    match Language::parse("file/python.toml", input) {
        Ok(language) => drop(language.is_source("a/b.py")),
        Err(problem) => check_message(&problem),
    }
}

pub(super) fn lock(input: &[u8], _: &Path) {
    match Lock::parse("file", input) {
        Ok(lock) => {
            let text = lock.to_toml().expect("what was read is written");
            assert_eq!(Lock::parse("file", text.as_bytes()), Ok(lock), "{text}");
        }
        Err(problem) => check_message(&problem),
    }
}

pub(super) fn prices(input: &[u8], _: &Path) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(prices) = Prices::parse(text, "file") {
        for name in ["anthropic/claude-opus-4-5", "compatible/m"] {
            let name: Name = name.parse().expect("it is a name");
            let most = model::Usage {
                input: u64::MAX,
                cache_read: u64::MAX,
                cache_write: u64::MAX,
                cache_write_hour: u64::MAX,
                output: u64::MAX,
                reasoning: u64::MAX,
            };
            if let Ok(price) = prices.price(&name) {
                drop(price.cost(&most).to_string());
            }
        }
    }
}

fn languages() -> &'static [Language] {
    static LANGUAGES: OnceLock<Vec<Language>> = OnceLock::new();
    LANGUAGES.get_or_init(|| {
        crate::seeds::LANGUAGES
            .iter()
            .map(|(file, text)| Language::parse(file, text).expect("ours are right"))
            .collect()
    })
}

/// The first byte chooses language and path, the rest is the file.
pub(super) fn conformity(input: &[u8], _: &Path) {
    let Some((&which, bytes)) = input.split_first() else {
        return;
    };
    let paths = [
        "dune",
        "x/dune-project",
        "go.mod",
        "Cargo.toml",
        "main.py",
        "main.rs",
        "a",
        "b.c",
    ];
    let path = paths[usize::from(which) % paths.len()];
    for language in languages() {
        for violation in conformity::check(&[(path, bytes)], language) {
            drop(violation.to_string());
        }
    }
}

/// What was expected, a zero byte, what came out.
pub(super) fn difference(input: &[u8], _: &Path) {
    let mut parts = input.splitn(2, |&byte| byte == 0);
    let expected = parts.next().unwrap_or_default();
    let actual = parts.next().unwrap_or_default();
    match first_difference("stdout", expected, actual) {
        None => assert_eq!(expected, actual),
        Some(difference) => {
            let at = difference.offset as usize;
            assert_eq!(expected.get(..at), actual.get(..at));
            assert_ne!(expected.get(at), actual.get(at));
        }
    }
}

pub(super) fn verdict(input: &[u8], _: &Path) {
    if let Ok(verdict) = serde_json::from_slice::<Verdict>(input) {
        let again = serde_json::from_str::<Verdict>(&verdict.to_json());
        assert_eq!(again.ok(), Some(verdict), "written as it was read");
    }
}

pub(super) fn names(input: &[u8], _: &Path) {
    if let Ok(bytes) = serde_json::from_slice::<event::Bytes>(input) {
        let text = serde_json::to_string(&bytes).expect("bytes are always JSON");
        assert_eq!(
            serde_json::from_str::<event::Bytes>(&text).ok(),
            Some(bytes)
        );
    }
    let written = event::Bytes(input.to_vec());
    let text = serde_json::to_string(&written).expect("bytes are always JSON");
    assert_eq!(
        serde_json::from_str::<event::Bytes>(&text).ok(),
        Some(written)
    );
    assert_eq!(
        serde_json::from_value::<String>(Bytes(input.to_vec()).to_json(&Fixtures::none())).is_ok(),
        std::str::from_utf8(input).is_ok()
    );
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(time) = text.parse::<event::Time>() {
        assert_eq!(time.to_string(), text);
        assert_eq!(
            event::Time::from_milliseconds(time.milliseconds()),
            Some(time)
        );
    }
    if let Ok(digest) = text.parse::<event::Digest>() {
        assert_eq!(digest.to_string(), text);
        assert_eq!(Digest::parse(text).map(|digest| digest.0), Some(digest.0));
    }
    if let Ok(name) = text.parse::<Name>() {
        assert_eq!(name.to_string(), text);
    }
    if let Ok(task) = text.parse::<target::Task>() {
        assert_eq!(task.to_string(), text);
    }
    if let Ok(cost) = text.parse::<Cost>() {
        // What is shown is rounded up, and the largest amount is then too large.
        let shown = cost.to_string().parse::<Cost>();
        let largest = cost > Cost(u64::MAX - 10_000_000);
        assert!(largest || shown.is_ok_and(|shown| shown >= cost), "{cost}");
    }
    drop(run::Header::new(text, "0", [].into()));
    drop(model::Scripted::parse(text));
}
