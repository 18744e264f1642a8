//! A picture as SVG, drawn here: no Graphviz, no fonts, no scripts, and it is dark where the
//! reader's screen is.

use std::fmt::Write;

use super::layout::{BOLD, Layout, NAME, POINT, Piece, ROUND, Rect, SMALL, layout};
use super::measure::{width, wrapped};
use super::{Picture, Shape, Thing};

/// Free space around everything.
const MARGIN: f64 = 20.0;
/// Least width of what is inside the margins, so that title and legend have room.
const LEAST: f64 = 420.0;
/// Size of the title and height of its lines.
const TITLE: f64 = 15.0;
const TITLE_LINE: f64 = 20.0;
/// Height of a row of the legend, and the length of its lines and fields.
const ROW: f64 = 20.0;
const SAMPLE: f64 = 26.0;
/// Length of an arrow's head, for a value and for a stream.
const HEAD: (f64, f64) = (7.0, 10.0);
/// Stages have this many colours; after that they begin again.
const COLOURS: usize = 8;

/// How everything looks, on light screens and on dark ones.
const STYLE: &str = "\
<style>
text { font-family: Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif; font-size: 11px; fill: #475569 }
.title { font-size: 15px; font-weight: bold; fill: #1e293b }
.name { font-size: 13px; font-weight: bold; fill: #1e293b }
.mid { text-anchor: middle }
.page { fill: #ffffff }
.box { fill: #f8fafc; stroke: #475569; stroke-width: 1.2 }
.const { stroke-dasharray: 4 3 }
.frame { fill: none; stroke: #94a3b8; stroke-dasharray: 6 4 }
.line { fill: none; stroke: #64748b; stroke-width: 1.3 }
.stream { stroke-width: 3.2 }
.head { fill: #64748b }
.s0 { fill: #dbeafe } .s1 { fill: #dcfce7 } .s2 { fill: #fef3c7 } .s3 { fill: #fce7f3 }
.s4 { fill: #ede9fe } .s5 { fill: #ccfbf1 } .s6 { fill: #ffedd5 } .s7 { fill: #e2e8f0 }
@media (prefers-color-scheme: dark) {
text { fill: #cbd5e1 }
.title, .name { fill: #f1f5f9 }
.page { fill: #0f172a }
.box { fill: #1e293b; stroke: #94a3b8 }
.frame { stroke: #64748b }
.line { stroke: #94a3b8 }
.head { fill: #94a3b8 }
.s0 { fill: #1e3a8a } .s1 { fill: #14532d } .s2 { fill: #713f12 } .s3 { fill: #831843 }
.s4 { fill: #4c1d95 } .s5 { fill: #134e4a } .s6 { fill: #7c2d12 } .s7 { fill: #334155 }
}
</style>
";

/// The picture as an SVG document.
pub fn svg(picture: &Picture) -> String {
    let laid = layout(picture);
    let room = laid.width.max(LEAST);
    let title = wrapped(&picture.title, TITLE * BOLD, room);
    let room = title.iter().map(|line| width(line, TITLE) * BOLD).fold(room, f64::max);
    let legend = legend(picture, room);
    let top = MARGIN + title.len() as f64 * TITLE_LINE + 12.0;
    let below = top + laid.height + 24.0;
    let size = (room + 2.0 * MARGIN, below + legend.1 + MARGIN);

    let mut out = String::new();
    let (w, h) = (number(size.0), number(size.1));
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" role=\"img\">"
    );
    let _ = writeln!(out, "<title>{}</title>", escaped(&picture.title));
    out += STYLE;
    let _ = writeln!(out, "<rect class=\"page\" width=\"{w}\" height=\"{h}\"/>");
    for (row, line) in title.iter().enumerate() {
        let y = MARGIN + TITLE + row as f64 * TITLE_LINE;
        let _ = writeln!(
            out,
            "<text class=\"title\" x=\"{MARGIN}\" y=\"{}\">{}</text>",
            number(y),
            escaped(line)
        );
    }
    let left = MARGIN + (room - laid.width) / 2.0;
    let _ = writeln!(out, "<g transform=\"translate({} {})\">", number(left), number(top));
    draw(&mut out, picture, &laid);
    out += "</g>\n";
    let _ =
        writeln!(out, "<g transform=\"translate({MARGIN} {})\">\n{}</g>\n</svg>", number(below), legend.0);
    out
}

fn draw(out: &mut String, picture: &Picture, laid: &Layout) {
    for (frame, rect) in &laid.frames {
        let _ = writeln!(out, "<rect class=\"frame\" {} rx=\"8\"/>", place(*rect));
        let (x, y) = (number(rect.x + 12.0), number(rect.y + 18.0));
        let label = escaped(&picture.frames[*frame].label);
        let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" font-weight=\"bold\">{label}</text>");
    }
    let mut pieces = laid.pieces.clone();
    pieces.sort_by_key(|piece| piece.line);
    for pieces in pieces.chunk_by(|a, b| a.line == b.line) {
        draw_line(out, pieces, picture.lines[pieces[0].line].is_stream);
    }
    for (line, x, y) in &laid.labels {
        let (x, y) = (number(*x), number(*y - 5.0));
        let label = escaped(&picture.lines[*line].label);
        let _ = writeln!(out, "<text class=\"mid\" x=\"{x}\" y=\"{y}\">{label}</text>");
    }
    for (number, rect) in &laid.things {
        draw_thing(out, &picture.things[*number], *rect);
    }
}

/// One path for all of a line, and one for the heads of its arrows.
fn draw_line(out: &mut String, pieces: &[Piece], is_stream: bool) {
    let (stream, head) = if is_stream { (" stream", HEAD.1) } else { ("", HEAD.0) };
    let (mut path, mut heads) = (String::new(), String::new());
    for piece in pieces {
        let ((x, y), (end, level)) = (piece.from, piece.to);
        let (bend, straight) = piece.bend;
        // A line ends inside its arrow's head, so that a thick one does not stick out at the tip.
        let stop = if piece.is_read { end - head / 2.0 } else { end };
        let _ = write!(path, "M{} {}", number(x), number(y));
        if (y - level).abs() > 0.05 {
            let middle = number(f64::midpoint(bend, straight));
            let (y, level) = (number(y), number(level));
            let _ =
                write!(path, "H{}C{middle} {y} {middle} {level} {} {level}", number(bend), number(straight));
        }
        let _ = write!(path, "H{}", number(stop));
        if piece.is_read {
            let (back, half) = (number(end - head), head / 2.0);
            let (over, under) = (number(level - half), number(level + half));
            let _ = write!(heads, "M{} {}L{back} {over}V{under}Z", number(end), number(level));
        }
    }
    let _ = writeln!(out, "<path class=\"line{stream}\" d=\"{path}\"/>");
    if !heads.is_empty() {
        let _ = writeln!(out, "<path class=\"head\" d=\"{heads}\"/>");
    }
}

fn draw_thing(out: &mut String, thing: &Thing, rect: Rect) {
    let stage = thing.stage.map_or(String::new(), |stage| format!(" s{}", stage % COLOURS));
    let _ = writeln!(out, "<g><title>{}</title>", escaped(&thing.whole));
    match thing.shape {
        Shape::End | Shape::Constant => {
            let broken = if thing.shape == Shape::Constant { " const" } else { "" };
            let round = number(ROUND.min(rect.height / 2.0));
            let _ = writeln!(out, "<rect class=\"box{broken}\" {} rx=\"{round}\"/>", place(rect));
        }
        Shape::Component { each } => {
            if each {
                let behind = Rect { x: rect.x + 4.0, y: rect.y - 4.0, ..rect };
                let _ = writeln!(out, "<rect class=\"box{stage}\" {} rx=\"5\"/>", place(behind));
            }
            let _ = writeln!(out, "<rect class=\"box{stage}\" {} rx=\"5\"/>", place(rect));
        }
        Shape::Adaptor => {
            let (left, right) = (rect.x, rect.x + rect.width);
            let (top, bottom) = (number(rect.y), number(rect.y + rect.height));
            let (inner, outer) = (number(left + POINT), number(right - POINT));
            let middle = number(rect.y + rect.height / 2.0);
            let (left, right) = (number(left), number(right));
            let _ = writeln!(
                out,
                "<path class=\"box{stage}\" d=\"M{left} {middle}L{inner} {top}H{outer}L{right} {middle}L{outer} {bottom}H{inner}Z\"/>"
            );
        }
    }
    let (x, middle) = (number(rect.x + rect.width / 2.0), rect.y + rect.height / 2.0);
    let name = if thing.detail.is_empty() { middle + NAME * 0.36 } else { middle - 3.0 };
    let text = |class: &str, y: f64, text: &str| {
        format!("<text class=\"{class} mid\" x=\"{x}\" y=\"{}\">{}</text>\n", number(y), escaped(text))
    };
    *out += &text("name", name, &thing.name);
    if !thing.detail.is_empty() {
        *out += &text("detail", middle + 12.0, &thing.detail);
    }
    *out += "</g>\n";
}

/// What lines and colours mean, in rows no wider than `room`, and how high that is.
fn legend(picture: &Picture, room: f64) -> (String, f64) {
    let mut out = String::new();
    let (mut x, mut y) = (0.0, 0.0);
    let mut entry = |sample: &dyn Fn(f64, f64) -> String, text: &str| {
        let wide = SAMPLE + 6.0 + width(text, SMALL) + 18.0;
        if x > 0.0 && x + wide > room {
            (x, y) = (0.0, y + ROW);
        }
        out += &sample(x, y);
        let (at, base) = (number(x + SAMPLE + 6.0), number(y + 9.0));
        let _ = writeln!(out, "<text x=\"{at}\" y=\"{base}\">{}</text>", escaped(text));
        x += wide;
    };
    for (class, text) in [("", "a whole value"), (" stream", "a stream")] {
        let line = |x: f64, y: f64| {
            let (from, y) = (number(x), number(y + 5.0));
            format!("<path class=\"line{class}\" d=\"M{from} {y}H{}\"/>\n", number(x + SAMPLE))
        };
        entry(&line, text);
    }
    for (number, stage) in picture.stages.iter().enumerate() {
        let field = |x: f64, y: f64| {
            let rect = Rect { x, y: y - 1.0, width: SAMPLE, height: 12.0 };
            format!("<rect class=\"box s{}\" {} rx=\"3\"/>\n", number % COLOURS, place(rect))
        };
        entry(&field, stage);
    }
    (out, y + ROW)
}

fn place(rect: Rect) -> String {
    let Rect { x, y, width, height } = rect;
    let [x, y, width, height] = [x, y, width, height].map(number);
    format!("x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"")
}

/// A length with at most one digit after the point.
fn number(length: f64) -> String {
    let tenths = (length * 10.0).round() as i64;
    let sign = if tenths < 0 { "-" } else { "" };
    match (tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10) {
        (whole, 0) => format!("{sign}{whole}"),
        (whole, tenth) => format!("{sign}{whole}.{tenth}"),
    }
}

/// `text` as XML; characters that no XML may hold are left out.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}
