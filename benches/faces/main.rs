//! What Corn's faces cost (Q3): the same questions put to `corn serve` on a program without work, and to bare servers
//! made with the same libraries (tonic, axum) that send back what they get.
//!
//! Each server is a process of its own, and so is whoever asks. Of each case the two servers are asked in turns, and
//! the best of the rounds counts: what else the machine does makes rounds worse and never better.

#![allow(clippy::print_stdout, reason = "its table is what it is for")]

mod bare;
mod load;
mod questions;
mod servers;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use load::{Figures, measured};
use questions::{Asker, Case};
use servers::Server;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How long a face may take, as a multiple of the bare server's median, and the share of its requests a second.
const MOST_P50: f64 = 1.5;
const LEAST_SHARE: f64 = 0.4;

struct Options {
    corn: PathBuf,
    rounds: u32,
    round: Duration,
    /// Only cases whose name contains it.
    only: String,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if arguments == ["bare"] {
        return runtime.block_on(bare::serve());
    }
    // Cargo runs every bench without arguments; this one has nothing to ask then.
    let Some(options) = options(&arguments)? else {
        println!("faces: benches/faces/run.sh measures the faces");
        return Ok(());
    };
    runtime.block_on(compare(&options))
}

fn options(arguments: &[String]) -> Outcome<Option<Options>> {
    let mut options =
        Options { corn: PathBuf::new(), rounds: 5, round: Duration::from_secs(1), only: String::new() };
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--corn" => options.corn = value.into(),
            "--rounds" => options.rounds = value.parse()?,
            "--seconds" => options.round = Duration::from_secs_f64(value.parse()?),
            "--only" => options.only.clone_from(value),
            _ => return Err(format!("{name} is not an option: --corn, --rounds, --seconds, --only").into()),
        }
    }
    Ok((!options.corn.as_os_str().is_empty()).then_some(options))
}

async fn compare(options: &Options) -> Outcome<()> {
    let corn = Server::corn(&options.corn).await?;
    let bare = Server::bare().await?;
    println!("{:<26}{:>27}{:>27}{:>24}", "", "bare", "corn", "corn : bare");
    println!(
        "{:<26}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>8}{:>8}{:>8}",
        "face, payload, at once", "p50 µs", "p99", "req/s", "p50 µs", "p99", "req/s", "p50", "p99", "req/s"
    );
    let mut missed = Vec::new();
    for case in Case::all().into_iter().filter(|case| case.to_string().contains(&options.only)) {
        let (mut to_bare, mut to_corn) = (None, None);
        for _ in 0..options.rounds {
            for (server, best) in [(&bare, &mut to_bare), (&corn, &mut to_corn)] {
                let asker = Asker::connect(case, server).await?;
                let figures = measured(&asker, case.at_once, options.round).await?;
                *best = Some(best.map_or(figures, |best: Figures| best.better(figures)));
            }
        }
        let (Some(bare), Some(corn)) = (to_bare, to_corn) else { return Err("no rounds".into()) };
        let p50 = corn.p50_us / bare.p50_us;
        let share = corn.per_second / bare.per_second;
        println!(
            "{:<26}{:>9.0}{:>9.0}{:>9.0}{:>9.0}{:>9.0}{:>9.0}{p50:>8.2}{:>8.2}{share:>8.2}",
            case.to_string(),
            bare.p50_us,
            bare.p99_us,
            bare.per_second,
            corn.p50_us,
            corn.p99_us,
            corn.per_second,
            corn.p99_us / bare.p99_us,
        );
        if case.at_once == 1 && p50 > MOST_P50 {
            missed.push(format!("{case}: its p50 is {p50:.2} of the bare server's, over {MOST_P50}"));
        }
        if case.at_once > 1 && share < LEAST_SHARE {
            missed.push(format!(
                "{case}: {share:.2} of the bare server's requests a second, under {LEAST_SHARE}"
            ));
        }
    }
    for line in &missed {
        println!("missed: {line}");
    }
    Ok(())
}
