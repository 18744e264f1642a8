//! The two formats that metrics are read in: OpenMetrics, in which they are written, and the one of Prometheus that was
//! before it, which everybody reads.

use std::fmt::Write as _;

use axum::http::{HeaderMap, header};

/// The name of the format in what clients say that they take.
const OPENMETRICS: &str = "application/openmetrics-text";

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Format {
    Classic,
    OpenMetrics,
}

impl Format {
    /// OpenMetrics for who names it; whoever takes anything may read the classic format only.
    pub(in crate::http) fn asked(headers: &HeaderMap) -> Self {
        let accept = headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok());
        let mut kinds = accept.flat_map(|it| it.split(',')).filter_map(|it| it.split(';').next());
        let is_named = kinds.any(|kind| kind.trim().eq_ignore_ascii_case(OPENMETRICS));
        if is_named { Self::OpenMetrics } else { Self::Classic }
    }

    /// Its media type, as its specification has it.
    pub(in crate::http) const fn media_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What is written in OpenMetrics, in the classic format: there a family of counters is called as its samples are, and
/// units and the end are not said.
pub(super) fn classic(text: &str) -> String {
    let mut classic = String::with_capacity(text.len());
    let mut help = "";
    for line in text.lines() {
        let said = line.strip_prefix("# ").and_then(|said| said.split_once(' '));
        match said {
            // Said before the kind of the family, on which its name depends.
            Some(("HELP", rest)) => help = rest,
            Some(("TYPE", rest)) => {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
                let about = help.strip_prefix(name).unwrap_or_default();
                let suffix = if kind == "counter" { "_total" } else { "" };
                // Writing to a string cannot fail.
                let _ = write!(classic, "# HELP {name}{suffix}{about}\n# TYPE {name}{suffix} {kind}\n");
            }
            Some(("UNIT", _)) => {}
            None if line == "# EOF" => {}
            _ => {
                classic.push_str(line);
                classic.push('\n');
            }
        }
    }
    classic
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_who_names_openmetrics_gets_it() {
        let of = |accept: &'static str| {
            Format::asked(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert_eq!(Format::asked(&HeaderMap::new()), Format::Classic);
        for accept in ["*/*", "application/*", "text/plain;version=0.0.4", "text/html, */*;q=0.1", ""] {
            assert_eq!(of(accept), Format::Classic, "{accept}");
        }
        for accept in [OPENMETRICS, "text/plain;q=0.2, Application/OpenMetrics-Text; version=1.0.0;q=0.5"] {
            assert_eq!(of(accept), Format::OpenMetrics, "{accept}");
        }
    }

    #[test]
    fn families_of_counters_are_called_as_their_samples() {
        let text = "# HELP taken_bytes Bytes.\n# TYPE taken_bytes counter\n# UNIT taken_bytes bytes\n\
                    taken_bytes_total{of=\"# EOF\"} 1\n# HELP held Held.\n# TYPE held gauge\nheld 2\n# EOF\n";
        let expected = "# HELP taken_bytes_total Bytes.\n# TYPE taken_bytes_total counter\n\
                        taken_bytes_total{of=\"# EOF\"} 1\n# HELP held Held.\n# TYPE held gauge\nheld 2\n";
        assert_eq!(classic(text), expected);
    }
}
