//! The mirrorcode program: arguments, progress, exit codes. What it does is done in the crates beside it.

mod agents;
mod args;
mod attempt;
mod bundle;
mod campaign;
mod choose;
mod compare;
mod context;
mod curve;
mod doctor;
mod evaluate;
mod exit;
mod export;
mod external;
mod fairness;
mod gates;
mod images;
mod mcp;
mod models;
mod orders;
mod outside;
mod plan;
mod ready;
mod replay;
mod results;
mod run;
mod runs;
mod score;
mod screen;
mod sealed;
mod serve;
mod shell;
mod site;
mod strength;
mod sync;
mod target;
mod task;
mod terminal;
mod units;
mod verdict;
mod view;
mod watch;
mod whole;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use context::Context;

fn main() -> ExitCode {
    // First: a keeper must be alone in its process.
    sandbox::entry();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() {
                exit::USAGE
            } else {
                exit::DONE
            };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let context = Context::new(cli.places);
    exit::leave(match cli.command {
        Command::Doctor { json } => doctor::run(json),
        Command::Target(command) => target::run(&context, &command),
        Command::Image(command) => images::run(&context, &command),
        Command::Shell(arguments) => shell::run(&context, &arguments),
        Command::Mcp(arguments) => mcp::run(&context, &arguments),
        Command::Run(arguments) => run::run(&context, &arguments),
        Command::Resume(arguments) => run::resume(&context, &arguments),
        Command::Stop { run } => orders::stop(&context, &run),
        Command::Watch(arguments) => watch::run(&context, &arguments),
        Command::View(arguments) => view::run(&context, &arguments),
        Command::Results(arguments) => results::run(&context, &arguments),
        Command::Report(arguments) => site::run(&context, &arguments),
        Command::Export(arguments) => export::run(&context, &arguments),
        Command::Bundle(arguments) => bundle::run(&context, &arguments),
        Command::Serve(arguments) => serve::run(&context, &arguments),
        Command::Score(arguments) => score::run(&context, &arguments),
        Command::Screen(arguments) => screen::run(&context, &arguments),
        Command::Replay(arguments) => replay::run(&context, &arguments),
        Command::Runs(arguments) => runs::run(&context, &arguments),
        Command::Sync(arguments) => sync::run(&context, &arguments),
        Command::Campaign(command) => campaign::run(&context, &command),
    })
}
