//! Runs to a store in a directory and back, as people call it.

mod common;

use std::fs;

use common::{Done, Place};
use serde_json::Value;

/// Directories that look like finished runs.
fn place() -> Place {
    let place = Place::new();
    for (run, seed) in [("one", 1), ("two", 2)] {
        let at = |name: &str| format!("runs/{run}/{name}");
        place.write(&at("run.toml"), format!("seed = {seed}\n"));
        place.write(&at("journal.jsonl"), "{}\n".repeat(1000 * seed));
        place.write(&at("workspace/main.py"), "print()\n");
        place.write(&at("tmp/scratch"), "x");
    }
    place
}

fn sync(place: &Place, words: &[&str]) -> Done {
    let bucket = format!("file://{}", place.path("bucket").display());
    let words: Vec<String> = words
        .iter()
        .map(|word| word.replace("STORE", &bucket))
        .collect();
    let mut all = vec!["sync"];
    all.extend(words.iter().map(String::as_str));
    place.run(&all)
}

fn last(done: &Done) -> Value {
    serde_json::from_str(done.stdout.lines().last().unwrap()).unwrap()
}

#[test]
fn runs_go_to_a_store_and_come_back() {
    let place = place();
    let dry = sync(&place, &["one", "two", "STORE", "--dry-run", "--json"]);
    assert_eq!(dry.status, Some(2));
    assert!(dry.stderr.contains("no such directory"), "{}", dry.stderr);
    let first = sync(&place, &["one", "two", "STORE", "--json"]);
    assert_eq!(first.status, Some(0), "{}", first.stderr);
    assert_eq!(last(&first)["copied"], 2);
    let again = sync(&place, &["one", "runs/two", "STORE", "--json"]);
    assert_eq!(
        (&last(&again)["were_there"], &last(&again)["uploaded"]),
        (&2.into(), &0.into())
    );

    let back = sync(&place, &["STORE", "back", "--only", "t*"]);
    assert_eq!(back.status, Some(0), "{}", back.stderr);
    assert!(back.stdout.contains("two: fetched"), "{}", back.stdout);
    assert!(!place.path("back/one").exists());
    let journal = |top: &str| fs::read(place.path(&format!("{top}/two/journal.jsonl"))).unwrap();
    assert_eq!(journal("back"), journal("runs"));
    assert!(!place.path("back/two/tmp/scratch").exists());
    place.write("back/two/workspace/main.py", "other\n");
    let differs = sync(&place, &["STORE", "back"]);
    assert_eq!(differs.status, Some(1));
    assert!(
        differs.stdout.contains("differs in workspace/main.py"),
        "{}",
        differs.stdout
    );
    assert!(place.path("back/one/run.toml").exists());
}

#[test]
fn a_run_that_a_worker_has_is_left_out_and_said() {
    let place = place();
    let dir = place.path("runs/two");
    let owner = run::claim(&dir, run::Manner::Polite).unwrap().owner;
    let done = sync(&place, &["one", "two", "STORE"]);
    assert_eq!(done.status, Some(1), "{}", done.stderr);
    assert!(
        done.stdout.contains("two: left out: a worker has it"),
        "{}",
        done.stdout
    );
    assert!(!place.path("bucket/runs/two.json").exists());
    owner.release();
    assert_eq!(sync(&place, &["one", "two", "STORE"]).status, Some(0));
    place.write("runs/three/run.toml", "");
    place.write(
        "runs/three/outcome.json",
        r#"{"id":"three","task":"a/c","end":"stopped","turns":1,"tokens":1,"microdollars":0}"#,
    );
    let done = sync(&place, &["three", "STORE"]);
    assert!(
        done.stdout.contains("three: left out: it is stopped"),
        "{}",
        done.stdout
    );
}

#[test]
fn a_damaged_object_is_named() {
    let place = place();
    assert_eq!(sync(&place, &["one", "STORE"]).status, Some(0));
    let objects = place.path("bucket/objects");
    let mut files = fs::read_dir(objects)
        .unwrap()
        .flat_map(|dir| fs::read_dir(dir.unwrap().path()).unwrap());
    let object = files.next().unwrap().unwrap().path();
    fs::write(&object, "damaged").unwrap();
    let done = sync(&place, &["STORE", "back"]);
    assert_eq!(done.status, Some(4), "{}", done.stdout);
    let name = object.file_name().unwrap().to_str().unwrap();
    assert!(done.stdout.contains(name), "{}", done.stdout);
    assert!(!place.path("back/one").exists());
}

#[test]
fn what_makes_no_sense_is_said() {
    let place = place();
    for (words, expected) in [
        (&["one", "two"][..], "one of the places is a store"),
        (&["STORE", "STORE"], "one of the places is a store"),
        (&["STORE", "back", "more"], "from a store to a directory"),
        (&["one", "gs://bucket"], "s3://BUCKET/PREFIX"),
        (&["one", "s3://bucket"], "AWS_ACCESS_KEY_ID"),
        (&["STORE", "back"], "no such directory"),
        (&["nothing", "STORE"], "there is no run nothing"),
    ] {
        let done = sync(&place, words);
        assert_eq!(done.status, Some(2), "{words:?}: {}", done.stderr);
        assert!(done.stderr.contains(expected), "{words:?}: {}", done.stderr);
    }
}
