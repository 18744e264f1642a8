//! What stands below one another: the `=` of bindings, the `=` and `->` of routes, and the comments at
//! the ends of lines.
//!
//! Whether a table is aligned is its author's choice: it is if one of its lines was. A table ends
//! at an empty line, a comment on a line of its own, and a line of another kind.

use super::WIDTH;
use super::render::Line;

/// Aligns what can be.
pub(super) fn align(lines: &mut [Line<'_>]) {
    for run in lines.chunk_by_mut(|a, b| a.table.is_some() && (a.table, a.indent) == (b.table, b.indent)) {
        let stops = run.iter().map(|line| line.stops.len()).min().unwrap_or_default();
        (0..stops).for_each(|stop| align_stop(run, stop));
    }
    for run in lines.chunk_by_mut(|a, b| a.indent == b.indent && !is_apart(a) && !is_apart(b)) {
        align_comments(run);
    }
}

/// Whether a line has no code, or begins or ends what has lines of its own.
fn is_apart(line: &Line<'_>) -> bool {
    let text = line.text.as_str();
    text.is_empty()
        || text.starts_with("//")
        || text.ends_with(['{', '[', '('])
        || text.starts_with(['}', ']', ')'])
}

fn align_stop(run: &mut [Line<'_>], stop: usize) {
    let is_wanted = run.iter().any(|line| line.stops[stop].1);
    let column = run.iter().map(|line| line.stops[stop].0).max().unwrap_or_default();
    let fits = run.iter().all(|line| line.width() + column - line.stops[stop].0 <= WIDTH);
    if !is_wanted || !fits {
        return;
    }
    for line in run {
        let at = line.stops[stop].0;
        let byte = line.text.char_indices().nth(at - line.indent).map_or(line.text.len(), |(byte, _)| byte);
        line.text.insert_str(byte, &" ".repeat(column - at));
        line.stops[stop..].iter_mut().for_each(|stop| stop.0 += column - at);
    }
}

/// Puts the comments of a run of lines below one another, as far from the longest line as the
/// nearest of them stood.
fn align_comments(run: &mut [Line<'_>]) {
    let commented = || run.iter().filter_map(|line| Some((line.width(), line.comment?)));
    let Some(code) = commented().map(|(width, _)| width).max() else { return };
    let comment =
        commented().map(|(_, comment)| super::layout::length(comment.text)).max().unwrap_or_default();
    let nearest = commented().map(|(_, comment)| comment.gap).min().unwrap_or_default().max(1);
    let gap = [nearest, 1].into_iter().find(|gap| code + gap + comment <= WIDTH);
    for line in run {
        let width = line.width();
        if let Some(comment) = &mut line.comment {
            comment.gap = gap.map_or(1, |gap| code + gap - width);
        }
    }
}
