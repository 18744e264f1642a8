//! Numbers of the deployment: literals with a unit of their own, within a range.

use crate::analyze::consts::{Place, Seen};
use crate::analyze::context::{Const, Context};
use crate::diagnostic::semantic;
use crate::syntax::ast::{Expr, ExprKind};

/// Bits a second of each unit of a link.
const RATES: [(&str, f64); 2] = [("Gbps", 1e9), ("Mbps", 1e6)];
/// Seconds of each unit that requests are counted by.
const PER: [(&str, f64); 3] = [("/s", 1.0), ("/min", 60.0), ("/h", 3600.0)];

impl Context<'_> {
    /// A whole number from 1 to `most`.
    pub(super) fn whole(&mut self, expr: &Expr, most: u32, what: &str) -> Option<u32> {
        match expr.kind {
            ExprKind::Int(count) if (1..=i64::from(most)).contains(&count) => u32::try_from(count).ok(),
            ExprKind::Error => None,
            _ => {
                let takes = format!("a whole number from 1 to {most}");
                self.report(semantic::deploy::bad_amount(what, &takes, expr.span));
                None
            }
        }
    }

    /// A size in bytes, more than nothing.
    pub(super) fn size(&mut self, expr: &Expr, what: &str) -> Option<u64> {
        match self.amount(expr) {
            Const::Bytes(bytes) if bytes > 0 => Some(bytes),
            Const::Poison => None,
            _ => {
                self.report(semantic::deploy::bad_amount(what, "a size, such as `80GiB`", expr.span));
                None
            }
        }
    }

    /// A duration in milliseconds, longer than nothing.
    pub(super) fn millis(&mut self, expr: &Expr, what: &str) -> Option<u64> {
        match self.amount(expr) {
            Const::Millis(millis) if millis > 0 => Some(millis),
            Const::Poison => None,
            _ => {
                self.report(semantic::deploy::bad_amount(what, "a duration, such as `30s`", expr.span));
                None
            }
        }
    }

    /// Bits a second.
    pub(super) fn link_rate(&mut self, expr: &Expr) -> Option<f64> {
        let rate = united(expr, &RATES).filter(|rate| *rate > 0.0);
        self.or_report(rate, expr, "a link", "a rate, such as `400Gbps`")
    }

    /// Requests a second.
    pub(super) fn rate_per_s(&mut self, expr: &Expr) -> Option<f64> {
        let rate = match &expr.kind {
            ExprKind::Quantity { number, unit } => {
                PER.iter().find(|(known, _)| known == unit).map(|(_, seconds)| number / seconds)
            }
            _ => None,
        };
        let rate = rate.filter(|rate| *rate > 0.0);
        self.or_report(rate, expr, "`rate`", "a rate of requests, such as `3.5/s`")
    }

    /// A share in percent, more than nothing.
    pub(super) fn percent(&mut self, expr: &Expr) -> Option<f64> {
        let share = united(expr, &[("%", 1.0)]).filter(|share| *share > 0.0 && *share <= 100.0);
        self.or_report(share, expr, "a share", "a part of 100%, such as `60%`")
    }

    /// A plain number of at least `least`.
    pub(super) fn number_from(&mut self, expr: &Expr, least: f64, what: &str) -> Option<f64> {
        let number = match expr.kind {
            ExprKind::Int(number) => Some(number as f64),
            ExprKind::Float(number) => Some(number),
            _ => None,
        };
        let takes = format!("a number of at least {least:?}");
        self.or_report(number.filter(|number| *number >= least), expr, what, &takes)
    }

    fn or_report(&mut self, value: Option<f64>, expr: &Expr, what: &str, takes: &str) -> Option<f64> {
        if value.is_none() && expr.kind != ExprKind::Error {
            self.report(semantic::deploy::bad_amount(what, takes, expr.span));
        }
        value
    }

    fn amount(&mut self, expr: &Expr) -> Const {
        let is_foreign = matches!(&expr.kind, ExprKind::Quantity { unit, .. } if is_own(unit));
        if is_foreign {
            Const::Brought
        } else {
            self.constant(expr, None, Place { module: 0, local: Seen::NOTHING })
        }
    }
}

/// Whether a unit means something in the deployment only.
fn is_own(unit: &str) -> bool {
    unit == "%" || RATES.iter().chain(&PER).any(|(known, _)| *known == unit)
}

fn united(expr: &Expr, units: &[(&str, f64)]) -> Option<f64> {
    match &expr.kind {
        ExprKind::Quantity { number, unit } => {
            units.iter().find(|(known, _)| known == unit).map(|(_, worth)| number * worth)
        }
        _ => None,
    }
}
