//! Families: what is wrong is named with its line, and what is right is drawn the same way every time.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;
use target::{Case, Digest, Drawn, Ending, Expect, Family, Fixtures, Retired, Round, draw};

fn fixtures() -> Fixtures {
    Fixtures::new(BTreeMap::from([("big.json".to_owned(), vec![b'7'; 5000])]))
}

fn drawn(text: &str, seed: u64) -> Result<Vec<Drawn>, String> {
    let family = Family::parse("families/foo.toml", text.as_bytes())
        .map_err(|problem| problem.to_string())?;
    draw("t", &[family], &fixtures(), seed, Round::First).map_err(|problems| problems.to_string())
}

const HEAD: &str = "about = \"x\"\ncases = 2\n[[template]]\n";

#[test]
fn names_what_is_wrong_and_where() {
    for (rest, expected) in [
        (
            "argvs = []\n",
            "4: unknown key \"template[0].argvs\"; did you mean \"argv\"?",
        ),
        (
            "argv = [7]\n",
            "4: \"template[0].argv[0]\" must be a string, not an integer",
        ),
        (
            "argv = [\n  \"a\",\n  \"${dok}\",\n]\n[values]\ndoc = [\"1\"]\n",
            "6: \"template[0].argv[1]\": there is no pool \"dok\" in [values]; did you mean \"doc\"?",
        ),
        (
            "stdin = \"${a b}\"\n",
            "4: \"template[0].stdin\": \"${a b}\" is no placeholder: write ${name} with letters, digits, - and _ only, or $${ for a literal ${",
        ),
        (
            "[values]\ndoc = [\"1\"]\n",
            "5: pool \"doc\" is used by no template; use it or remove it",
        ),
        (
            "stdin = \"${a}\"\n[values]\na = [\"x${b}\"]\nb = [\"y${a}\", \"z${b}\"]\n",
            "6: recursion that cannot end: every choice of \"a\", \"b\" leads back into it; add a choice without placeholders",
        ),
        (
            "stdin = \"${a}\"\n[values]\na = [\"x\", []]\n",
            "3: pool \"a\" holds arrays, so \"${a}\" must be a whole element of argv (or of another array)",
        ),
        (
            "argv = [\"${b}\"]\n[values]\na = [[]]\nb = [\"1\", \"x${a}\"]\n",
            "7: pool \"a\" holds arrays, so \"${a}\" must be a whole element of argv (or of another array)",
        ),
        (
            "stdin = \"${a}\"\n[values]\na = { int = [9, 1] }\n",
            "6: \"values.a.int\": 9 is above 1",
        ),
        (
            "stdin = \"${a}\"\n[values]\na = { int = [1, 2], len = 3 }\n",
            "6: unknown key \"values.a.len\"",
        ),
        (
            "stdin = \"${a}\"\n[values]\na = { chars = \"\", len = [1, 2] }\n",
            "6: \"values.a.chars\" must not be empty",
        ),
        (
            "stdin = \"${a}\"\n[values]\na = [{ base64 = \"%\" }]\n",
            "6: \"values.a[0].base64\": not valid base64: invalid symbol 37, offset 0.",
        ),
        (
            "stdin = \"${a}\"\n[values]\na = [{ fixture = \"bigjson\" }]\n",
            "6: there is no fixture \"bigjson\" in the target's fixtures directory; did you mean \"big.json\"?",
        ),
        (
            "stdin = \"${a}\"\n[values]\na = []\n",
            "6: pool \"a\" has no choices",
        ),
        (
            "stdin = \"${a}\"\n[values]\na = \"x\"\n",
            "6: \"values.a\" must be an array of choices or one table such as { int = [1, 9] }, not a string",
        ),
        (
            "weight = 0\n",
            "4: \"template[0].weight\" must be from 1 to 1000, not 0",
        ),
        (
            "files = { \"../x\" = \"\" }\n",
            "3: a drawn case: \"files\": path \"../x\" has a \"..\"",
        ),
        ("stdin = [\n", "4: unclosed array, expected `]`"),
    ] {
        let found = drawn(&format!("{HEAD}{rest}"), 1).unwrap_err();
        assert_eq!(found, format!("families/foo.toml:{expected}"), "{rest}");
    }
    let found = drawn(
        &format!("{HEAD}stdin = \"${{a}}\"\n[values]\na = [\"x\", \"x\"]\n"),
        1,
    )
    .unwrap_err();
    assert_eq!(
        found,
        "families/foo.toml: family \"foo\" asks for 2 cases, but its templates and pools give only 1 that no other case \
         of the target equals; add values or templates, or lower \"cases\""
    );
    assert_eq!(
        drawn("about = \"x\"\n", 1).unwrap_err(),
        "families/foo.toml:1: missing key \"template\""
    );
    let bytes = [HEAD.as_bytes(), b"\xff"].concat();
    let found = Family::parse("families/foo.toml", &bytes)
        .unwrap_err()
        .to_string();
    assert_eq!(found, "families/foo.toml:4: the file is not valid UTF-8");
}

const RICH: &str = r#"
about = "all that a family can say"
cases = 12

[[template]]
argv = ["${flags}", "--name=${word}", "$${literal}"]
stdin = "${doc}"
env = { NAME = "${word}" }
outputs = ["${word}.out"]
[template.files]
"./in/${word}.json" = "${word}: ${doc}"

[[template]]
weight = 2
argv = ["-n", "${raw}"]
stdin = "${list}"

[[template]]
argv = ["--help"]

[values]
flags = [[], ["-s"], ["--arg", "${word}", "${common}"], "${common}"]
common = [["-a", "-b"], []]
word = ["one", "two", { chars = "xyz", len = [3, 5] }]
doc = ["null", "[${doc},${doc}]", { int = [-5, 5] }, { fill = "ab", count = 3 }]
list = [{ repeat = "${doc}", count = [0, 3], join = ", " }, { fixture = "big.json" }]
raw = [{ base64 = "/w==" }, "plain"]
"#;

#[test]
fn drawing_stays_as_it_is() {
    let cases = drawn(RICH, 7).unwrap();
    let lines: String = cases
        .iter()
        .map(|case| format!("{}\n", case.to_json(&fixtures())))
        .collect();
    assert_eq!(
        Digest::of(lines.as_bytes()).to_string(),
        GOLDEN,
        "drawing has changed; every target would too:\n{lines}"
    );
}

const GOLDEN: &str = "a2a3af21487003177a1d6945cd81ee82a94f9b6ba819e48a8b0fc1b1201e3064";

#[test]
fn what_a_family_says_is_what_is_drawn() {
    let cases = drawn(RICH, 7).unwrap();
    let ids: Vec<_> = cases.iter().map(|case| case.id.clone()).collect();
    assert_eq!(
        (ids[0].as_str(), ids[11].as_str()),
        ("t/foo/001", "t/foo/012")
    );
    let of = |index: u32| {
        cases
            .iter()
            .filter(move |case| case.template == Some(index))
    };
    assert_eq!((of(2).count(), of(0).count() < of(1).count()), (1, true));
    for case in of(0) {
        let name = String::from_utf8(case.inputs.env["NAME"].to_vec()).unwrap();
        let argv: Vec<_> = case
            .inputs
            .argv
            .iter()
            .map(|item| String::from_utf8_lossy(item).into_owned())
            .collect();
        assert_eq!(
            argv[argv.len() - 2..],
            [format!("--name={name}"), "${literal}".to_owned()]
        );
        let content = &case.inputs.files[&format!("in/{name}.json")];
        assert_eq!(
            **content,
            *[name.as_bytes(), b": ", &case.inputs.stdin].concat()
        );
        assert_eq!(case.inputs.outputs, [format!("{name}.out")]);
    }
}

#[test]
fn a_family_more_changes_no_other() {
    let family = |name: &str| {
        Family::parse(
            &format!("{name}.toml"),
            RICH.replace("--help", name).as_bytes(),
        )
        .unwrap()
    };
    let alone = draw("t", &[family("b")], &fixtures(), 7, Round::First).unwrap();
    let text = RICH
        .replace("-n", "-m")
        .replace("--name", "--call")
        .replace("--help", "a");
    let other = Family::parse("a.toml", text.as_bytes()).unwrap();
    let both = draw("t", &[family("b"), other], &fixtures(), 7, Round::First).unwrap();
    assert_eq!(both[12..], alone);
    assert_eq!(both[0].family, "a");
}

#[test]
fn a_fresh_round_repeats_nothing() {
    let text = "about = \"x\"\ncases = 20\n[[template]]\nargv = [\"${n}\"]\n[values]\nn = { int = [1, 30] }\n";
    let family = Family::parse("n.toml", text.as_bytes()).unwrap();
    let first = draw(
        "t",
        std::slice::from_ref(&family),
        &Fixtures::none(),
        1,
        Round::First,
    )
    .unwrap();
    let mut cases: Vec<Case> = first
        .into_iter()
        .map(|drawn| {
            let expect = Expect {
                ending: Ending::Exit(0),
                stdout: "".into(),
                stderr: "".into(),
                files: BTreeMap::new(),
            };
            drawn.expecting(expect)
        })
        .collect();
    let retired: Vec<Retired> = cases
        .split_off(12)
        .iter()
        .map(|case| Retired {
            id: case.id.clone(),
            inputs: case.inputs.digest(),
        })
        .collect();
    let round = Round::Fresh {
        visible: &cases,
        retired: &retired,
    };
    let fresh = draw("t", &[family], &Fixtures::none(), 2, round).unwrap();
    // Of thirty that there are, twenty have been.
    assert_eq!(fresh.len(), 10);
    assert_eq!(fresh[0].id, "t/n/021");
    let old: HashSet<Digest> = cases
        .iter()
        .map(|case| case.inputs.digest())
        .chain(retired.iter().map(|case| case.inputs))
        .collect();
    assert!(
        fresh
            .iter()
            .all(|case| !old.contains(&case.inputs.digest()))
    );
}

#[test]
fn grammars_that_grow_come_to_an_end() {
    let text = r#"
about = "x"
cases = 200
[[template]]
stdin = "${doc}"
[values]
doc = ["[${doc}, ${doc}, ${doc}]", { repeat = "${pair}", count = [0, 9] }, "1"]
pair = ["\"k\": ${doc}", "${pair}${pair}"]
"#;
    let cases = drawn(text, 1).unwrap();
    assert_eq!(cases.len(), 200);
    assert!(cases.iter().all(|case| case.inputs.stdin.len() < 1 << 20));
    let many: String = (0..400)
        .map(|index| format!("p{index} = [\"${{p{}}}\"]\n", index + 1))
        .collect();
    let found = drawn(
        &format!("{HEAD}stdin = \"${{p0}}\"\n[values]\n{many}p400 = [\"x\"]\n"),
        1,
    )
    .unwrap_err();
    assert!(
        found.starts_with(
            "families/foo.toml:3: values nest deeper than 256, by way of pool \"p0\", \"p1\""
        ),
        "{found}"
    );
}

fn strings(count: usize, tag: &str) -> String {
    let all: Vec<_> = (0..count)
        .map(|index| format!("\"{tag}{index}\""))
        .collect();
    all.join(", ")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_valid_family_gives_its_cases_and_the_same_twice(
        a in 1..9_usize, b in 1..9_usize, nested in 1..5_usize, share in 1..=100_usize, weight in 1..4_u32, seed in any::<u64>(),
    ) {
        // Distinct by construction: a x b x nested of the first template, a of the second, one of the third.
        let space = a * b * nested + a + 1;
        let cases = (space * share / 100).max(1);
        let text = format!(
            "about = \"x\"\ncases = {cases}\n[[template]]\nweight = {weight}\nargv = [\"${{a}}\", \"${{b}}\"]\n\
             [[template]]\nargv = [\"${{a}}\"]\n[[template]]\nargv = []\n\
             [values]\na = [{}]\nb = [{}]\nn = [{}]\n",
            strings(a, "a"), strings(b, "${n}-"), strings(nested, "n"),
        );
        let first = drawn(&text, seed).unwrap();
        prop_assert_eq!(first.len(), cases);
        let distinct: HashSet<Digest> = first.iter().map(|case| case.inputs.digest()).collect();
        prop_assert_eq!(distinct.len(), cases);
        prop_assert_eq!(drawn(&text, seed).unwrap(), first);
        let more = text.replacen(&format!("cases = {cases}"), &format!("cases = {}", space + 1), 1);
        let expected = format!("give only {space} that");
        prop_assert!(drawn(&more, seed).unwrap_err().contains(&expected));
    }

    #[test]
    fn any_bytes_give_an_answer(bytes in any::<Vec<u8>>(), text in "[a-z\\[\\]{}\"=\n$. 0-9]{0,200}") {
        let _ = Family::parse("families/foo.toml", &bytes);
        let _ = Family::parse("families/foo.toml", text.as_bytes());
    }

    #[test]
    fn any_damage_to_a_family_gives_an_answer(at in 0..RICH.len(), byte in 0x20..0x7f_u8, seed in any::<u64>()) {
        let mut bytes = RICH.as_bytes().to_vec();
        bytes[at] = byte;
        if let Ok(family) = Family::parse("families/foo.toml", &bytes) {
            let _ = draw("t", &[family], &fixtures(), seed, Round::First);
        }
    }
}
