//! A picture as Graphviz DOT: `corn graph FILE --format dot | dot -Tpdf`.

use std::fmt::Write;

use super::{Picture, Shape, Thing};

/// Fills of stages; the tenth looks like the first.
const FILLS: [&str; 8] =
    ["#dbeafe", "#dcfce7", "#fef3c7", "#fce7f3", "#ede9fe", "#ccfbf1", "#ffedd5", "#e2e8f0"];

/// The picture in the DOT language. Frames are clusters, streams are thick.
pub fn dot(picture: &Picture) -> String {
    let mut out = format!("digraph {} {{\n", quoted(&picture.title));
    let _ = writeln!(
        out,
        "  graph [rankdir=LR, label={}, labelloc=t, fontname=\"Helvetica\"];",
        quoted(&picture.title)
    );
    out += "  node [fontname=\"Helvetica\", style=filled, fillcolor=white, color=\"#475569\"];\n";
    out += "  edge [fontname=\"Helvetica\", fontsize=11, color=\"#475569\"];\n";
    things(&mut out, picture);
    for line in &picture.lines {
        let style = if line.is_stream { ", penwidth=3" } else { "" };
        for to in &line.to {
            let (from, to) = (&picture.things[line.from].id, &picture.things[*to].id);
            let _ = writeln!(out, "  {from} -> {to} [label={}{style}];", quoted(&line.label));
        }
    }
    out += "}\n";
    out
}

/// The things, those of a frame inside its cluster. The work left is a list, so that frames
/// may stand in each other as deep as they like.
fn things(out: &mut String, picture: &Picture) {
    enum Left {
        Open(Option<usize>, usize),
        Close(usize),
    }
    let mut left = vec![Left::Open(None, 1)];
    while let Some(next) = left.pop() {
        let (frame, depth) = match next {
            Left::Open(frame, depth) => (frame, depth),
            Left::Close(depth) => {
                let _ = writeln!(out, "{}}}", "  ".repeat(depth));
                continue;
            }
        };
        let indent = "  ".repeat(depth);
        if let Some(number) = frame {
            let outer = "  ".repeat(depth - 1);
            let label = quoted(&picture.frames[number].label);
            let _ = writeln!(out, "{outer}subgraph cluster_{number} {{");
            let _ = writeln!(
                out,
                "{indent}label={label}; labeljust=l; style=\"rounded,dashed\"; color=\"#64748b\";"
            );
        }
        for thing in picture.things.iter().filter(|thing| thing.frame == frame) {
            let _ = writeln!(out, "{indent}{} [{}];", thing.id, attributes(thing));
        }
        if frame.is_some() {
            left.push(Left::Close(depth - 1));
        }
        let children = picture.frames.iter().enumerate().filter(|(_, child)| child.parent == frame);
        let children: Vec<Left> = children.map(|(number, _)| Left::Open(Some(number), depth + 1)).collect();
        left.extend(children.into_iter().rev());
    }
}

fn attributes(thing: &Thing) -> String {
    let shape = match thing.shape {
        Shape::End => "shape=box, style=\"rounded,filled\"",
        Shape::Constant => "shape=box, style=\"rounded,filled,dashed\"",
        Shape::Component { each: false } => "shape=box",
        Shape::Component { each: true } => "shape=box, peripheries=2",
        Shape::Adaptor => "shape=hexagon",
    };
    let mut label = thing.name.clone();
    if !thing.detail.is_empty() {
        label = format!("{label}\n{}", thing.detail);
    }
    let mut attributes = format!("label={}, {shape}, tooltip={}", quoted(&label), quoted(&thing.whole));
    if let Some(stage) = thing.stage {
        let _ = write!(attributes, ", fillcolor=\"{}\"", FILLS[stage % FILLS.len()]);
    }
    attributes
}

/// A quoted text. Graphviz reads backslashes and `&` in it, and knows no control characters.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '&' => out.push_str("&amp;"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
