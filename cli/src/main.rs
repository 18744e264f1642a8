//! The `corn` command: check, compile, look at and run `.corn` files.
//!
//! Exit codes: 0 done · 1 the program or plan is wrong · 2 the command line is wrong · 3 the
//! request is wrong · 4 something on this machine is missing or unfit · 5 a component failed ·
//! 6 too much at once · 124 the deadline passed · 130 interrupted.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to its terminal")]

mod args;
mod commands;
mod failure;
mod itself;
mod program;
mod progress;
mod request;
mod state;
mod threads;
mod timings;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    threads::settle();
    let outcome = match &args.command {
        Command::Check(check) => commands::check::check(check),
        Command::Compile(compile) => commands::compile::compile(compile),
        Command::Graph(graph) => commands::graph::graph(graph),
        Command::Diff(diff) => match commands::diff::diff(diff) {
            Ok(code) => return code,
            Err(failure) => Err(failure),
        },
        Command::Run(run) => commands::run::run(run),
        Command::Serve(serve) => commands::serve::serve(serve),
        Command::Up(up) => commands::up::up(up),
        Command::Call(call) => commands::call::call(call),
        Command::Ps(ps) => commands::ps::ps(ps),
        Command::Logs(logs) => commands::logs::logs(logs),
        Command::Drain(drain) => commands::ps::drain(drain),
        Command::Restart(restart) => commands::ps::restart(restart),
        Command::Scale(scale) => commands::ps::scale(scale),
        Command::Update(update) => commands::update::update(update),
        Command::Down(down) => commands::ps::down(down),
        Command::Worker(worker) => commands::worker::worker(worker),
        Command::Models(models) => commands::models::models(models),
        Command::Lsp(lsp) => commands::lsp::lsp(lsp),
        Command::Explain(explain) => commands::explain::explain(explain),
        Command::Fmt(fmt) => commands::fmt::fmt(fmt),
        Command::Completions(completions) => commands::completions::completions(completions),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(args.command.is_json()),
    }
}
