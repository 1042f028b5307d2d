//! A whole file, and everything that can be wrong with one.

use super::*;

fn parse(text: &str) -> Result<File, String> {
    File::parse(Path::new("/c/pilot.toml"), text).map_err(|error| error.to_string())
}

const WHOLE: &str = r#"
        retries = 2

        [budget]
        dollars = 25
        time = "12h"

        [[set]]
        tasks = ["size:S", "gron/rust"]
        languages = "python"
        attempts = 3
        priority = 1

        [[set]]
        tasks = "gotree"
        languages = ["go"]
        models = ["opus"]
        budget = { dollars = 2600, tokens = "1G" }

        [[model]]
        name = "anthropic/claude-opus-4-7"
        label = "opus"
        priority = 10
        thinking = "high"
        key-file = "keys/a"

        [[model]]
        name = "scripted:turns.json"

        [[agent]]
        name = "built-in"

        [[agent]]
        name = "generic"
        command = "run"

        [limits.anthropic]
        requests-per-minute = 50
        tokens-per-minute = "400k"
        dollars = 1000.50

        [resources]
        memory = "6G"
        cores = 2
    "#;

#[test]
fn a_whole_file_is_read() {
    let file = parse(WHOLE).unwrap();
    assert_eq!((file.name.as_str(), file.retries), ("pilot", 2));
    assert_eq!(file.sets[0].budget.microdollars, Some(25_000_000));
    assert_eq!(file.sets[0].languages, ["python"]);
    assert_eq!(
        (file.sets[0].models.len(), file.sets[0].agents.len()),
        (2, 2)
    );
    let large = &file.sets[1];
    assert_eq!(large.models, [0]);
    assert_eq!(large.budget.wall_seconds, Some(43_200));
    assert_eq!(large.budget.tokens, Some(1_000_000_000));
    assert_eq!(file.models[0].options["key-file"], "/c/keys/a");
    assert_eq!(file.models[1].name, "scripted:/c/turns.json");
    assert_eq!(file.models[1].label, "turns");
    let limits = file.limits["anthropic"];
    assert_eq!(limits.tokens_per_minute, Some(400_000));
    assert_eq!(limits.microdollars, Some(1_000_500_000));
    assert_eq!((file.resources.cores, file.resources.memory_mib), (2, 6144));
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_key() {
    let with = |from: &str, to: &str| {
        assert!(WHOLE.contains(from), "{from}");
        parse(&WHOLE.replacen(from, to, 1)).unwrap_err()
    };
    for (from, to, line, says) in [
        ("retries = 2", "retrys = 2", 2, "unknown field `retrys`"),
        ("time = \"12h\"", "time = \"12 hours\"", 6, "`time`: "),
        ("dollars = 25", "dollars = -1", 5, "`dollars`: "),
        ("dollars = 25", "dollars = ", 5, ""),
        ("attempts = 3", "attempts = 0", 11, "`attempts`: from 1"),
        (
            "[\"opus\"]",
            "[\"sonnet\"]",
            17,
            "none is \"sonnet\"; there are opus, turns",
        ),
        (
            "anthropic/claude-opus-4-7",
            "opus",
            21,
            "`name`: \"opus\" is no model",
        ),
        ("label = \"opus\"", "label = \"a/b\"", 22, "`label`: "),
        ("\"400k\"", "\"many\"", 39, "`tokens-per-minute`: "),
    ] {
        let error = with(from, to);
        let place = format!("/c/pilot.toml:{line}:");
        assert!(error.starts_with(&place) && error.contains(says), "{error}");
    }
    assert!(parse("").unwrap_err().contains("[[model]]"));
    assert!(
        parse("[[model]]\nname = \"a/b\"")
            .unwrap_err()
            .contains("[[set]]")
    );
    let twice = parse("[[model]]\nname='a/m'\n[[model]]\nname='b/m'").unwrap_err();
    assert!(
        twice.starts_with("/c/pilot.toml:4:") && twice.contains("label"),
        "{twice}"
    );
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_written_in_a_file_breaks_its_reader(
        at in 0..WHOLE.len(),
        length in 0..40_usize,
        new in "[\\[\\]a-z0-9=\"'{}., \n\u{e9}\u{1f600}-]{0,20}",
    ) {
        let end = (at + length).min(WHOLE.len());
        let text = format!("{}{new}{}", &WHOLE[..at], &WHOLE[end..]);
        match File::parse(Path::new("/c/pilot.toml"), &text) {
            Ok(file) => proptest::prop_assert!(!file.sets.is_empty() && !file.models.is_empty()),
            Err(error) => proptest::prop_assert!(error.to_string().starts_with("/c/pilot.toml:")),
        }
    }
}
