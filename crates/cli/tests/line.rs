//! One straight line on a real program: reference, submission, verdict.

mod common;

use std::fs;
use std::path::Path;

use common::{Place, repository, small, visible};
use serde_json::{Value, json};

fn score(place: &Place, status: i32, arguments: &[&str]) -> Value {
    let targets = small().display().to_string();
    let fixed = ["score", "--json", "--targets", &targets];
    place.expect(status, &[&fixed, arguments].concat()).json()
}

fn passed(verdict: &Value, split: &str) -> (u64, u64) {
    let count = |key: &str| verdict[split][key].as_u64().unwrap();
    (count("passed"), count("total"))
}

/// What the first visible case's output was, as the verdict shows it.
fn seen(verdict: &Value) -> &str {
    let case = verdict["cases"]
        .as_array()
        .unwrap()
        .iter()
        .find(|case| case["difference"]["context"].is_object())
        .expect("a visible case fails");
    case["difference"]["context"]["actual"].as_str().unwrap()
}

#[test]
fn the_reference_passes_all_of_its_own_cases_and_scores_are_repeatable() {
    let place = Place::new();
    place.expect(0, &["target", "build", "gron", "--no-draw"]);
    let check = place.expect(0, &["target", "check", "gron"]);
    assert!(!check.stdout.contains("BROKEN"), "{}", check.stdout);

    let arguments = ["score", "gron", "--prebuilt", "reference", "--out", "out"];
    let done = place.expect(0, &arguments);
    assert!(done.stdout.contains("100.0 %"), "{}", done.stdout);
    let first = fs::read(place.path("out/verdict.json")).unwrap();
    let verdict: Value = serde_json::from_slice(&first).unwrap();
    assert_eq!(verdict["solved"], true);
    for split in ["visible", "hidden"] {
        let (passed, total) = passed(&verdict, split);
        assert!(passed == total && total > 300, "{passed} of {total}");
    }

    place.expect(0, &[&arguments[..], &["--again", "--jobs", "3"]].concat());
    assert!(first == fs::read(place.path("out/verdict.json")).unwrap());
    assert_eq!(
        place.half_written(place.dir.path()),
        [""; 0].map(std::path::PathBuf::from)
    );
}

/// A program that knows the visible cases and nothing else.
const LOOKUP: &str = r#"
import base64, json, os, sys
def raw(value):
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value.encode()
def tree():
    found = {}
    for top, _, names in os.walk("."):
        for name in names:
            path = os.path.relpath(os.path.join(top, name))
            with open(path, "rb") as file: found[path] = file.read()
    return found
def key(argv, stdin, files):
    return repr((argv, stdin, sorted(files.items())))
table = {}
with open("/submission/cases.txt") as cases:
    for line in cases:
        case = json.loads(line)
        files = {name: raw(value) for name, value in case.get("files", {}).items()}
        table[key([raw(a) for a in case["argv"]], raw(case.get("stdin", "")), files)] = case["expect"]
known = table.get(key([os.fsencode(a) for a in sys.argv[1:]], sys.stdin.buffer.read(), tree()))
if known is None: sys.exit("never seen")
sys.stdout.buffer.write(raw(known["stdout"])); sys.stdout.buffer.flush()
sys.stderr.buffer.write(raw(known["stderr"])); sys.stderr.buffer.flush()
os._exit(known["exit"])
"#;

#[test]
fn a_table_of_the_visible_cases_fails_on_the_hidden_ones() {
    let place = Place::new();
    place.write("sub/main.py", LOOKUP);
    let cases = small().join("small/tests/visible.jsonl");
    place.write("sub/cases.txt", fs::read(cases).unwrap());
    let verdict = score(&place, 1, &["small/python", "sub"]);
    let (visible, all) = passed(&verdict, "visible");
    assert_eq!(visible, all, "{}", verdict["summary"]);
    let (hidden, total) = passed(&verdict, "hidden");
    assert!(hidden == 0 && total >= 30, "{}", verdict["summary"]);
    assert_eq!(verdict["solved"], false);
    let summary = verdict["summary"].as_str().unwrap();
    let none = format!("0/{total} hidden cases pass");
    assert!(summary.contains(&none), "{summary}");
    assert!(summary.contains("look memorized"), "{summary}");
    assert!(!summary.contains('\n'));
}

#[test]
fn a_submission_finds_no_other_program_and_nothing_of_the_benchmark() {
    let place = Place::new();
    place.write(
        "sub/main.py",
        r#"
import os, socket, subprocess
found = []
for command in (["gron"], ["/usr/bin/gron"], ["sh", "-c", "true"], ["/bin/sh", "-c", "true"], ["jq", "."], ["ls"], ["python3", "-c", "1"], ["cat"]):
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
        found.append(command[0])
    except OSError:
        pass
for path in ("/task", "/workspace", "/oracle", "/bin/sh", "/usr/bin/gron", "/submission/cases.txt"):
    # Empty directories are where an image takes mounts.
    if os.path.isfile(path) or os.path.isdir(path) and os.listdir(path): found.append(path)
if os.system("true") == 0: found.append("system")
try:
    socket.create_connection(("127.0.0.1", 53), 1)
    found.append("network")
except OSError:
    pass
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) not in (os.getpid(), 1): found.append("process " + name)
print("found:", *found)
"#,
    );
    let verdict = score(&place, 1, &["small/python", "sub"]);
    assert_eq!(seen(&verdict), "found:\\n⏹");
}

#[test]
fn what_cannot_be_submitted_is_refused_by_name() {
    let refused = |make: &dyn Fn(&Place), name: &str| {
        let place = Place::new();
        place.write("sub/main.py", "print(1)\n");
        make(&place);
        let targets = small().display().to_string();
        let done = place.expect(2, &["score", "small/python", "sub", "--targets", &targets]);
        assert!(done.stderr.contains(name), "{done:?}");
        assert!(!place.path("scores").exists());
        place.redact(&done.stderr)
    };
    let link = |place: &Place| {
        std::os::unix::fs::symlink("/etc/passwd", place.path("sub/link.txt")).unwrap();
    };
    let pipe = |place: &Place| {
        let mode = rustix::fs::Mode::RUSR;
        let path = place.path("sub/pipe");
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    let large = |place: &Place| {
        place.write("sub/large.txt", vec![b'x'; (16 << 20) + 1]);
    };
    let empty = |place: &Place| {
        fs::remove_file(place.path("sub/main.py")).unwrap();
    };
    let text = [
        refused(&link, "link.txt"),
        refused(&pipe, "pipe"),
        refused(&large, "large.txt"),
        refused(&empty, "sub"),
    ];
    insta::assert_snapshot!(text.concat());
}

#[test]
fn machine_code_and_other_languages_break_the_rules() {
    for (file, bytes) in [
        ("fast", fs::read("/bin/true").unwrap()),
        ("module.so", fs::read("/bin/true").unwrap()),
        ("helper.c", b"int main(void) { return 0; }\n".to_vec()),
    ] {
        let place = Place::new();
        place.write("sub/main.py", "print(1)\n");
        place.write(&format!("sub/{file}"), bytes);
        let verdict = score(&place, 1, &["small/python", "sub"]);
        let reasons = verdict["build"]["refused"].to_string();
        assert!(reasons.contains(file), "{file}: {}", verdict["build"]);
        assert_eq!(passed(&verdict, "visible").0, 0);
        let outcomes = verdict["cases"].as_array().unwrap();
        assert!(outcomes.iter().all(|case| case["outcome"] == "start"));
    }
}

#[test]
fn hidden_cases_stand_in_no_file_and_no_message() {
    let place = Place::new();
    place.write("sub/main.py", "print(1)\n");
    let targets = small().display().to_string();
    let done = place.run(&[
        "score",
        "small/python",
        "sub",
        "--targets",
        &targets,
        "--out",
        "out",
    ]);
    done.expect(1, &["score"]);
    let mut written = done.stdout + &done.stderr;
    common::walk(&place.path("out"), &mut |path| {
        written.push_str(&fs::read_to_string(path).unwrap_or_default());
    });
    let hidden = fs::read_to_string(small().join("small/tests/hidden.jsonl")).unwrap();
    let known: String = visible(&small().join("small"))
        .iter()
        .map(Value::to_string)
        .collect();
    let mut looked_for = 0;
    for line in hidden.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        for value in [&case["stdin"], &case["expect"]["stdout"]] {
            let text = value.as_str().unwrap_or_default();
            let start: String = text.chars().take(40).collect();
            let quoted = json!(start).to_string();
            if start.len() < 20 || known.contains(quoted.trim_matches('"')) {
                continue;
            }
            looked_for += 1;
            assert!(!written.contains(start.as_str()), "{}", case["id"]);
            assert!(
                !written.contains(quoted.trim_matches('"')),
                "{}",
                case["id"]
            );
        }
    }
    assert!(looked_for > 5, "{looked_for}");

    place.expect(
        1,
        &[
            "score",
            "small/python",
            "sub",
            "--targets",
            &targets,
            "--out",
            "out",
            "--reveal-hidden",
        ],
    );
    assert!(place.path("out/hidden-differences.json").is_file());
}

/// Builds a submission of one file; gives its verdict and its build's log.
fn compiled(task: &str, file: &str, source: &str, rest: &[(&str, &str)]) -> (Value, String) {
    let place = Place::new();
    place.write(&format!("sub/{file}"), source);
    for (name, text) in rest {
        place.write(&format!("sub/{name}"), text);
    }
    let verdict = score(&place, 1, &[task, "sub", "--out", "out"]);
    let log = fs::read_to_string(place.path("out/build.log")).unwrap();
    (verdict, log)
}

fn compiles(task: &str, file: &str, right: &str, wrong: &str, rest: &[(&str, &str)]) {
    let (verdict, log) = compiled(task, file, right, rest);
    assert_eq!(verdict["build"], "done", "{log}");
    assert_eq!(seen(&verdict), "hello\\n⏹");
    let (verdict, log) = compiled(task, file, wrong, rest);
    assert!(
        verdict["build"]["failed"].is_string(),
        "{}",
        verdict["build"]
    );
    assert!(
        log.contains(Path::new(file).file_name().unwrap().to_str().unwrap()),
        "{log}"
    );
    let summary = verdict["summary"].as_str().unwrap();
    assert!(summary.contains("build"), "{summary}");
}

#[test]
#[ignore = "builds toolchain images"]
fn a_c_submission_is_compiled_and_run() {
    let right = "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n";
    compiles(
        "small/c",
        "main.c",
        right,
        "int main(void) { return x; }\n",
        &[],
    );
}

#[test]
#[ignore = "builds toolchain images"]
fn a_rust_submission_is_compiled_and_run() {
    let manifest = "[package]\nname = \"program\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    compiles(
        "small/rust",
        "src/main.rs",
        "fn main() { println!(\"hello\"); }\n",
        "fn main() { x }\n",
        &[("Cargo.toml", manifest)],
    );
}

#[test]
#[ignore = "builds toolchain images"]
fn a_go_submission_is_compiled_and_run() {
    let program =
        |body: &str| format!("package main\n\nimport \"fmt\"\n\nfunc main() {{ {body} }}\n");
    compiles(
        "small/go",
        "main.go",
        &program("fmt.Println(\"hello\")"),
        &program("fmt.Println(x)"),
        &[("go.mod", "module program\n\ngo 1.24\n")],
    );
}

#[test]
#[ignore = "builds toolchain images"]
fn go_has_a_cache_of_its_own_that_holds_the_standard_library() {
    let place = Place::new();
    let targets = small().display().to_string();
    let script = "printf 'module program\\n\\ngo 1.24\\n' > go.mod; \
        printf 'package main\\n\\nfunc main() { println(\"hello\") }\\n' > main.go; \
        printf 'package main\\n\\nimport \"testing\"\\n\\nfunc TestMain1(t *testing.T) {}\\n' > main_test.go; \
        set -e; go build -o /tmp/program . 2> /tmp/said; [ ! -s /tmp/said ]; /tmp/program; go test ./...; go vet ./...; \
        go build -x -o /tmp/program . 2>&1 | grep -c 'compile.*-p fmt' || true";
    let done = place.expect(
        0,
        &["shell", "small/go", "--targets", &targets, "-c", script],
    );
    assert!(done.stdout.contains("ok  \tprogram"), "{}", done.stdout);
    assert!(done.stdout.ends_with("\n0\n"), "{}", done.stdout);
}

#[test]
#[ignore = "builds toolchain images"]
fn an_ocaml_submission_is_compiled_and_run() {
    compiles(
        "small/ocaml",
        "main.ml",
        "let () = ignore (Unix.getpid ()); print_endline \"hello\"\n",
        "let () = print_endline x\n",
        &[
            ("dune-project", "(lang dune 3.0)\n"),
            ("dune", "(executable (name main) (libraries str unix))\n"),
        ],
    );
}

#[test]
#[ignore = "builds toolchain images"]
fn an_ada_submission_is_compiled_and_run() {
    let program = |body: &str| {
        format!(
            "with Ada.Text_IO; with Words;\nprocedure Main is\nbegin\n   Ada.Text_IO.Put_Line ({body});\nend Main;\n"
        )
    };
    compiles(
        "small/ada",
        "main.adb",
        &program("Words.Hello"),
        &program("Words.Bye"),
        &[(
            "src/words.ads",
            "package Words is\n   Hello : constant String := \"hello\";\nend Words;\n",
        )],
    );
}

#[test]
fn the_repository_holds_the_cases_that_its_targets_promise() {
    let place = Place::new();
    let targets = place.expect(0, &["target", "list", "--json"]).json();
    for target in targets.as_array().unwrap() {
        let name = target["name"].as_str().unwrap();
        let cases = visible(&repository().join("targets").join(name)).len() as u64;
        assert_eq!(target["visible"].as_u64(), Some(cases), "{name}");
        let hidden = target["hidden"].as_u64().unwrap();
        assert!(cases + hidden >= 300, "{name}");
        let share = hidden as f64 / (cases + hidden) as f64;
        assert!((0.30..=0.38).contains(&share), "{name}: {share}");
    }
}
