//! The command line's documentation is the program's own help: help, docs and tests cannot drift apart.
//! `MIRRORCODE_UPDATE=1 cargo test -p cli --test help` writes the page anew.

mod common;

use std::fs;

use common::{Place, repository};

const HEAD: &str = "# Command line\n\n<!-- Written by `MIRRORCODE_UPDATE=1 cargo test -p cli --test help`. -->\n\n\
    What `mirrorcode --help`, and `--help` of each command, print.\n";

/// The names below `Commands:` in a help text.
fn commands(help: &str) -> Vec<&str> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .collect()
}

fn write(place: &Place, words: &[&str], page: &mut String) {
    let output = place
        .command()
        .args(words)
        .arg("--help")
        .env_remove("MIRRORCODE_TARGETS")
        .env_remove("MIRRORCODE_LANGUAGES")
        .env_remove("MIRRORCODE_RUNS")
        .env_remove("MIRRORCODE_CACHE")
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    let help = String::from_utf8(output.stdout).unwrap();
    let name = [&["mirrorcode"], words].concat().join(" ");
    let lines: Vec<_> = help.lines().map(str::trim_end).collect();
    let text = lines.join("\n");
    page.push_str(&format!(
        "\n## `{name}`\n\n```text\n{}\n```\n",
        text.trim_end()
    ));
    for command in commands(&help) {
        write(place, &[words, &[command]].concat(), page);
    }
}

#[test]
fn the_documented_command_line_is_the_real_one() {
    let mut page = HEAD.to_owned();
    write(&Place::new(), &[], &mut page);
    let path = repository().join("docs/src/cli.md");
    if std::env::var_os("MIRRORCODE_UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let documented = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        documented == page,
        "docs/src/cli.md is not what --help prints; MIRRORCODE_UPDATE=1 cargo test -p cli --test help writes it anew"
    );
    for command in [
        "doctor",
        "target build",
        "image remove",
        "shell",
        "run",
        "replay",
    ] {
        assert!(
            page.contains(&format!("## `mirrorcode {command}`")),
            "{command}"
        );
    }
}

#[test]
fn lines_of_help_fit_and_every_option_is_explained() {
    let page = fs::read_to_string(repository().join("docs/src/cli.md")).unwrap();
    let lines: Vec<_> = page.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        assert!(line.chars().count() <= 120, "{}: {line}", number + 1);
        // An option stands beside its explanation, or the next line begins with it.
        let is_option = line.trim_start().starts_with('-') && !line.trim_start().starts_with("- ");
        if is_option {
            let alone = !line.trim().contains("  ");
            let next = lines.get(number + 1).copied().unwrap_or_default();
            assert!(
                !alone || next.starts_with("          "),
                "{}: {line} is not explained",
                number + 1
            );
        }
    }
}
