//! `mirrorcode target fairness`: whether what the hidden cases ask for can be learned.

use target::build::docs_directory;
use target::fairness::{self, What};

use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::terminal;

pub(crate) fn run(context: &Context, name: &str, as_json: bool) -> Answer {
    let target = context.catalog()?.target(name)?;
    let docs = docs_directory(&context.cache()?, name)?;
    let pages = fairness::read_pages(&docs).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::usage(format!(
            "the documentation of {name} has not been extracted; run `mirrorcode target build {name} --no-draw`"
        )),
        _ => Failure::io(&docs, &error),
    })?;
    let found = fairness::examine(&target, &pages)?;
    if as_json {
        terminal::json(&found);
        return Ok(exit::DONE);
    }
    let mut table = terminal::table(&[
        "family",
        "visible",
        "hidden",
        "fewest duals",
        "works, never documented",
    ]);
    for family in &found.families {
        let words: Vec<String> = family
            .undocumented
            .iter()
            .filter(|one| one.works > 0)
            .map(|one| {
                let unseen = if one.visible == 0 {
                    ", hidden alone"
                } else {
                    ""
                };
                match one.what {
                    What::Abbreviation => format!("{} (abbreviated{unseen})", one.word),
                    What::Variable => format!("{} (variable{unseen})", one.word),
                    _ if unseen.is_empty() => one.word.clone(),
                    _ => format!("{} (hidden alone)", one.word),
                }
            })
            .collect();
        table.add_row([
            family.family.clone(),
            family.visible.to_string(),
            family.hidden.to_string(),
            family.fewest_duals.to_string(),
            words.join(" "),
        ]);
    }
    terminal::print_table(&table);
    for why in &found.recall {
        terminal::line(&format!("\nrecall by construction: {why}"));
    }
    let lonely = found
        .hidden
        .iter()
        .filter(|case| case.duals.is_empty())
        .count();
    let silent = found
        .families
        .iter()
        .filter(|family| {
            let unknown =
                |one: &fairness::Undocumented| one.works > 0 && one.what != What::Abbreviation;
            family.undocumented.iter().any(unknown)
        })
        .count();
    terminal::line(&format!(
        "\n{} pages; {lonely} of {} hidden cases without a visible dual; {silent} of {} families use what no page mentions",
        found.pages,
        found.hidden.len(),
        found.families.len(),
    ));
    Ok(exit::DONE)
}
