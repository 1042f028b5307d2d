//! The tables of results: what one row is, what each column means.

use crate::table::{Column, Kind, Schema};

/// Version of the tables; grows when a column changes its meaning or goes.
pub const FORMAT: u32 = 1;

const fn text(name: &'static str, about: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Text,
        about,
    }
}

const fn whole(name: &'static str, about: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Whole,
        about,
    }
}

const fn real(name: &'static str, about: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Real,
        about,
    }
}

const fn flag(name: &'static str, about: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Flag,
        about,
    }
}

const SYSTEM: Column = text(
    "system",
    "the model, with the agent in parentheses where that is not the built-in one",
);
const ANY: Column = text("system", "the system; empty for all of them together");
const BY: Column = text(
    "by",
    "`all`, `size`, `language`, `domain`, `target` or `task`",
);
const VALUE: Column = text("value", "which size, language, ...; empty for `all`");
const TARGETS: Column = whole("targets", "targets with runs that count");
const TASKS: Column = whole("tasks", "tasks with runs that count");
const RUNS: Column = whole("runs", "runs that count");
const SOLVED: Column = whole("solved", "of them, solved");

/// One row for each run; everything else is made of this.
pub const RUNS_TABLE: Schema = Schema {
    name: "runs",
    about: "a run",
    columns: &[
        text("run", "id of the run"),
        text("task", "target and language, as in `gron/python`"),
        text("target", "the target"),
        text("language", "the language"),
        text(
            "domain",
            "domain of the target; empty where the target is not known here",
        ),
        text(
            "size",
            "size of the target: `S`, `M`, `L`; empty where the target is not known here",
        ),
        SYSTEM,
        text("model", "the model; `person` for somebody at a shell"),
        text(
            "agent",
            "`built-in`, `person`, `replay`, or another agent's name",
        ),
        whole(
            "attempt",
            "number of the run among those of its system and task, by when they began",
        ),
        text("began", "when it began, in UTC"),
        text(
            "state",
            "`submitted`, `left`, `budget`, `stopped`, `failed`, `cut-off` or `open`",
        ),
        flag("counted", "whether it counts in the other tables"),
        text("excluded", "why it does not"),
        flag(
            "solved",
            "whether every visible and hidden case passed; empty when not scored",
        ),
        flag("near", "whether at least 99 % of the hidden cases passed"),
        text(
            "end",
            "`solved`; `wrong`: submitted and not solved; `censored`: neither. Empty when not counted",
        ),
        whole("hidden_passed", "hidden cases that passed"),
        whole("hidden_total", "hidden cases"),
        whole("visible_passed", "visible cases that passed"),
        whole("visible_total", "visible cases"),
        real("share", "share of hidden cases that passed"),
        whole("tokens", "tokens of all answers"),
        whole(
            "possible_tokens",
            "tokens that answers which never came may have cost",
        ),
        real(
            "dollars",
            "price of all answers; empty where no price is known",
        ),
        real("hours", "hours at work"),
        real(
            "active_hours",
            "of them, without pauses and waiting for rate limits",
        ),
        real("tool_hours", "of them, in which tools ran"),
        whole("turns", "answers of the model; of a person, commands"),
        whole("oracle_calls", "calls of the reference"),
        whole("evaluations", "times that the visible cases were run"),
        whole("compactions", "times that the context was full"),
        text("submission", "SHA-256 of what was scored"),
        text(
            "target_lock",
            "SHA-256 of the target's lock that it was scored with",
        ),
        text("mirrorcode", "version of the program that made the run"),
    ],
};

/// Each system in one line.
pub const SYSTEMS: Schema = Schema {
    name: "systems",
    about: "a system, best first",
    columns: &[
        SYSTEM,
        text("model", "the model"),
        text("agent", "the agent"),
        TARGETS,
        TASKS,
        RUNS,
        SOLVED,
        whole("excluded", "runs that do not count"),
        real("mean", "mean over targets of the solved rate"),
        real("mean_low", "lower end of its interval, for other targets"),
        real("mean_high", "upper end"),
        whole("tokens", "tokens of all runs that count"),
        real(
            "dollars",
            "dollars of all runs that count; empty where one has no known price",
        ),
        real("hours", "hours of all runs that count"),
        real(
            "dollars_per_solved",
            "dollars of all runs that count, over solved runs",
        ),
        real(
            "hours_per_solved",
            "hours of all runs that count, over solved runs",
        ),
    ],
};

/// Solved rates.
pub const RATES: Schema = Schema {
    name: "rates",
    about: "a system's runs on one kind of task",
    columns: &[
        SYSTEM,
        BY,
        VALUE,
        TARGETS,
        TASKS,
        RUNS,
        SOLVED,
        real("rate", "solved over runs"),
        real(
            "rate_low",
            "lower end of Wilson's interval: the same tasks again",
        ),
        real("rate_high", "upper end"),
        real(
            "mean",
            "mean over targets of the mean over tasks of solved over runs",
        ),
        real(
            "mean_low",
            "lower end of the interval over targets: other targets like these; empty for one target",
        ),
        real("mean_high", "upper end"),
    ],
};

/// What several attempts come to.
pub const ATTEMPTS: Schema = Schema {
    name: "attempts",
    about: "a system's chance that one of k attempts is solved",
    columns: &[
        SYSTEM,
        text("by", "`all` or `size`"),
        text("value", "which size; empty for `all`"),
        whole("k", "attempts"),
        whole("targets", "targets with such tasks"),
        whole("tasks", "tasks with at least k runs that count; only these"),
        real("pass", "pass@k: mean over targets of the mean over tasks"),
        real(
            "low",
            "lower end of the interval over targets; empty for one target",
        ),
        real("high", "upper end"),
    ],
};

/// How far the best runs came.
pub const REACH: Schema = Schema {
    name: "reach",
    about: "how many targets a system solves or nearly solves in its best run",
    columns: &[
        ANY,
        TARGETS,
        whole("solved", "targets of which some run is solved"),
        real("solved_share", "share of targets"),
        real("solved_low", "lower end of Wilson's interval over targets"),
        real("solved_high", "upper end"),
        whole(
            "near",
            "targets of which some run passed at least 99 % of the hidden cases",
        ),
        real("near_share", "share of targets"),
        real("near_low", "lower end of Wilson's interval over targets"),
        real("near_high", "upper end"),
        text("never_solved", "the others, by name, with spaces between"),
    ],
};

/// Each target under each system.
pub const TARGETS_TABLE: Schema = Schema {
    name: "targets",
    about: "a target under a system, or under all together",
    columns: &[
        ANY,
        text("target", "the target"),
        text("domain", "its domain"),
        text("size", "its size"),
        TASKS,
        RUNS,
        SOLVED,
        whole("tasks_solved", "tasks of which some run is solved"),
        real("best", "largest share of hidden cases that passed in a run"),
        flag("near", "whether that, in some run, is at least 99 %"),
    ],
};

/// Systems against each other.
pub const COMPARISONS: Schema = Schema {
    name: "comparisons",
    about: "two systems on the tasks that both have runs of",
    columns: &[
        text("one", "a system"),
        text("other", "another"),
        whole("targets", "targets that both have runs of"),
        whole("tasks", "tasks that both have runs of"),
        real(
            "difference",
            "mean over targets of the one's rate less the other's",
        ),
        real(
            "low",
            "lower end of the interval over targets; empty for one target",
        ),
        real("high", "upper end"),
    ],
};

/// Success against what it took.
pub const CURVES: Schema = Schema {
    name: "curves",
    about: "a point at which some run of a system was solved",
    columns: &[
        SYSTEM,
        text(
            "axis",
            "`tokens`, `dollars` or `hours`; the runs for which that is known",
        ),
        real("spent", "tokens, dollars or hours"),
        whole("at_risk", "runs that had come so far"),
        whole("solved", "runs that were solved there"),
        real(
            "share",
            "Kaplan-Meier share that is solved by then; all other runs are censored where they ended",
        ),
        real("error", "its standard error (Greenwood)"),
        real("low", "lower end of its interval: the same tasks again"),
        real("high", "upper end"),
        real(
            "incidence",
            "Aalen-Johansen share that is solved by then; wrong submissions are final",
        ),
    ],
};

/// Size, time and success.
pub const PROFILE: Schema = Schema {
    name: "profile",
    about: "what is solved of targets of one size within so many hours",
    columns: &[
        SYSTEM,
        text("size", "size of the targets"),
        real("hours", "hours at work"),
        RUNS,
        TARGETS,
        whole("solved", "runs that were solved within that time"),
        whole("at_risk", "runs that were still at work after that time"),
        real(
            "share",
            "Kaplan-Meier share that is solved within that time; empty where no run was longer at work and some were not solved",
        ),
        real(
            "low",
            "lower end of the interval over targets: other targets like these",
        ),
        real("high", "upper end"),
        real("incidence", "Aalen-Johansen share; empty where `share` is"),
    ],
};

/// What screens say, beside solved rates.
pub const SCREEN: Schema = Schema {
    name: "screen",
    about: "a target that a model was asked to recite, and a system of that model",
    columns: &[
        text(
            "system",
            "the system whose runs stand beside it; empty where the model has none",
        ),
        text("model", "the model that was screened"),
        text("target", "the target"),
        text(
            "size",
            "its size: `S`, `M`, `L`; empty where it is not known here",
        ),
        whole("functions", "functions with an answer"),
        whole("files", "files that they stand in"),
        whole("refused", "functions that the model would not answer for"),
        real(
            "similarity",
            "mean similarity of the functions' bodies to the original",
        ),
        real(
            "similarity_low",
            "lower end of its interval, for other functions of the program; empty for one file",
        ),
        real("similarity_high", "upper end"),
        whole("programs", "programs of the baseline"),
        real("baseline", "mean over them of their mean similarity"),
        real(
            "p",
            "chance of such a mean, or a larger one, of a program like those of the baseline; empty without one",
        ),
        real(
            "p_corrected",
            "that, by Holm's correction for all targets of the screen",
        ),
        real(
            "p_files",
            "chance of such ranks of its files among those of the baseline's; says nothing of other programs",
        ),
        flag("flagged", "whether `p_corrected` is below 0.05"),
        RUNS,
        SOLVED,
        real("rate", "solved over runs"),
        real("rate_low", "lower end of Wilson's interval"),
        real("rate_high", "upper end"),
    ],
};

/// Solved rates by what the screen says.
pub const MEMORIZATION: Schema = Schema {
    name: "memorization",
    about: "a screened system's runs on targets of which the screen says the same",
    columns: &[
        SYSTEM,
        text("by", "`all` or `size`"),
        text("value", "which size; empty for `all`"),
        text(
            "kept",
            "which targets: `all`, `flagged`, `not flagged`, `not tested`",
        ),
        TARGETS,
        TASKS,
        RUNS,
        SOLVED,
        real("rate", "solved over runs"),
        real(
            "rate_low",
            "lower end of Wilson's interval: the same tasks again",
        ),
        real("rate_high", "upper end"),
        real(
            "mean",
            "mean over targets of the mean over tasks of solved over runs",
        ),
        real(
            "mean_low",
            "lower end of the interval over targets; empty for one target",
        ),
        real("mean_high", "upper end"),
    ],
};

/// All tables, in the order in which they are written.
pub const TABLES: [Schema; 11] = [
    RUNS_TABLE,
    SYSTEMS,
    RATES,
    ATTEMPTS,
    REACH,
    TARGETS_TABLE,
    COMPARISONS,
    CURVES,
    PROFILE,
    SCREEN,
    MEMORIZATION,
];
