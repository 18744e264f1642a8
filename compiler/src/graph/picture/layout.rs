//! Where everything in a picture stands, in pixels.
//!
//! A frame's inside is laid out as a sheet of its own ([`Sheet`]), innermost first, and then stands
//! in its parent's sheet as one element. Each layer is a column. Within a column a line runs level,
//! in a place of its own; only in the gap between two columns, where nothing stands, it bends. So
//! no line runs through a thing or a text, however crowded the picture is.

use std::collections::BTreeMap;

use super::heights::middles;
use super::measure::width;
use super::order::order;
use super::sheet::{Kind, Sheet};
use super::{Picture, Shape, Thing};

/// Size of names, in pixels.
pub(super) const NAME: f64 = 13.0;
/// Size of everything else that is written.
pub(super) const SMALL: f64 = 11.0;
/// How much wider bold is than the regular face.
pub(super) const BOLD: f64 = 1.1;
/// How far the pointed sides of an adaptor reach.
pub(super) const POINT: f64 = 12.0;
/// Radius of the corners of what a request brings or gets.
pub(super) const ROUND: f64 = 16.0;
/// Free space in a frame: at its sides, and above for its label.
const FRAME: (f64, f64) = (18.0, 34.0);
/// Least gap between two columns, and the most that is added for steep lines.
const GAP: (f64, f64) = (24.0, 56.0);
/// How far before a column lines are level again, so that an arrow's head stands straight.
const LEVEL: f64 = 9.0;
/// Height of a line's label: the text stands above the line.
const LABEL: f64 = 2.0 * SMALL + 8.0;
/// Distance of two lines at the side of a thing.
const PORT: f64 = 18.0;

/// A place and an extent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A piece of a line: level to `bend.0`, over to the other height at `bend.1`, level to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) line: usize,
    pub(super) from: (f64, f64),
    pub(super) bend: (f64, f64),
    pub(super) to: (f64, f64),
    /// Whether a thing reads it here.
    pub(super) is_read: bool,
}

/// A picture or the inside of a frame, laid out; its upper left corner is at 0, 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    /// Each thing and its place.
    pub(super) things: Vec<(usize, Rect)>,
    /// Each frame and its place, outer before inner.
    pub(super) frames: Vec<(usize, Rect)>,
    pub(super) pieces: Vec<Piece>,
    /// The line, and the middle of what is written on it.
    pub(super) labels: Vec<(usize, f64, f64)>,
    /// The heights at which lines come in and leave.
    entries: BTreeMap<usize, f64>,
    exits: BTreeMap<usize, f64>,
}

/// All of `picture`.
pub(super) fn layout(picture: &Picture) -> Layout {
    let mut inner: BTreeMap<usize, Layout> = BTreeMap::new();
    for frame in (0..picture.frames.len()).rev() {
        let laid = inside(picture, Some(frame), &mut inner);
        inner.insert(frame, laid);
    }
    inside(picture, None, &mut inner)
}

/// The extent of a thing at whose busier side `ports` lines end.
fn extent(thing: &Thing, ports: usize) -> (f64, f64) {
    let text = (width(&thing.name, NAME) * BOLD).max(width(&thing.detail, SMALL));
    let sides = if thing.shape == Shape::Adaptor { 2.0 * POINT } else { 0.0 };
    let lines: f64 = if thing.detail.is_empty() { 32.0 } else { 46.0 };
    (text + 24.0 + sides, lines.max(PORT * ports as f64 + 4.0))
}

/// The inside of `frame`; takes the frames in it, which are laid out already, out of `inner`.
fn inside(picture: &Picture, frame: Option<usize>, inner: &mut BTreeMap<usize, Layout>) -> Layout {
    let mut sheet = Sheet::new(picture, frame);
    order(&mut sheet);
    let mut ports = vec![(0usize, 0usize); sheet.elements.len()];
    for link in &sheet.links {
        ports[link.from].1 += 1;
        ports[link.to].0 += 1;
    }
    let sizes = sheet.elements.iter().zip(&ports).map(|(element, ports)| match element.kind {
        Kind::Thing(thing) => extent(&picture.things[thing], ports.0.max(ports.1)),
        Kind::Frame(frame) => inner.get(&frame).map_or((0.0, 0.0), |laid| (laid.width, laid.height)),
        Kind::Label(line) => (width(&picture.lines[line].label, SMALL) + 8.0, LABEL),
        Kind::Entry(_) | Kind::Exit(_) | Kind::Bend(_) => (0.0, 10.0),
    });
    let sizes: Vec<(f64, f64)> = sizes.collect();
    let heights: Vec<f64> = sizes.iter().map(|size| size.1).collect();
    let ends = ends(&sheet, &heights, inner);
    let middles = middles(&sheet, &heights, &ends);
    Page { picture, sheet: &sheet, sizes: &sizes, ends: &ends, middles: &middles }.lay(frame, inner)
}

/// How far from the middles of its elements each link begins and ends.
fn ends(sheet: &Sheet, heights: &[f64], inner: &BTreeMap<usize, Layout>) -> Vec<(f64, f64)> {
    let mut places = vec![0; sheet.elements.len()];
    for layer in &sheet.layers {
        for (place, element) in layer.iter().enumerate() {
            places[*element] = place;
        }
    }
    let mut leaving: Vec<Vec<usize>> = vec![Vec::new(); sheet.elements.len()];
    let mut arriving = leaving.clone();
    for (number, link) in sheet.links.iter().enumerate() {
        leaving[link.from].push(number);
        arriving[link.to].push(number);
    }
    let mut ends = vec![(0.0, 0.0); sheet.links.len()];
    for (element, what) in sheet.elements.iter().enumerate() {
        let (leaving, arriving) = (&mut leaving[element], &mut arriving[element]);
        match what.kind {
            Kind::Thing(_) => {
                leaving.sort_by_key(|link| places[sheet.links[*link].to]);
                arriving.sort_by_key(|link| places[sheet.links[*link].from]);
                let spread = |place: usize, of: usize| (place as f64 - (of as f64 - 1.0) / 2.0) * PORT;
                for (place, link) in leaving.iter().enumerate() {
                    ends[*link].0 = spread(place, leaving.len());
                }
                for (place, link) in arriving.iter().enumerate() {
                    ends[*link].1 = spread(place, arriving.len());
                }
            }
            Kind::Frame(frame) => {
                let Some(laid) = inner.get(&frame) else { continue };
                let offset = |at: Option<&f64>| at.map_or(0.0, |at| at - heights[element] / 2.0);
                for link in leaving {
                    ends[*link].0 = offset(laid.exits.get(&sheet.links[*link].line));
                }
                for link in arriving {
                    ends[*link].1 = offset(laid.entries.get(&sheet.links[*link].line));
                }
            }
            _ => {}
        }
    }
    ends
}

/// A sheet with the heights of its elements: all that is left is to walk over its columns.
struct Page<'a> {
    picture: &'a Picture,
    sheet: &'a Sheet,
    sizes: &'a [(f64, f64)],
    ends: &'a [(f64, f64)],
    middles: &'a [f64],
}

impl Page<'_> {
    fn lay(&self, frame: Option<usize>, inner: &mut BTreeMap<usize, Layout>) -> Layout {
        let (side, above) = if frame.is_some() { FRAME } else { (0.0, 0.0) };
        let (columns, right) = self.columns(side);
        let label = frame.map_or(0.0, |frame| width(&self.picture.frames[frame].label, SMALL) * BOLD + 24.0);
        let bottoms = self.middles.iter().zip(self.sizes).map(|(middle, size)| middle + size.1 / 2.0);
        let mut laid = Layout {
            width: (right + side).max(label),
            height: above + bottoms.fold(0.0, f64::max) + side,
            ..Layout::default()
        };
        for (number, element) in self.sheet.elements.iter().enumerate() {
            let (wide, high) = self.sizes[number];
            let (left, column) = columns[element.layer];
            let rect = Rect {
                x: left + (column - wide) / 2.0,
                y: above + self.middles[number] - high / 2.0,
                width: wide,
                height: high,
            };
            let middle = above + self.middles[number];
            match element.kind {
                Kind::Thing(thing) => laid.things.push((thing, rect)),
                Kind::Frame(frame) => {
                    laid.frames.push((frame, rect));
                    laid.take(inner.remove(&frame).unwrap_or_default(), rect.x, rect.y);
                }
                Kind::Entry(line) => _ = laid.entries.insert(line, middle),
                Kind::Exit(line) => _ = laid.exits.insert(line, middle),
                Kind::Label(line) => laid.labels.push((line, left + column / 2.0, middle)),
                Kind::Bend(_) => {}
            }
        }
        self.draw_lines(&columns, above, &mut laid);
        laid
    }

    /// The left side and the width of each column, and where the last ends.
    fn columns(&self, side: f64) -> (Vec<(f64, f64)>, f64) {
        let mut steep = vec![0.0f64; self.sheet.layers.len()];
        for (link, (leaves, arrives)) in self.sheet.links.iter().zip(self.ends) {
            let rise = (self.middles[link.from] + leaves - self.middles[link.to] - arrives).abs();
            let layer = self.sheet.elements[link.from].layer;
            steep[layer] = steep[layer].max(rise);
        }
        let mut columns = Vec::with_capacity(steep.len());
        let mut x = side;
        let mut right = side;
        for (layer, steep) in self.sheet.layers.iter().zip(steep) {
            let wide = layer.iter().map(|element| self.sizes[*element].0).fold(0.0, f64::max);
            columns.push((x, wide));
            right = x + wide;
            x = right + GAP.0 + LEVEL + (steep / 5.0).min(GAP.1);
        }
        (columns, right)
    }

    fn draw_lines(&self, columns: &[(f64, f64)], above: f64, laid: &mut Layout) {
        for (link, (leaves, arrives)) in self.sheet.links.iter().zip(self.ends) {
            let (from, to) = (&self.sheet.elements[link.from], &self.sheet.elements[link.to]);
            let (start, end) = (columns[from.layer], columns[to.layer]);
            let begins = match from.kind {
                Kind::Entry(_) => 0.0,
                Kind::Label(_) | Kind::Bend(_) => start.0 + start.1 / 2.0,
                _ => start.0 + f64::midpoint(start.1, self.sizes[link.from].0),
            };
            let stops = match to.kind {
                Kind::Exit(_) => laid.width,
                Kind::Label(_) | Kind::Bend(_) => end.0 + end.1 / 2.0,
                _ => end.0 + (end.1 - self.sizes[link.to].0) / 2.0,
            };
            laid.pieces.push(Piece {
                line: link.line,
                from: (begins - self.inset(link.from, *leaves), above + self.middles[link.from] + leaves),
                bend: (start.0 + start.1, end.0 - LEVEL),
                to: (stops + self.inset(link.to, *arrives), above + self.middles[link.to] + arrives),
                is_read: matches!(to.kind, Kind::Thing(_)),
            });
        }
    }

    /// How far the border of a thing is inside its place, `offset` from its middle.
    fn inset(&self, element: usize, offset: f64) -> f64 {
        let Kind::Thing(thing) = self.sheet.elements[element].kind else { return 0.0 };
        let half = self.sizes[element].1 / 2.0;
        let offset = offset.abs().min(half);
        match self.picture.things[thing].shape {
            Shape::Adaptor => POINT * offset / half,
            Shape::End | Shape::Constant => {
                let round = ROUND.min(half);
                let beyond = (offset - (half - round)).max(0.0);
                round - (round * round - beyond * beyond).max(0.0).sqrt()
            }
            Shape::Component { .. } => 0.0,
        }
    }
}

impl Layout {
    /// Takes in what stands in a frame whose upper left corner is at `x`, `y`.
    fn take(&mut self, inner: Self, x: f64, y: f64) {
        let moved = |rect: Rect| Rect { x: rect.x + x, y: rect.y + y, ..rect };
        let shifted = |(a, b): (f64, f64)| (a + x, b + y);
        self.things.extend(inner.things.into_iter().map(|(thing, rect)| (thing, moved(rect))));
        self.frames.extend(inner.frames.into_iter().map(|(frame, rect)| (frame, moved(rect))));
        self.labels.extend(inner.labels.into_iter().map(|(line, a, b)| (line, a + x, b + y)));
        self.pieces.extend(inner.pieces.into_iter().map(|piece| Piece {
            from: shifted(piece.from),
            bend: (piece.bend.0 + x, piece.bend.1 + x),
            to: shifted(piece.to),
            ..piece
        }));
    }
}
