//! A small session at the shell, its replay, and its score.

mod common;

use std::fs;

use common::{Done, Place, small};

fn run(place: &Place, status: i32, arguments: &[&str]) -> Done {
    let targets = small().display().to_string();
    place.expect(status, &[arguments, &["--targets", &targets]].concat())
}

/// A recorded run: the oracle is asked, a program is written, evaluated and submitted.
fn record(place: &Place) -> String {
    let done = run(
        place,
        0,
        &[
            "shell",
            "small/python",
            "-c",
            "ls /task /task/cases; echo '[1]' | gron; gron /nowhere",
            "-c",
            "mkdir -p lib; cd lib; export WORD=kept; echo 'print(1)' > ../main.py",
            "-c",
            "pwd; echo $WORD; cat ../main.py",
            "-c",
            "evaluate arrays",
            "-c",
            "submit",
        ],
    );
    assert!(done.stdout.contains("json[0] = 1;"), "{done:?}");
    assert!(
        done.stdout.contains("/workspace/lib\nkept\nprint(1)\n"),
        "{done:?}"
    );
    assert!(done.stdout.contains("visible cases pass"), "{done:?}");
    let mut runs = fs::read_dir(place.path("runs")).unwrap();
    let id = runs.next().unwrap().unwrap().file_name();
    assert!(runs.next().is_none());
    id.into_string().unwrap()
}

#[test]
fn a_session_is_recorded_replayed_and_scored() {
    let place = Place::new();
    let id = record(&place);

    let listed = run(&place, 0, &["runs", "--json"]).json();
    let facts = &listed[0];
    assert_eq!(facts["state"], "submitted");
    assert_eq!(facts["commands"], 5);
    assert_eq!(facts["oracle_calls"], 2);
    assert_eq!(facts["evaluations"], 1);
    assert!(
        run(&place, 0, &["runs", &id])
            .stdout
            .contains("$ evaluate arrays")
    );

    let done = run(&place, 0, &["replay", &id, "--workspace", "rebuilt"]);
    assert!(done.stdout.contains("5 of 5 commands"), "{done:?}");
    assert_eq!(
        fs::read_to_string(place.path("rebuilt/main.py")).unwrap(),
        "print(1)\n"
    );

    let done = run(&place, 2, &["shell", "--resume", &id, "-c", "true"]);
    assert!(done.stderr.contains("has been submitted"), "{done:?}");

    // What is scored is what was recorded, not what lies in the workspace now.
    fs::write(
        place.path("runs").join(&id).join("workspace/main.py"),
        "print(2)\n",
    )
    .unwrap();
    let by_id = run(&place, 1, &["score", "small/python", &id, "--json"]).json();
    let directory = format!("runs/{id}");
    let by_directory = run(
        &place,
        1,
        &["score", "small/python", &directory, "--json", "--again"],
    )
    .json();
    assert_eq!(by_id, by_directory);
    assert_eq!(by_id["submission"]["files"], 1);
    assert!(by_id.to_string().contains("1\\\\n⏹"), "{by_id}");
}

#[test]
fn a_record_that_was_changed_is_found_out() {
    let place = Place::new();
    let id = record(&place);
    let journal = place.path("runs").join(&id).join("journal.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    let forged = text.replacen(
        "json = [];\\njson[0] = 1;\\n",
        "json = [];\\njson[0] = 2;\\n",
        1,
    );
    assert_ne!(text, forged);
    fs::write(&journal, forged).unwrap();
    let done = run(&place, 1, &["replay", &id]);
    assert!(
        done.stdout.contains("command 1: stdout differs"),
        "{done:?}"
    );
    assert!(
        done.stdout.contains("-json[0] = 2;\n+json[0] = 1;\n"),
        "{done:?}"
    );
    assert!(done.stdout.contains("4 of 5 commands"), "{done:?}");
    let lines = run(&place, 1, &["replay", &id, "--json"]).stdout;
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["command"], &first["what"]),
        (&1.into(), &"stdout".into())
    );

    // A line in the middle that is no event, and a journal cut off in its last event.
    let lines: Vec<&str> = text.lines().collect();
    fs::write(
        &journal,
        [&lines[..3], &["{\"seq\":"], &lines[4..]]
            .concat()
            .join("\n"),
    )
    .unwrap();
    let done = run(&place, 2, &["replay", &id]);
    assert!(done.stderr.contains("journal.jsonl"), "{done:?}");
}

#[test]
fn a_session_goes_on_where_it_was_left() {
    let place = Place::new();
    let done = run(
        &place,
        3,
        &[
            "shell",
            "small/python",
            "-c",
            "cd /tmp; export A=1; echo x > /workspace/a; exit 3",
        ],
    );
    let id = done
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("run "))
        .unwrap();
    let done = run(
        &place,
        0,
        &["shell", "--resume", id, "-c", "cat /workspace/a; pwd"],
    );
    assert_eq!(done.stdout, "x\n/tmp\n");
    let done = run(&place, 0, &["replay", id]);
    assert!(done.stdout.contains("2 of 2 commands"), "{done:?}");
}

#[test]
fn the_reference_and_hidden_cases_are_out_of_reach() {
    let place = Place::new();
    let script = "cat /oracle/bin/gron | tail -c +1 | sha256sum; find / -xdev -name hidden.jsonl 2>/dev/null; \
        ls -d /usr/bin/gron 2>&1; gron /proc/self/exe >/dev/null 2>&1; echo $?; ls /task/cases";
    let done = run(&place, 0, &["shell", "small/python", "-c", script]);
    assert!(!done.stdout.contains("hidden"), "{done:?}");
    assert!(
        done.stdout.contains("cannot access '/usr/bin/gron'"),
        "{done:?}"
    );
    assert!(done.stdout.contains("visible.jsonl"), "{done:?}");
}
