//! Pictures of every kind, laid out: nothing stands on anything else, and no line runs through a
//! thing, a text or a frame that it does not belong to.

use proptest::prelude::*;

use super::layout::{Layout, Piece, Rect, layout};
use super::{Frame, Line, Picture, Shape, Thing};

/// A picture with these frames (each in an earlier one, or in none), things (each in a frame or in
/// none) and lines (from a thing to later ones).
fn picture(frames: &[usize], things: &[(usize, usize)], lines: &[(usize, Vec<usize>)]) -> Picture {
    let parent = |number: usize, of: usize| (number % (of + 1)).checked_sub(1);
    let frames = frames.iter().enumerate();
    let frames: Vec<Frame> = frames
        .map(|(number, parent_of)| Frame {
            label: format!("frame {number}"),
            parent: parent(*parent_of, number),
        })
        .collect();
    let thing = |(number, (shape, frame)): (usize, &(usize, usize))| Thing {
        id: format!("n{number}"),
        shape: [Shape::End, Shape::Adaptor, Shape::Component { each: true }, Shape::Constant][shape % 4],
        name: "name".repeat(shape % 5 + 1),
        detail: "detail ".repeat(shape % 3),
        whole: String::new(),
        stage: None,
        frame: parent(*frame, frames.len()),
    };
    let things: Vec<Thing> = things.iter().enumerate().map(thing).collect();
    // Lines run from earlier things to later ones also where frames are seen as one: things are
    // numbered so that those of a frame follow each other.
    let mut order: Vec<usize> = (0..things.len()).collect();
    order.sort_by_key(|number| path(&frames, things[*number].frame));
    let mut sorted: Vec<Thing> = order.iter().map(|number| things[*number].clone()).collect();
    for (number, thing) in sorted.iter_mut().enumerate() {
        thing.id = format!("n{number}");
    }
    let count = sorted.len();
    let line = |(from, to): &(usize, Vec<usize>)| {
        let from = from % count;
        let mut to: Vec<usize> = to.iter().map(|to| to % count).filter(|to| *to > from).collect();
        to.sort_unstable();
        to.dedup();
        Line { from, to, label: "a type".to_owned(), is_stream: from.is_multiple_of(2) }
    };
    let lines: Vec<Line> = lines.iter().map(line).filter(|line| !line.to.is_empty()).collect();
    Picture { title: "a title".to_owned(), things: sorted, lines, frames, stages: Vec::new() }
}

/// The frames around `frame`, outermost first.
fn path(frames: &[Frame], frame: Option<usize>) -> Vec<usize> {
    let mut path: Vec<usize> = std::iter::successors(frame, |number| frames[*number].parent).collect();
    path.reverse();
    path
}

fn overlaps(a: Rect, b: Rect) -> bool {
    a.x + 0.01 < b.x + b.width
        && b.x + 0.01 < a.x + a.width
        && a.y + 0.01 < b.y + b.height
        && b.y + 0.01 < a.y + a.height
}

/// The parts of a piece as rectangles: level, across, level.
fn parts(piece: &Piece) -> [Rect; 3] {
    let rect = |x0: f64, y0: f64, x1: f64, y1: f64| Rect {
        x: x0.min(x1),
        y: y0.min(y1) - 1.0,
        width: (x1 - x0).max(0.0),
        height: (y1 - y0).abs() + 2.0,
    };
    let ((x, y), (end, level)) = (piece.from, piece.to);
    [
        rect(x, y, piece.bend.0, y),
        rect(piece.bend.0, y, piece.bend.1, level),
        rect(piece.bend.1, level, end, level),
    ]
}

fn check(picture: &Picture, laid: &Layout) {
    assert_eq!(laid.things.len(), picture.things.len());
    assert_eq!(laid.frames.len(), picture.frames.len());
    let all = Rect { x: 0.0, y: 0.0, width: laid.width, height: laid.height };
    let holds = |outer: Rect, inner: Rect| {
        inner.x >= outer.x - 0.01
            && inner.y >= outer.y - 0.01
            && inner.x + inner.width <= outer.x + outer.width + 0.01
            && inner.y + inner.height <= outer.y + outer.height + 0.01
    };
    let frame = |number: usize| laid.frames.iter().find(|(frame, _)| *frame == number).unwrap().1;
    for (number, rect) in &laid.things {
        assert!(holds(all, *rect));
        let around = path(&picture.frames, picture.things[*number].frame);
        for (other, place) in &laid.frames {
            assert_eq!(overlaps(*rect, *place), around.contains(other), "n{number} and frame {other}");
            assert!(!around.contains(other) || holds(*place, *rect));
        }
        for (other, place) in laid.things.iter().filter(|(other, _)| other > number) {
            assert!(!overlaps(*rect, *place), "n{number} stands on n{other}");
        }
        for piece in &laid.pieces {
            let touches = parts(piece).into_iter().any(|part| overlaps(part, inner(*rect)));
            assert!(!touches, "{piece:?} runs through n{number} at {rect:?}");
        }
        for (line, x, y) in &laid.labels {
            let text = Rect { x: x - 15.0, y: y - 16.0, width: 30.0, height: 15.0 };
            assert!(!overlaps(text, *rect), "the label of line {line} stands on n{number}");
        }
    }
    for (number, frame_of) in picture.frames.iter().enumerate() {
        assert!(holds(frame_of.parent.map_or(all, frame), frame(number)));
    }
    for (line, x, y) in &laid.labels {
        let text = Rect { x: x - 15.0, y: y - 16.0, width: 30.0, height: 15.0 };
        for piece in laid.pieces.iter().filter(|piece| piece.line != *line) {
            let level = [parts(piece)[0], parts(piece)[2]];
            assert!(!level.into_iter().any(|part| overlaps(part, text)), "{piece:?} runs through a label");
        }
    }
}

/// What lines must not touch of a thing: their ends are on its border.
fn inner(rect: Rect) -> Rect {
    Rect { x: rect.x + 17.0, width: rect.width - 34.0, ..rect }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_stands_or_runs_over_anything(
        frames in prop::collection::vec(0..8usize, 0..5),
        things in prop::collection::vec((0..20usize, 0..8usize), 1..16),
        lines in prop::collection::vec((0..16usize, prop::collection::vec(0..16usize, 1..5)), 0..16),
    ) {
        let picture = picture(&frames, &things, &lines);
        let laid = layout(&picture);
        check(&picture, &laid);
        assert_eq!(super::svg::svg(&picture), super::svg::svg(&picture));
    }
}

/// What control flow will look like: an arm of a choice in a frame, and in it a loop in another.
#[test]
fn frames_stand_in_frames() {
    let thing = |id: &str, shape, name: &str, frame| Thing {
        id: id.to_owned(),
        shape,
        name: name.to_owned(),
        detail: String::new(),
        whole: name.to_owned(),
        stage: None,
        frame,
    };
    let component = Shape::Component { each: false };
    let line = |from, to: &[usize], label: &str| Line {
        from,
        to: to.to_vec(),
        label: label.to_owned(),
        is_stream: label.starts_with("stream"),
    };
    let picture = Picture {
        title: "draw = studio(words) -> picture & more".to_owned(),
        things: vec![
            thing("n0", Shape::End, "words", None),
            thing("n1", component, "classify", None),
            thing("n2", component, "encode", Some(0)),
            thing("n3", component, "denoise", Some(1)),
            thing("n4", component, "step", Some(1)),
            thing("n5", component, "decode", Some(0)),
            thing("n6", component, "\"quick\" <draft>", Some(2)),
            thing("out0", Shape::End, "picture", None),
        ],
        lines: vec![
            line(0, &[1, 2, 4, 6], "text"),
            line(1, &[2, 6], "enum"),
            line(2, &[3], "tensor"),
            line(3, &[4], "tensor"),
            line(4, &[5], "tensor"),
            line(5, &[7], "image"),
            line(6, &[7], "stream<image>"),
        ],
        frames: vec![
            Frame { label: "switch: \"fine\"".to_owned(), parent: None },
            Frame { label: "loop, at most 50 times".to_owned(), parent: Some(0) },
            Frame { label: "switch: else".to_owned(), parent: None },
        ],
        stages: Vec::new(),
    };
    check(&picture, &layout(&picture));
    insta::assert_snapshot!("frames.svg", super::svg::svg(&picture));
    insta::assert_snapshot!("frames.dot", super::dot::dot(&picture));
}
