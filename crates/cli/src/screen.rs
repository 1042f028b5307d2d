//! `mirrorcode screen`: whether a model knows references by heart.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use model::{
    CacheTime, Cost, Model, Patience, Price, Provider, Retrying, Scripted, Settings, Timeouts,
};
use report::screen::{LEAST_PROGRAMS, Score, Screen, Verdict};
use screen::{
    Answered, Broken, End, Function, Journal, Means, Open, Outcome, Question, Row, Sources,
};
use serde_json::{Value, json};
use target::Code;

use crate::choose;
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::images;
use crate::models;
use crate::plan::Plan;
use crate::terminal::{self, Progress};
use crate::{units, whole};

/// Answers as they came, which hold other people's code.
const ANSWERS: &str = "answers.jsonl";
/// One row for each function, without code.
const ROWS: &str = "rows.jsonl";
/// What the rows come to.
const SCREEN: &str = "screen.json";
/// Most tokens of an answer. The longest function that is asked for has a thousand of another kind.
const MAX_OUTPUT: u64 = 8_192;

#[derive(Debug, Args)]
pub(crate) struct ScreenArgs {
    /// Targets: a name, a pattern such as `g*`, `size:S`, `domain:NAME`
    #[arg(value_name = "TARGET", required_unless_present = "source")]
    of: Vec<String>,
    /// Source code of another program, for a baseline, instead of targets; may be given again
    #[arg(long, value_name = "NAME=DIR", conflicts_with = "of")]
    source: Vec<String>,
    /// Model, such as `anthropic/NAME`, `openai/NAME`, `compatible/NAME`; `scripted:FILE`; `replay:FILE` for the answers
    /// of another screen
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// Functions to ask for, of each target
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    functions: u32,
    /// Seed of the sample
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rows of programs that are newer than what the model has read, as this command writes them with --source; may be
    /// given again
    #[arg(long, value_name = "FILE")]
    baseline: Vec<PathBuf>,
    /// Directory for answers, rows and result, which later screens of the same model add to [default: `screen`; with
    /// --source, `baseline`]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Questions at the same time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: u16,
    /// Show what would be asked, and ask nothing; with --json, also how the functions stand in the source
    #[arg(long)]
    list: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Dollars that all answers may cost, those that are there already among them
    #[arg(long, value_name = "DOLLARS", value_parser = units::dollars, help_heading = "Budget")]
    cost_limit: Option<u64>,
    /// Address of the model's server
    #[arg(long, value_name = "URL", help_heading = "Model")]
    base_url: Option<String>,
    /// File with the model's key [default: the provider's variable, such as ANTHROPIC_API_KEY]
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    key_file: Option<PathBuf>,
    /// File with prices that go before those that are built in
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    prices: Option<PathBuf>,
    /// Most tokens of one answer [default: 8192]
    #[arg(long, value_name = "TOKENS", value_parser = units::count, help_heading = "Model")]
    max_output: Option<u64>,
    /// How much to think: `off`, a number of tokens, or a word of the provider's, such as `high`
    #[arg(long, value_name = "HOW", help_heading = "Model")]
    thinking: Option<String>,
}

/// A program and the functions to ask for.
struct Asked {
    name: String,
    program: String,
    functions: Vec<Function>,
}

/// A target that cannot be screened, and why.
struct Missing {
    target: String,
    reason: String,
}

pub(crate) fn run(context: &Context, arguments: &ScreenArgs) -> Answer {
    let (asked, missing) = gather(context, arguments)?;
    for one in &missing {
        terminal::note(&format!("{}: not screened: {}", one.target, one.reason));
    }
    if asked.is_empty() {
        return Err(Failure::usage("there is nothing to ask for"));
    }
    let mut plan = Plan::new(arguments.model.clone());
    let text = |path: &Path| path.display().to_string();
    plan.base_url.clone_from(&arguments.base_url);
    plan.key_file = arguments.key_file.as_deref().map(text);
    plan.prices = arguments.prices.as_deref().map(text);
    plan.max_output = arguments.max_output.unwrap_or(MAX_OUTPUT);
    if let Some(thinking) = &arguments.thinking {
        plan.thinking.clone_from(thinking);
    }
    let settings = Settings {
        max_output_tokens: plan.max_output,
        thinking: plan.thinking(),
        cache_key: String::new(),
        cache_time: CacheTime::Minutes5,
        extra: None,
    };
    if arguments.list {
        list(&asked, arguments.json);
        return Ok(exit::DONE);
    }
    let out = arguments.out.clone().unwrap_or_else(|| {
        let name = if arguments.source.is_empty() {
            "screen"
        } else {
            "baseline"
        };
        PathBuf::from(name)
    });
    fs::create_dir_all(&out).map_err(|error| Failure::io(&out, &error))?;
    let (label, mut journal) = begin(arguments, &out)?;
    let baseline = baseline(&arguments.baseline, &label)?;

    let questions: Vec<(&Asked, Question<'_>)> = asked
        .iter()
        .flat_map(|one| {
            let question = move |function| (one, Question::new(&one.program, function));
            one.functions.iter().map(question)
        })
        .collect();
    let open: Vec<Open<'_>> = questions
        .iter()
        .map(|(one, question)| Open {
            target: &one.name,
            question,
            digest: question.digest(&label, &settings),
        })
        .collect();
    let end = ask(
        context,
        arguments,
        &plan,
        &label,
        &settings,
        &open,
        &mut journal,
    );

    let rows = rows(&label, &asked, &open, &journal);
    let all = add_rows(&out.join(ROWS), &label, rows)?;
    let screen = Screen::of(&label, &scores(&all), &baseline);
    let mut result = screen.to_json();
    result["missing"] = missing
        .iter()
        .map(|one| json!({"target": one.target, "reason": one.reason}))
        .collect();
    let path = out.join(SCREEN);
    let text = serde_json::to_string_pretty(&result).map_err(Failure::machine)?;
    whole::put(&path, |out| writeln!(out, "{text}"))?;
    let end = end?;
    if arguments.json {
        terminal::json(&result);
    } else {
        show(&screen);
        terminal::line(&format!("\nwritten to {}", out.display()));
    }
    let answered = open
        .iter()
        .filter(|question| journal.get(&question.digest).is_some())
        .count();
    match end {
        End::Done => Ok(exit::DONE),
        End::Budget => {
            terminal::note(&format!(
                "{answered} of {} questions have an answer; another could cost more than --cost-limit leaves. Give the same \
                 command with a higher one to go on",
                open.len()
            ));
            Ok(exit::NO)
        }
        End::Stopped => Err(Failure::new(
            exit::INTERRUPTED,
            format!(
                "interrupted; {answered} of {} questions have an answer, and the same command goes on",
                open.len()
            ),
        )),
    }
}

/// The programs that are named, with the functions that are drawn of each.
fn gather(
    context: &Context,
    arguments: &ScreenArgs,
) -> Result<(Vec<Asked>, Vec<Missing>), Failure> {
    let (mut asked, mut missing) = (Vec::new(), Vec::new());
    let mut add =
        |name: &str, program: &str, root: &Path, paths: &[String]| -> Result<(), Failure> {
            let sources = Sources::read(root, paths)?;
            let drawn = screen::sample(
                &sources.functions,
                arguments.functions as usize,
                arguments.seed,
            );
            if drawn.is_empty() {
                missing.push(Missing {
                    target: name.to_owned(),
                    reason: format!(
                        "none of its {} files of source code has a function that can be asked for",
                        sources.files
                    ),
                });
            } else {
                asked.push(Asked {
                    name: name.to_owned(),
                    program: program.to_owned(),
                    functions: drawn.into_iter().cloned().collect(),
                });
            }
            Ok(())
        };
    for source in &arguments.source {
        let Some((name, dir)) = source.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Failure::usage(format!("--source {source}: write NAME=DIR")));
        };
        add(name, name, Path::new(dir), &[])?;
    }
    let mut without = Vec::new();
    if !arguments.of.is_empty() {
        let catalog = context.catalog()?;
        let cache = context.cache()?;
        let mut progress = Progress::new();
        for name in choose::targets(context, &arguments.of)? {
            let target = catalog.target(&name)?;
            let why = match &target.spec.code {
                None => {
                    "target.toml names no package with its source code; add [source]".to_owned()
                }
                Some(Code::Missing(why)) => why.clone(),
                Some(code) => {
                    let fetched = code.fetch(&cache, &context.interrupted, &mut |step| {
                        images::show(&mut progress, &step);
                    });
                    match fetched {
                        Ok(root) => {
                            let Code::Package { paths, program, .. } = code else {
                                continue;
                            };
                            let program = program.as_deref().unwrap_or(target.spec.command());
                            add(&name, program, &root, paths)?;
                            continue;
                        }
                        Err(error) => {
                            let failure = Failure::from(error);
                            if context.is_interrupted()
                                || arguments.of.len() == 1 && !arguments.of[0].contains(['*', ':'])
                            {
                                return Err(failure);
                            }
                            failure.message
                        }
                    }
                }
            };
            without.push(Missing {
                target: name,
                reason: why,
            });
        }
    }
    missing.extend(without);
    Ok((asked, missing))
}

fn list(asked: &[Asked], as_json: bool) {
    if as_json {
        let functions: Vec<Value> = asked
            .iter()
            .flat_map(|one| {
                one.functions.iter().map(|function| {
                    json!({
                        "target": one.name,
                        "program": one.program,
                        "path": function.path,
                        "function": function.name,
                        "line": function.line,
                        "lines": function.lines,
                        "tokens": function.body.len(),
                        "language": function.grammar,
                        "question": Question::new(&one.program, function).text(),
                        "text": function.text,
                    })
                })
            })
            .collect();
        terminal::json(&functions);
        return;
    }
    let mut table = terminal::table(&["target", "file", "line", "function", "lines", "tokens"]);
    for one in asked {
        for function in &one.functions {
            table.add_row([
                one.name.clone(),
                report::visible::plain(function.path.as_bytes()),
                function.line.to_string(),
                report::visible::plain(function.name.as_bytes()),
                function.lines.to_string(),
                function.body.len().to_string(),
            ]);
        }
    }
    terminal::print_table(&table);
}

/// What the model is called in rows, and the answers that are there.
fn begin(arguments: &ScreenArgs, out: &Path) -> Result<(String, Journal), Failure> {
    let open = || -> Result<Journal, Failure> {
        let journal = Journal::open(&out.join(ANSWERS))?;
        if journal.torn > 0 {
            terminal::note(&format!(
                "{}: its last {} bytes were no whole answer; they were cut off",
                out.join(ANSWERS).display(),
                journal.torn
            ));
        }
        Ok(journal)
    };
    Ok(match arguments.model.split_once(':') {
        Some(("scripted", _)) => ("scripted".to_owned(), open()?),
        Some(("replay", file)) => {
            let journal = Journal::read(Path::new(file))?;
            let mut names: Vec<&str> = journal.entries().map(|kept| kept.model.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            let [name] = names[..] else {
                return Err(Failure::usage(format!(
                    "{file} has answers of {} models; one is needed",
                    names.len()
                )));
            };
            (name.to_owned(), journal)
        }
        _ => (arguments.model.clone(), open()?),
    })
}

fn ask(
    context: &Context,
    arguments: &ScreenArgs,
    plan: &Plan,
    label: &str,
    settings: &Settings,
    open: &[Open<'_>],
    journal: &mut Journal,
) -> Result<End, Failure> {
    let unanswered = open
        .iter()
        .filter(|question| journal.get(&question.digest).is_none())
        .count();
    let (models, price) = if unanswered == 0 {
        (Vec::new(), None)
    } else {
        models_of(arguments, plan, unanswered)?
    };
    let means = Means {
        model: label,
        settings,
        price: price.as_ref(),
        limit: arguments
            .cost_limit
            .map(|microdollars| Cost(microdollars.saturating_mul(1_000))),
        stop: &|| context.is_interrupted(),
    };
    let progress = std::sync::Mutex::new(Progress::new());
    let told = |done: usize| {
        if let Ok(mut progress) = progress.lock() {
            progress.count("answers", done as u64, open.len() as u64);
        }
    };
    screen::ask_all(open, models, &means, journal, &told).map_err(|broken| match broken {
        Broken::Journal(error) => error.into(),
        Broken::Model(failure) => Failure::new(
            exit::OUTSIDE,
            format!("the model fails: {failure}; answers are kept, and the same command goes on"),
        ),
    })
}

type Opened = (Vec<Box<dyn Model>>, Option<Price>);

fn models_of(arguments: &ScreenArgs, plan: &Plan, unanswered: usize) -> Result<Opened, Failure> {
    match arguments.model.split_once(':') {
        Some(("scripted", file)) => {
            let script = Scripted::open(Path::new(file))
                .map_err(|error| Failure::usage(format!("{file}: {}", models::whole(&error))))?;
            return Ok((vec![Box::new(script)], None));
        }
        Some(("replay", file)) => {
            return Err(Failure::usage(format!(
                "{file} has no answer to {unanswered} of these questions; give the --functions, --seed, --max-output and \
                 --thinking that it was made with"
            )));
        }
        _ => {}
    }
    let name: model::Name = arguments.model.parse().map_err(|error| {
        Failure::usage(format!(
            "{error}; there are also scripted:FILE and replay:FILE"
        ))
    })?;
    let price = match (models::price(plan, &name)?, arguments.cost_limit) {
        (Ok(price), _) => Some(price),
        (Err(unknown), Some(_)) => return Err(Failure::usage(unknown)),
        (Err(_), None) => None,
    };
    let mut opened: Vec<Box<dyn Model>> = Vec::new();
    for number in 0..usize::from(arguments.parallel).min(unanswered) {
        let key = models::key(plan, &name)?;
        let base = plan.base_url.as_deref();
        let provider = Provider::new(name.clone(), base, key, Timeouts::default())
            .map_err(models::not_connected)?;
        let seed = u64::from(std::process::id()).wrapping_add(number as u64);
        opened.push(Box::new(Retrying::new(provider, Patience::default(), seed)));
    }
    Ok((opened, price))
}

/// The rows of programs of which every question has an answer.
fn rows(label: &str, asked: &[Asked], open: &[Open<'_>], journal: &Journal) -> Vec<Row> {
    let mut rows = Vec::new();
    for one in asked {
        let own: Option<Vec<Row>> = open
            .iter()
            .filter(|question| question.target == one.name)
            .map(|question| {
                let function = question.question.function;
                let kept = journal.get(&question.digest)?;
                let digest = question.digest.clone();
                let mut row = Row::new(&one.name, &one.program, label, function, digest);
                if let Answered::Text { text, stop } = &kept.answer {
                    let answer = screen::score(function, text);
                    row.outcome = match stop {
                        model::Stop::MaxTokens | model::Stop::ContextFull => Outcome::CutOff,
                        _ => Outcome::Answered,
                    };
                    row.found = answer.found;
                    row.similarity = Some(answer.similarity);
                }
                Some(row)
            })
            .collect();
        rows.extend(own.into_iter().flatten());
    }
    rows
}

/// Puts rows in the place of those of the same model and program, and gives back all of this model.
fn add_rows(path: &Path, label: &str, new: Vec<Row>) -> Result<Vec<Row>, Failure> {
    let mut all = match path.exists() {
        true => screen::read_rows(path)?,
        false => Vec::new(),
    };
    all.retain(|row| row.model != label || !new.iter().any(|other| other.target == row.target));
    all.extend(new);
    // Within a program they stay in the order in which they were drawn.
    all.sort_by(|one, other| (&one.model, &one.target).cmp(&(&other.model, &other.target)));
    whole::put(path, |out| screen::write_rows(&all, out))?;
    all.retain(|row| row.model == label);
    Ok(all)
}

fn scores(rows: &[Row]) -> Vec<Score> {
    rows.iter()
        .map(|row| Score {
            target: row.target.clone(),
            path: row.path.clone(),
            similarity: row.similarity,
            found: row.found,
        })
        .collect()
}

fn baseline(files: &[PathBuf], label: &str) -> Result<Vec<Score>, Failure> {
    let mut all = Vec::new();
    for file in files {
        let rows = screen::read_rows(file)?;
        let own: Vec<Row> = rows.into_iter().filter(|row| row.model == label).collect();
        if own.is_empty() {
            return Err(Failure::usage(format!(
                "{} has no rows of {label}: a baseline is of the same model",
                file.display()
            )));
        }
        all.extend(scores(&own));
    }
    let mut programs: Vec<&str> = all.iter().map(|score| score.target.as_str()).collect();
    programs.sort_unstable();
    programs.dedup();
    if !files.is_empty() && programs.len() < LEAST_PROGRAMS {
        return Err(Failure::usage(
            "a baseline needs two programs at least, and ten to be of use: programs differ, and it is from them that the test \
             knows how much",
        ));
    }
    Ok(all)
}

fn show(screen: &Screen) {
    let number = |value: Option<f64>, digits: usize| match value {
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    };
    let mut table = terminal::table(&[
        "target",
        "functions",
        "files",
        "refused",
        "mean",
        "95 %",
        "p",
        "p, corrected",
        "p of files",
        "",
    ]);
    for Verdict {
        summary,
        p,
        p_corrected,
        p_files,
        flagged,
        ..
    } in &screen.targets
    {
        table.add_row([
            report::visible::plain(summary.target.as_bytes()),
            summary.functions.to_string(),
            summary.files.to_string(),
            summary.refused.to_string(),
            number(summary.mean, 3),
            summary.ends.map_or_else(
                || "-".to_owned(),
                |(low, high)| format!("{low:.2} to {high:.2}"),
            ),
            number(*p, 4),
            number(*p_corrected, 4),
            number(*p_files, 4),
            match flagged {
                Some(true) => "flagged".to_owned(),
                Some(false) => String::new(),
                None => "not tested".to_owned(),
            },
        ]);
    }
    terminal::print_table(&table);
    match screen.baseline_mean() {
        Some(mean) => terminal::line(&format!(
            "\nbaseline: {} programs, mean {mean:.3}",
            screen.baseline.len()
        )),
        None => terminal::line(
            "\nwithout --baseline nothing is tested: a mean says little before it is known what the model writes of programs \
             that it cannot have seen",
        ),
    }
}

impl From<screen::Error> for Failure {
    fn from(error: screen::Error) -> Self {
        match error {
            screen::Error::Io { path, error } => Failure::io(&path, &error),
            error => Failure::usage(error),
        }
    }
}
