//! Asking all questions: some at the same time, within a budget, each once.

use std::sync::{Mutex, PoisonError};

use model::{Cost, Event, Failure, Kind, Model, Price, Reply, Settings, Spent, Stop, Usage, Watch};

use crate::ask::words;
use crate::{Answered, Error, Journal, Kept, Question};

/// A question, and what it belongs to.
#[derive(Debug)]
pub struct Open<'a> {
    /// Name of the target, or of other sources.
    pub target: &'a str,
    /// The question.
    pub question: &'a Question<'a>,
    /// Its digest.
    pub digest: String,
}

/// How questions are asked.
pub struct Means<'a> {
    /// Name of the model.
    pub model: &'a str,
    /// How it is asked.
    pub settings: &'a Settings,
    /// What it costs, where that is known.
    pub price: Option<&'a Price>,
    /// What all answers may cost together, those that are there already among them; needs a price.
    pub limit: Option<Cost>,
    /// Says whether to stop, at any time.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every question has an answer.
    Done,
    /// Another question could cost more than is left.
    Budget,
    /// Somebody stopped it.
    Stopped,
}

/// Why a round broke off.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] Error),
    /// The model fails in a way that does not pass.
    #[error("the model fails: {0}")]
    Model(Failure),
}

struct Table<'a> {
    journal: &'a mut Journal,
    next: usize,
    answered: usize,
    /// Nanodollars of what has been answered.
    spent: u64,
    /// Most nanodollars of what is being asked.
    under_way: u64,
    end: Option<Result<End, Broken>>,
}

struct Quiet<'a>(&'a (dyn Fn() -> bool + Sync));

impl Watch for Quiet<'_> {
    fn event(&mut self, _: Event<'_>) {}

    fn stop(&self) -> bool {
        (self.0)()
    }
}

impl Means<'_> {
    /// The most that a question can cost: a token for each byte, and the longest answer.
    fn most(&self, question: &Question<'_>) -> u64 {
        let sent = serde_json::to_vec(&question.request(self.settings)).unwrap_or_default();
        self.nanodollars(&Usage {
            input: sent.len() as u64,
            output: self.settings.max_output_tokens,
            ..Usage::default()
        })
    }

    fn nanodollars(&self, usage: &Usage) -> u64 {
        self.price.map_or(0, |price| price.cost(usage).0)
    }

    /// What attempts that came to nothing may have cost.
    fn lost(&self, attempts: &model::Attempts, most: u64) -> u64 {
        self.nanodollars(&attempts.lost)
            .saturating_add(most.saturating_mul(u64::from(attempts.unknown)))
    }
}

/// Asks every question that the journal has no answer to, by as many models at the same time as there are, and keeps
/// each answer as it comes. `progress` is told how many have one.
///
/// # Errors
/// [`Broken`], with the first failure that does not pass. What was answered before is kept.
pub fn ask_all(
    open: &[Open<'_>],
    models: Vec<Box<dyn Model>>,
    means: &Means<'_>,
    journal: &mut Journal,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<End, Broken> {
    let known: Vec<&Kept> = open
        .iter()
        .filter_map(|question| journal.get(&question.digest))
        .collect();
    let (answered, spent) = (
        known.len(),
        known
            .iter()
            .map(|kept| kept.nanodollars.unwrap_or(0))
            .fold(0, u64::saturating_add),
    );
    progress(answered);
    let left: Vec<&Open<'_>> = open
        .iter()
        .filter(|question| journal.get(&question.digest).is_none())
        .collect();
    let table = Mutex::new(Table {
        journal,
        next: 0,
        answered,
        spent,
        under_way: 0,
        end: None,
    });
    std::thread::scope(|scope| {
        for mut model in models {
            let (table, left) = (&table, &left);
            scope.spawn(move || {
                while let Some((question, most)) = take(table, left, means) {
                    let mut watch = Quiet(means.stop);
                    let request = question.question.request(means.settings);
                    let reply = model.reply(&request, &mut watch);
                    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
                    table.under_way = table.under_way.saturating_sub(most);
                    if let Err(broken) = keep(&mut table, question, reply, most, means) {
                        table.end.get_or_insert(broken);
                        return;
                    }
                    progress(table.answered);
                }
            });
        }
    });
    let table = table.into_inner().unwrap_or_else(PoisonError::into_inner);
    table.end.unwrap_or(Ok(End::Done))
}

/// The next question, and the most that it can cost, which is put by.
fn take<'a, 'b>(
    table: &Mutex<Table<'_>>,
    left: &'a [&'a Open<'b>],
    means: &Means<'_>,
) -> Option<(&'a Open<'b>, u64)> {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    if table.end.is_some() {
        return None;
    }
    let question = left.get(table.next)?;
    if (means.stop)() {
        table.end = Some(Ok(End::Stopped));
        return None;
    }
    let most = means.most(question.question);
    if let Some(limit) = means.limit {
        let sum = table.spent.saturating_add(table.under_way);
        if sum.saturating_add(most) > limit.0 {
            table.end = Some(Ok(End::Budget));
            return None;
        }
    }
    table.next += 1;
    table.under_way = table.under_way.saturating_add(most);
    Some((question, most))
}

fn keep(
    table: &mut Table<'_>,
    open: &Open<'_>,
    reply: Result<Reply, Failure>,
    most: u64,
    means: &Means<'_>,
) -> Result<(), Result<End, Broken>> {
    let function = open.question.function;
    let mut kept = Kept::new(
        open.digest.clone(),
        means.model,
        open.target,
        &function.path,
        &function.name,
    );
    let cost = match reply {
        Ok(reply) => {
            kept.usage = reply.usage;
            let text = words(&reply.blocks);
            kept.answer = match reply.stop {
                Stop::Refused => Answered::Refused(text),
                stop => Answered::Text { text, stop },
            };
            means
                .nanodollars(&reply.usage)
                .saturating_add(means.lost(&reply.attempts, most))
        }
        Err(failure) if failure.kind == Kind::Filtered => {
            let cost = match failure.spent {
                Spent::Nothing => 0,
                Spent::Known(usage) => {
                    kept.usage = usage;
                    means.nanodollars(&usage)
                }
                Spent::Unknown(_) => most,
            };
            kept.answer = Answered::Refused(failure.to_string());
            cost.saturating_add(means.lost(&failure.attempts, most))
        }
        Err(failure) if failure.kind == Kind::Stopped => return Err(Ok(End::Stopped)),
        Err(failure) => return Err(Err(Broken::Model(failure))),
    };
    kept.nanodollars = means.price.map(|_| cost);
    table.spent = table.spent.saturating_add(cost);
    table
        .journal
        .push(kept)
        .map_err(|error| Err(error.into()))?;
    table.answered += 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use model::{Block, CacheTime, Prices, Request, Thinking};

    use super::*;
    use crate::{Function, Grammar, cut};

    fn functions(count: usize) -> Vec<Function> {
        let text: String = (0..count)
            .map(|n| format!("int f{n}(void) {{ return {n}; }}\n"))
            .collect();
        cut(Grammar::C, "a.c", &text)
    }

    fn settings() -> Settings {
        Settings {
            max_output_tokens: 100,
            thinking: Thinking::Default,
            cache_key: String::new(),
            cache_time: CacheTime::Minutes5,
            extra: None,
        }
    }

    type Say = fn(usize) -> Result<Stop, Kind>;

    struct Counting(Arc<AtomicUsize>, Say);

    impl Model for Counting {
        fn reply(&mut self, _: &Request<'_>, _: &mut dyn Watch) -> Result<Reply, Failure> {
            let number = self.0.fetch_add(1, Ordering::SeqCst);
            let stop = (self.1)(number).map_err(|kind| Failure::new(kind, "no"))?;
            Ok(Reply {
                blocks: vec![Block::text("int f;")],
                stop,
                usage: Usage {
                    input: 10,
                    output: 100,
                    ..Usage::default()
                },
                model: String::new(),
                id: String::new(),
                attempts: Default::default(),
            })
        }
    }

    const PRICES: &str = "date = \"2026-11-25\"\nsource = \"s\"\n[[model]]\nname = \"compatible/m\"\ninput = 1.0\noutput = 10.0\n";

    /// Asks ten questions in a directory, and gives how it ended, how often the model was asked, and what was kept.
    fn round(
        dir: &std::path::Path,
        models: usize,
        limit: Option<u64>,
        say: Say,
    ) -> (Result<End, String>, usize, usize) {
        let functions = functions(10);
        let questions: Vec<_> = functions
            .iter()
            .map(|function| Question::new("p", function))
            .collect();
        let settings = settings();
        let open: Vec<_> = questions
            .iter()
            .map(|question| Open {
                target: "t",
                question,
                digest: question.digest("compatible/m", &settings),
            })
            .collect();
        let prices = Prices::parse(PRICES, "test").unwrap();
        let price = prices.price(&"compatible/m".parse().unwrap()).unwrap();
        let means = Means {
            model: "compatible/m",
            settings: &settings,
            price: Some(price),
            limit: limit.map(Cost),
            stop: &|| false,
        };
        let asked = Arc::new(AtomicUsize::new(0));
        let models = (0..models)
            .map(|_| Box::new(Counting(Arc::clone(&asked), say)) as Box<dyn Model>)
            .collect();
        let mut journal = Journal::open(&dir.join("answers.jsonl")).unwrap();
        let end = ask_all(&open, models, &means, &mut journal, &|_| {});
        let kept = journal.entries().count();
        (
            end.map_err(|broken| broken.to_string()),
            asked.load(Ordering::SeqCst),
            kept,
        )
    }

    #[test]
    fn every_question_is_asked_once_whatever_happens_between() {
        let dir = tempfile::tempdir().unwrap();
        let say: Say = |number| match number {
            4 => Err(Kind::Authentication),
            _ => Ok(Stop::End),
        };
        let (end, asked, kept) = round(dir.path(), 1, None, say);
        assert!(end.unwrap_err().contains("the key is missing"));
        assert_eq!((asked, kept), (5, 4));
        let (end, asked, kept) = round(dir.path(), 3, None, |_| Ok(Stop::End));
        assert_eq!((end, asked, kept), (Ok(End::Done), 6, 10));
        let (end, asked, _) = round(dir.path(), 3, None, |_| Ok(Stop::End));
        assert_eq!((end, asked), (Ok(End::Done), 0));
    }

    #[test]
    fn a_budget_holds_with_several_at_once_and_across_rounds() {
        let dir = tempfile::tempdir().unwrap();
        // An answer costs 10 + 1,000 thousand nanodollars; before it comes, some hundreds more are put by.
        let limit = Some(4_000_000);
        let (end, asked, kept) = round(dir.path(), 4, limit, |_| Ok(Stop::End));
        assert_eq!(end, Ok(End::Budget));
        assert!(asked <= 3 && asked == kept && kept > 0, "{asked}");
        let (end, again, _) = round(dir.path(), 1, limit, |_| Ok(Stop::End));
        assert_eq!(end, Ok(End::Budget));
        assert!(asked + again <= 3);
        let (end, _, kept) = round(dir.path(), 4, Some(40_000_000), |_| Ok(Stop::End));
        assert_eq!((end, kept), (Ok(End::Done), 10));
    }

    #[test]
    fn refusals_are_answers_of_a_kind() {
        let dir = tempfile::tempdir().unwrap();
        let say: Say = |number| match number {
            0 => Err(Kind::Filtered),
            1 => Ok(Stop::Refused),
            _ => Ok(Stop::End),
        };
        let (end, _, kept) = round(dir.path(), 1, None, say);
        assert_eq!((end, kept), (Ok(End::Done), 10));
        let journal = Journal::read(&dir.path().join("answers.jsonl")).unwrap();
        let refused = |kept: &&Kept| matches!(kept.answer, Answered::Refused(_));
        assert_eq!(journal.entries().filter(refused).count(), 2);
    }
}
