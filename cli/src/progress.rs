//! Progress on standard error while weights are fetched and loaded: bars on a terminal, a line for
//! each beginning elsewhere, nothing with `--json`.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

use crate::commands::say;
use corn_core::executor::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Shows how far loading is.
pub(crate) struct Bars {
    style: Style,
    area: MultiProgress,
    known: Mutex<BTreeMap<String, ProgressBar>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Quiet,
    Lines,
    Bars,
}

impl Bars {
    pub(crate) fn new(quiet: bool) -> Self {
        let style = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Style::Quiet,
            (false, false) => Style::Lines,
            (false, true) => Style::Bars,
        };
        Self { style, area: MultiProgress::new(), known: Mutex::default() }
    }

    /// Takes every bar away.
    pub(crate) fn clear(&self) {
        for bar in self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).values() {
            bar.finish_and_clear();
        }
        // A terminal that cannot be cleared shows what is left.
        let _ = self.area.clear();
    }

    fn begin(&self, what: &str, total: u64) -> ProgressBar {
        match self.style {
            Style::Bars => {
                let bar = self.area.add(ProgressBar::new(total));
                let template = if total > 0 {
                    "{msg:<48} {bar:24} {bytes}/{total_bytes} {bytes_per_sec}"
                } else {
                    "{msg:<48} {spinner}"
                };
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style);
                }
                bar.set_message(what.to_owned());
                bar.enable_steady_tick(Duration::from_millis(120));
                bar
            }
            Style::Lines => {
                match total {
                    0 => say(what),
                    total => say(&format!("{what} ({:.1} MB)", total as f64 / 1e6)),
                }
                ProgressBar::hidden()
            }
            Style::Quiet => ProgressBar::hidden(),
        }
    }
}

impl Progress for Bars {
    fn advance(&self, what: &str, done: u64, total: u64) {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let bar = known.entry(what.to_owned()).or_insert_with(|| self.begin(what, total));
        bar.set_length(total);
        bar.set_position(done);
        if total > 0 && done >= total {
            bar.finish_and_clear();
        }
    }
}
