//! Sets of tasks: by name, by pattern, by size, by domain.

use target::language::matches;
use target::{Catalog, Summary, Task};

use crate::context::Context;
use crate::exit::Failure;

/// The targets that these words name, each once, in the order of the words.
pub(crate) fn targets(context: &Context, words: &[String]) -> Result<Vec<String>, Failure> {
    let catalog = context.catalog()?;
    let all = catalog.list()?;
    let mut chosen: Vec<String> = Vec::new();
    for word in words {
        for target in named(&catalog, word, &all)? {
            if !chosen.contains(&target.name) {
                chosen.push(target.name.clone());
            }
        }
    }
    Ok(chosen)
}

/// The targets that one word names.
fn named<'a>(
    catalog: &Catalog,
    word: &str,
    all: &'a [Summary],
) -> Result<Vec<&'a Summary>, Failure> {
    let fits = |target: &Summary| match word.split_once(':') {
        Some(("size", size)) => target.size.to_string().eq_ignore_ascii_case(size),
        Some(("domain", domain)) => matches(domain, &target.domain),
        _ => matches(word, &target.name),
    };
    let found: Vec<_> = all.iter().filter(|target| fits(target)).collect();
    if found.is_empty() {
        // A plain name gets the catalog's answer, which knows what may have been meant.
        if !word.contains([':', '*']) {
            catalog.target(word)?;
        }
        return Err(Failure::usage(format!("no target is {word}")));
    }
    Ok(found)
}

/// The tasks that these words name, each once, in the order of the words.
pub(crate) fn tasks(
    context: &Context,
    words: &[String],
    languages: &[String],
) -> Result<Vec<String>, Failure> {
    let catalog = context.catalog()?;
    let mut chosen: Vec<String> = Vec::new();
    let mut add = |task: String| {
        if !chosen.contains(&task) {
            chosen.push(task);
        }
    };
    let mut listed = None;
    for word in words {
        if word.contains('/') {
            let task = word.parse::<Task>()?;
            catalog.task(&task)?;
            add(task.to_string());
            continue;
        }
        let all = match &listed {
            Some(all) => all,
            None => listed.insert(catalog.list()?),
        };
        let found = named(&catalog, word, all)?;
        if languages.is_empty() {
            return Err(Failure::usage(format!(
                "{word} names no language: write --language NAME, or --language all"
            )));
        }
        for target in found {
            let every = languages.iter().any(|language| language == "all");
            for language in &target.languages {
                if every || languages.contains(language) {
                    add(format!("{}/{language}", target.name));
                }
            }
        }
    }
    if chosen.is_empty() {
        return Err(Failure::usage(format!(
            "none of these targets is to be rebuilt in {}",
            languages.join(", ")
        )));
    }
    Ok(chosen)
}
