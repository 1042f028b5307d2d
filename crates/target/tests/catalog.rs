//! Targets on disk: finding, loading and saving them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use target::spec::{Kind, Size};
use target::{
    Bytes, Catalog, Digest, Ending, Error, Expect, Keep, Lock, Round, Spec, Summary, Task, Tests,
    draw, split,
};

const SPEC: &str = r#"
name = "gron"
about = "makes JSON greppable"
domain = "data serialization and query"
size = "S"
lines = 2300
absent = ["gron"]

[reference]
package = "gron"
program = "/usr/bin/gron"
kind = "static"

[docs]
man = ["/usr/share/man/man1/gron.1.gz"]
help = [["--help"]]

[languages]
all = ["python", "c", "rust"]
excluded = { rust = "no reason" }

[environment]
LC_ALL = "C.UTF-8"

[limits]
wall-seconds = 10
cpu-seconds = 10
memory-mib = 512
output-mib = 4
"#;

const FAMILY: &str =
    "about = \"x\"\ncases = 20\n[[template]]\nargv = [\"${n}\"]\n[values]\nn = { int = [1, 99] }\n";

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn catalog() -> (tempfile::TempDir, Catalog) {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "targets/gron/target.toml", SPEC);
    write(root.path(), "targets/gron/families/numbers.toml", FAMILY);
    write(root.path(), "targets/gron/families/.numbers.toml.swp", "");
    write(root.path(), "targets/notes/README.md", "no target");
    for name in ["c", "python", "rust"] {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../languages/{name}.toml"));
        write(
            root.path(),
            &format!("languages/{name}.toml"),
            &fs::read_to_string(path).unwrap(),
        );
    }
    fs::create_dir_all(root.path().join("a/b")).unwrap();
    let catalog = Catalog::find(None, None, &root.path().join("a/b")).unwrap();
    (root, catalog)
}

fn parse(text: &str) -> Result<Spec, String> {
    Spec::parse("target.toml", "gron", text.as_bytes()).map_err(|problem| problem.to_string())
}

#[test]
fn reads_what_a_target_is() {
    let spec = parse(SPEC).unwrap();
    assert_eq!(
        (spec.size, spec.reference.kind, spec.lines),
        (Size::S, Kind::Static, Some(2300))
    );
    assert_eq!(
        (spec.languages.join(" "), spec.command()),
        ("python c".to_owned(), "gron")
    );
    assert_eq!(
        (spec.limits.memory_mib, spec.docs.help),
        (512, vec![vec!["--help".to_owned()]])
    );
}

#[test]
fn a_reference_may_need_packages_that_it_does_not_depend_on() {
    assert!(parse(SPEC).unwrap().reference.with.is_empty());
    let with = |list: &str| parse(&SPEC.replace("kind =", &format!("with = {list}\nkind =")));
    assert_eq!(
        with("[\"libc-bin\", \"locales-all\"]")
            .unwrap()
            .reference
            .with,
        ["libc-bin", "locales-all"]
    );
    assert!(
        with("[\"-o\"]")
            .unwrap_err()
            .contains("cannot be the name of a Debian package")
    );
}

#[test]
fn a_page_that_the_reference_prints_has_a_name_and_an_input() {
    let with = |printed: &str| {
        parse(&SPEC.replacen(
            "help = ",
            &format!("printed = [{{ {printed} }}]\nhelp = "),
            1,
        ))
    };
    let spec = with("page = \"words.txt\", argv = [\"-d\"], stdin = \"data/words.gz\"").unwrap();
    let printed = &spec.docs.printed[0];
    assert_eq!(
        (printed.page.as_str(), printed.stdin.as_str()),
        ("words.txt", "data/words.gz")
    );
    assert_eq!(printed.argv, ["-d"]);
    for (wrong, expected) in [
        (
            "page = \"a/b\", argv = [], stdin = \"x\"",
            "\"page\" is a file name, not a path",
        ),
        ("page = \"a\", argv = [], stdin = \"../x\"", "x"),
        ("page = \"a\", argv = []", "missing key"),
    ] {
        let said = with(wrong).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn names_what_is_wrong_with_a_target() {
    for (from, to, expected) in [
        (
            "\"gron\"\n",
            "\"gorn\"\n",
            "2: \"name\" must be \"gron\", as its directory is called",
        ),
        (
            "\"S\"",
            "\"XS\"",
            "5: \"size\" must be one of \"S\", \"M\", \"L\", not \"XS\"",
        ),
        (
            "about =",
            "abuot =",
            "3: unknown key \"abuot\"; did you mean \"about\"?",
        ),
        (
            "wall-seconds = 10\n",
            "",
            "25: missing key \"limits.wall-seconds\"",
        ),
        (
            "memory-mib = 512",
            "memory-mib = 0",
            "28: \"limits.memory-mib\" must be from 1 to 262144, not 0",
        ),
        (
            "kind = \"static\"",
            "kind = \"dynamc\"",
            "12: \"reference.kind\" must be one of \"static\", \"dynamic\", not \"dynamc\"",
        ),
        (
            "/usr/bin/gron",
            "usr/bin/gron",
            "11: \"reference.program\" must be a plain absolute path, not \"usr/bin/gron\"",
        ),
        (
            "{ rust =",
            "{ ruts =",
            "20: \"ruts\" is not in \"languages.all\"; did you mean \"rust\"?",
        ),
        (
            "LC_ALL = ",
            "\"A=B\" = ",
            "23: \"A=B\" cannot name an environment variable",
        ),
        (
            "2300",
            "many",
            "6: string values must be quoted, expected literal string",
        ),
    ] {
        assert_eq!(
            parse(&SPEC.replacen(from, to, 1)).unwrap_err(),
            format!("target.toml:{expected}"),
            "{to}"
        );
    }
}

#[test]
fn finds_targets_upward_or_where_it_is_told() {
    let (root, catalog) = catalog();
    assert_eq!(catalog.targets, root.path().join("targets"));
    let targets = root.path().join("targets");
    for (given, variable) in [
        (Some(targets.as_path()), None),
        (None, Some(targets.as_os_str())),
    ] {
        assert_eq!(
            Catalog::find(given, variable, Path::new("/"))
                .unwrap()
                .targets,
            targets
        );
    }
    let nowhere = Catalog::find(None, None, Path::new("/proc")).unwrap_err();
    assert!(
        nowhere
            .to_string()
            .starts_with("there is no \"targets\" directory in /proc or above it"),
        "{nowhere}"
    );
    assert!(
        Catalog::find(Some(Path::new("/nowhere")), None, root.path())
            .unwrap_err()
            .to_string()
            .starts_with("/nowhere: ")
    );
}

#[test]
fn names_tasks_and_what_may_have_been_meant() {
    let (root, catalog) = catalog();
    let task = |text: &str| -> Result<String, String> {
        let found = text.parse::<Task>().and_then(|task| catalog.task(&task));
        found
            .map(|(target, language)| target.spec.name + "/" + &language.name)
            .map_err(|error| error.to_string())
    };
    assert_eq!(task("gron/python").unwrap(), "gron/python");
    let root = root.path().display();
    for (text, expected) in [
        (
            "gorn/python",
            format!("there is no target \"gorn\" in {root}/targets; did you mean \"gron\"?"),
        ),
        (
            "../gron/c",
            "\"../gron/c\" is no task; write <target>/<language>, for instance gron/python"
                .to_owned(),
        ),
        (
            "jq/c",
            format!("there is no target \"jq\" in {root}/targets; there are gron"),
        ),
        (
            "gron/pyton",
            format!("there is no language \"pyton\" in {root}/languages; did you mean \"python\"?"),
        ),
        (
            "gron/ada",
            format!("there is no language \"ada\" in {root}/languages; there are c, python, rust"),
        ),
        (
            "gron/rust",
            "target \"gron\" is not offered in rust: no reason".to_owned(),
        ),
        (
            "gron",
            "\"gron\" is no task; write <target>/<language>, for instance gron/python".to_owned(),
        ),
    ] {
        assert_eq!(task(text).unwrap_err(), expected);
    }
}

fn lock() -> Lock {
    let none = Digest::of(b"");
    Lock {
        seed: 1,
        hidden_seed: 1,
        program: none,
        source: None,
        packages: Vec::new(),
        toolchain: Vec::new(),
        counts: Default::default(),
        visible: none,
        hidden: none,
        dropped: Vec::new(),
        retired: Vec::new(),
    }
}

#[test]
fn what_is_saved_is_loaded_and_what_is_changed_is_noticed() {
    let (_root, catalog) = catalog();
    let target = catalog.target("gron").unwrap();
    assert!(matches!(target.tests(), Err(Error::NotBuilt(name)) if name == "gron"));
    let drawn = draw(
        "gron",
        &target.families().unwrap(),
        &target.fixtures().unwrap(),
        1,
        Round::First,
    )
    .unwrap();
    let expect = |number: usize| Expect {
        ending: Ending::Exit(0),
        stdout: Bytes(number.to_string().into_bytes()),
        stderr: Bytes::default(),
        files: BTreeMap::new(),
    };
    let cases = drawn
        .into_iter()
        .enumerate()
        .map(|(number, case)| case.expecting(expect(number)))
        .collect();
    let split = split("gron", cases, Keep::Nothing, &[], 1);
    let tests = Tests {
        visible: split.visible,
        hidden: split.hidden,
    };
    let locked = target.save(&tests, lock()).unwrap();
    assert_eq!(
        (
            locked.counts.visible,
            locked.counts.hidden,
            locked.counts.families
        ),
        (13, 7, 1)
    );
    assert_eq!(target.locked().unwrap(), locked);
    assert_eq!(
        (target.visible().unwrap(), target.tests().unwrap()),
        (tests.visible.clone(), tests.clone())
    );
    let summary = Summary {
        name: "gron".to_owned(),
        domain: "data serialization and query".to_owned(),
        size: Size::S,
        languages: vec!["python".to_owned(), "c".to_owned()],
        visible: 13,
        hidden: 7,
        families: 1,
    };
    assert_eq!(catalog.list().unwrap(), [summary]);

    let path = target.dir.join("tests/visible.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let shorter: String = text
        .lines()
        .skip(1)
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&path, shorter).unwrap();
    let error = target.visible().unwrap_err().to_string();
    assert!(
        error.contains("is not the file that target.lock was written for"),
        "{error}"
    );
    fs::write(&path, &text[..text.len() - 9]).unwrap();
    let error = target.visible().unwrap_err().to_string();
    assert!(
        error.ends_with("visible.jsonl:13: the last line is cut off: it does not end in a newline"),
        "{error}"
    );
    fs::write(&path, text).unwrap();

    let both = Tests {
        hidden: vec![tests.visible[2].clone()],
        ..tests
    };
    target.save(&both, lock()).unwrap();
    let error = target.tests().unwrap_err().to_string();
    assert!(
        error.contains("hidden.jsonl:1: \"gron/numbers/") && error.contains("of the visible case"),
        "{error}"
    );
}

#[test]
fn families_with_problems_are_all_named() {
    let (root, catalog) = catalog();
    write(root.path(), "targets/gron/families/a.toml", "cases = 1\n");
    write(
        root.path(),
        "targets/gron/families/b.toml",
        &FAMILY.replace("argv", "argvs"),
    );
    let error = catalog
        .target("gron")
        .unwrap()
        .families()
        .unwrap_err()
        .to_string();
    let dir = root.path().join("targets/gron/families");
    let dir = dir.display();
    let expected = format!(
        "{dir}/a.toml:1: missing key \"template\"\n{dir}/b.toml:4: unknown key \"template[0].argvs\"; did you mean \"argv\"?"
    );
    assert_eq!(error, expected);
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(bytes in any::<Vec<u8>>(), at in 0..SPEC.len(), byte in 0x20..0x7f_u8) {
        let _ = Spec::parse("target.toml", "gron", &bytes);
        let _ = Lock::parse("target.lock", &bytes);
        let mut damaged = SPEC.as_bytes().to_vec();
        damaged[at] = byte;
        let _ = Spec::parse("target.toml", "gron", &damaged);
    }

    #[test]
    fn any_task_name_gives_an_answer(text in "\\PC{0,20}") {
        if let Ok(task) = text.parse::<Task>() {
            prop_assert_eq!(task.to_string(), text);
        }
    }
}
