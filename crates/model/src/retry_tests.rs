use super::*;
use crate::{CacheTime, Phase, Scripted, Settings, Thinking, Usage};

const QUICK: Patience = Patience {
    first: Duration::from_millis(4),
    longest: Duration::from_millis(32),
    attempts: 6,
    malformed: 2,
    time: Duration::from_secs(5),
};

/// Notes the pauses, and stops after so many.
struct Notes {
    pauses: Vec<(&'static str, u64)>,
    most: usize,
}

impl Watch for Notes {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Retry { failure, pause_ms } = event {
            self.pauses.push((failure.kind.name(), pause_ms));
        }
    }

    fn stop(&self) -> bool {
        self.pauses.len() >= self.most
    }
}

fn ask(
    model: impl Model,
    patience: Patience,
    most: usize,
) -> (Result<Reply, Failure>, Vec<(&'static str, u64)>) {
    let settings = Settings {
        max_output_tokens: 100,
        thinking: Thinking::Default,
        cache_key: String::new(),
        cache_time: CacheTime::Minutes5,
        extra: None,
    };
    let request = Request {
        system: "",
        messages: &[],
        stable: 0,
        tools: &[],
        settings: &settings,
    };
    let mut notes = Notes {
        pauses: Vec::new(),
        most,
    };
    let result = Retrying::new(model, patience, 7).reply(&request, &mut notes);
    (result, notes.pauses)
}

fn script(failures: &[&str]) -> Scripted {
    let turns: Vec<String> = failures
        .iter()
        .map(|kind| format!(r#"{{"failure":{kind}}}"#))
        .collect();
    Scripted::parse(&format!(
        r#"{{"turns":[{},{{"text":"Done."}}]}}"#,
        turns.join(",")
    ))
    .unwrap()
}

#[test]
fn what_passes_is_tried_again_with_growing_pauses() {
    let kinds = [
        r#""server""#,
        r#"{"overloaded":{}}"#,
        r#"{"timed-out":{"phase":"stream"}}"#,
        r#""cut-off""#,
        r#""unreachable""#,
    ];
    let (result, pauses) = ask(script(&kinds), QUICK, usize::MAX);
    let reply = result.unwrap();
    let names: Vec<_> = pauses.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "server",
            "overloaded",
            "timed-out",
            "cut-off",
            "unreachable"
        ]
    );
    for ((_, pause), longest) in pauses.iter().zip([4, 8, 16, 32, 32]) {
        assert!((longest / 2..=longest).contains(pause), "{pauses:?}");
    }
    assert_eq!(reply.attempts.failed, 5);
    let total: u64 = pauses.iter().map(|(_, pause)| pause).sum();
    assert!(
        (total..total + 1_000).contains(&reply.attempts.waited_ms),
        "{reply:?}"
    );
}

#[test]
fn pauses_vary_by_seed_and_only_by_it() {
    let pauses = |_| ask(script(&[r#""server""#; 5]), QUICK, usize::MAX).1;
    assert_eq!(pauses(1), pauses(2));
    let mut chances: Vec<u64> = (0..50)
        .map(|seed| (Chance(seed).next() * 1e6) as u64)
        .collect();
    chances.sort_unstable();
    chances.dedup();
    assert_eq!(chances.len(), 50);
    assert!(chances[0] < 100_000 && chances[49] > 900_000);
}

#[test]
fn what_does_not_pass_is_not_tried_again() {
    for kind in [
        "authentication",
        "bad-request",
        "context-overflow",
        "filtered",
        "not-found",
        "out-of-quota",
        "stopped",
    ] {
        let (result, pauses) = ask(script(&[&format!("{kind:?}")]), QUICK, usize::MAX);
        assert_eq!(result.unwrap_err().kind.name(), kind);
        assert!(pauses.is_empty());
    }
}

#[test]
fn the_provider_says_how_long() {
    let (result, pauses) = ask(
        script(&[r#"{"rate-limited":{"retry_after_ms":60}}"#]),
        QUICK,
        usize::MAX,
    );
    assert!(result.is_ok());
    assert!((60..=64).contains(&pauses[0].1), "{pauses:?}");
    // Longer than there is patience for.
    let (result, pauses) = ask(
        script(&[r#"{"rate-limited":{"retry_after_ms":6000}}"#]),
        QUICK,
        usize::MAX,
    );
    assert!(matches!(result.unwrap_err().kind, Kind::RateLimited { .. }));
    assert!(pauses.is_empty());
}

#[test]
fn there_is_an_end_to_it() {
    let (result, pauses) = ask(script(&[r#""server""#; 9]), QUICK, usize::MAX);
    let failure = result.unwrap_err();
    assert_eq!(
        (failure.kind, failure.attempts.failed, pauses.len()),
        (Kind::Server, 5, 5)
    );
    assert!(failure.to_string().ends_with("; attempt 6"), "{failure}");
    let (result, pauses) = ask(script(&[r#""malformed""#; 9]), QUICK, usize::MAX);
    assert_eq!(
        (result.unwrap_err().kind, pauses.len()),
        (Kind::Malformed, 1)
    );
}

#[test]
fn a_pause_can_be_stopped() {
    let slow = Patience {
        first: Duration::from_secs(60),
        longest: Duration::from_secs(60),
        time: Duration::from_secs(600),
        ..QUICK
    };
    let begun = Instant::now();
    let (result, _) = ask(script(&[r#""server""#]), slow, 1);
    assert_eq!(result.unwrap_err().kind, Kind::Stopped);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn what_failed_attempts_took_is_added_up() {
    let usage = |output| Usage {
        output,
        ..Usage::default()
    };
    let spent = [
        Spent::Unknown(usage(1)),
        Spent::Known(usage(20)),
        Spent::Nothing,
        Spent::Unknown(usage(300)),
    ];
    let mut next = spent.into_iter();
    let model = move |_: &Request<'_>, _: &mut dyn Watch| {
        let kind = Kind::TimedOut {
            phase: Phase::Stream,
        };
        let mut failure = Failure::new(kind, "");
        match next.next() {
            Some(spent) => failure.spent = spent,
            None => failure.kind = Kind::BadRequest,
        }
        Err(failure)
    };
    let (result, _) = ask(model, QUICK, usize::MAX);
    let attempts = result.unwrap_err().attempts;
    assert_eq!(
        (attempts.failed, attempts.lost.output, attempts.unknown),
        (4, 321, 2)
    );
}
