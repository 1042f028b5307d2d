//! What people see: tables and reports on standard output, progress and errors on standard error.
use std::io::{IsTerminal, Write};
use std::time::Duration;

use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Prints text to standard output; a closed pipe ends the printing, not the program.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a line to standard output.
pub(crate) fn line(text: &str) {
    print(&format!("{text}\n"));
}

/// Prints JSON to standard output.
pub(crate) fn json(value: &impl serde::Serialize) {
    let text =
        serde_json::to_string_pretty(value).expect("what is printed is text, numbers and lists");
    line(&text);
}

/// Prints an error.
pub(crate) fn error(message: &str) {
    note(&format!("mirrorcode: {message}"));
}

/// Prints a remark to standard error; nobody there to read it is no reason to stop.
pub(crate) fn note(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{message}");
}

/// Prints a line in place of the last one, on a terminal.
pub(crate) fn in_place(message: &str) {
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "\r\x1b[K{message}").and_then(|()| err.flush());
}

/// A table with these column names.
pub(crate) fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(columns);
    table
}

/// Prints a table without trailing blanks.
pub(crate) fn print_table(table: &Table) {
    for row in table.lines() {
        line(row.trim_end());
    }
}

/// Progress of long work: a bar on a terminal, plain lines in a log.
pub(crate) struct Progress {
    bar: ProgressBar,
    plain: bool,
    last: String,
    told: u64,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let plain = !std::io::stderr().is_terminal();
        let bar = if plain {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden())
        } else {
            ProgressBar::new_spinner()
        };
        bar.set_style(
            ProgressStyle::with_template("{spinner} {elapsed:>4} {msg}")
                .expect("the template is a constant"),
        );
        if !plain {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Progress {
            bar,
            plain,
            last: String::new(),
            told: 0,
        }
    }

    /// What is being done now.
    pub(crate) fn stage(&mut self, text: &str) {
        if self.plain && self.last != text {
            note(text);
        }
        self.last = text.to_owned();
        self.bar.set_message(text.to_owned());
    }

    /// How far a part of the work is, on a terminal alone.
    pub(crate) fn detail(&mut self, text: &str) {
        self.bar.set_message(text.to_owned());
    }

    /// Prints a line above the bar.
    pub(crate) fn above(&self, text: &str) {
        self.bar.suspend(|| line(text));
    }

    /// How much of the work is done. In a log, a line for each tenth.
    pub(crate) fn count(&mut self, what: &str, done: u64, total: u64) {
        self.bar.set_message(format!("{what} {done}/{total}"));
        if self.plain {
            let tenth = done * 10 / total.max(1);
            if tenth != self.told {
                self.told = tenth;
                note(&format!("{what} {done}/{total}"));
            }
        }
    }

    pub(crate) fn finish(&mut self) {
        self.bar.finish_and_clear();
        self.told = 0;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
