//! The whole program against a model's server that fails on the way: the run goes on to its verdict, every tool call is done
//! once, and what it says it cost is what the server counted.

mod common;
#[path = "../../model/tests/common/mod.rs"]
mod server;

use std::fs;

use common::{Place, small};
use server::{Manner, NAMES, Server, USAGE, events};

/// Dollars for a million tokens sent, read from a cache, and answered.
const PRICES: (u64, u64, u64) = (100, 10, 500);

/// Events of an answer that calls this tool twice.
fn answer(name: &str, tool: &str) -> Vec<String> {
    let answer = events(name).into_iter().map(|event| {
        event
            .replace("\"shell\"", &format!("\"{tool}\""))
            .replace("script", "command")
            .replace("\\\"ls\\\"", "\\\"echo one >> log\\\"")
            .replace("\"pwd\\\"", "\"echo two >> log\\\"")
            .replace("\"ls\"", "\"echo one >> log\"")
            .replace("\"pwd\"", "\"echo two >> log\"")
    });
    answer.collect()
}

fn microdollars(answers: u64) -> u64 {
    let one = USAGE.input * PRICES.0 + USAGE.cache_read * PRICES.1 + USAGE.output * PRICES.2;
    answers * one
}

#[test]
fn a_run_through_failures_is_billed_as_the_server_counts() {
    small();
    // Most of it is pauses between attempts.
    std::thread::scope(|scope| {
        for name in NAMES {
            scope.spawn(move || whole_run(name));
        }
    });
}

fn whole_run(name: &str) {
    let place = Place::new();
    let work = answer(name, "bash");
    let whole = work.concat();
    let middle = whole.find("command").unwrap() + 3;
    let mut doubled = work.clone();
    let usage = doubled
        .iter()
        .rposition(|event| event.contains("50") || event.contains("thoughts"))
        .unwrap();
    doubled.insert(usage, doubled[usage].clone());
    let server = Server::start(vec![
        Manner::Refuse(429, "retry-after-ms: 20\r\n", "{}".to_owned()),
        Manner::whole(&whole),
        Manner::Cut(whole.clone(), middle),
        Manner::whole(&doubled.concat()),
        Manner::Refuse(500, "", "<html>oops</html>".to_owned()),
        Manner::Drip(answer(name, "submit").concat()),
    ]);
    let (input, cache_read, output) = PRICES;
    let prices = place.write(
            "prices.toml",
            format!(
                "date = \"2026-11-01\"\nsource = \"a test\"\n[[model]]\nname = \"{name}\"\ninput = {input}.0\n\
                 cache_read = {cache_read}.0\noutput = {output}.0\n"
            ),
        );
    let key = place.write("key", "sk-very-secret-7");
    let targets = small().display().to_string();
    let done = place.run(&[
        "run",
        "small/python",
        "--model",
        name,
        "--base-url",
        &server.base,
        "--prices",
        &prices.display().to_string(),
        "--key-file",
        &key.display().to_string(),
        "--cost-limit",
        "50",
        "--no-score",
        "--json",
        "--targets",
        &targets,
    ]);
    done.expect(0, &[name]);
    assert_eq!(server.count(), 6, "{name}");
    let row = &done.json()[0];
    assert_eq!(row["end"], "submitted", "{name}: {row}");
    let id = row["id"].as_str().unwrap();
    let log = fs::read_to_string(place.path("runs").join(id).join("workspace/log")).unwrap();
    assert_eq!(log, "one\ntwo\none\ntwo\n", "{name}");
    let listed = place.run(&["runs", id, "--json"]).json();
    let said = |key: &str| (listed[key].as_f64().unwrap() * 1e6).round() as u64;
    // The answer that was cut off is charged for what was told of it, or is possible spend, whole.
    let (least, most) = (microdollars(3), microdollars(4));
    let dollars = said("dollars");
    assert!(least <= dollars && dollars < most, "{name}: {listed}");
    assert!(
        dollars + said("possible_dollars") >= most,
        "{name}: {listed}"
    );
    let tokens = listed["tokens"].as_u64().unwrap();
    assert!(tokens >= 3 * USAGE.total() && tokens < 4 * USAGE.total());
    assert_eq!(row["tokens"], listed["tokens"], "{name}");
    let journal = fs::read_to_string(place.path("runs").join(id).join("journal.jsonl"));
    assert!(!journal.unwrap().contains("sk-very-secret-7"));
}
