//! One frame's inside as a layered graph: every link goes from one layer to the next.
//!
//! A thing stands two layers after the last that it reads (longest path), so that there is a layer
//! between for what is written on the line. A line is one trunk: from its maker through its label,
//! a bend in every layer after that, and from there to a reader wherever one stands in the next
//! layer. So a value with many readers is one line that branches, with its type written once.
//!
//! What stands in a frame inside this one is not seen here: such a frame is one element, with the
//! places at which lines enter and leave it given.

use std::collections::{BTreeMap, BTreeSet};

use super::Picture;

/// What an element of a sheet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A thing of the picture.
    Thing(usize),
    /// A frame inside this one.
    Frame(usize),
    /// Where a line comes into this frame.
    Entry(usize),
    /// Where a line leaves this frame.
    Exit(usize),
    /// What is written on a line, just after its maker.
    Label(usize),
    /// Where a line passes a layer.
    Bend(usize),
}

/// An element of a sheet.
#[derive(Clone, Debug)]
pub(super) struct Element {
    pub(super) kind: Kind,
    pub(super) layer: usize,
}

/// A piece of a line between two elements in neighbouring layers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) line: usize,
}

/// One frame's inside.
#[derive(Clone, Debug, Default)]
pub(super) struct Sheet {
    pub(super) elements: Vec<Element>,
    pub(super) links: Vec<Link>,
    /// The elements of each layer, from top to bottom.
    pub(super) layers: Vec<Vec<usize>>,
}

/// Where a thing is, seen from inside a frame.
enum Place {
    Here,
    Inside(usize),
    Outside,
}

/// A line as far as it runs inside one frame.
struct Run {
    line: usize,
    from: usize,
    to: BTreeSet<usize>,
}

impl Sheet {
    /// The inside of `frame` of `picture`, or all of it.
    pub(super) fn new(picture: &Picture, frame: Option<usize>) -> Self {
        let mut sheet = Self::default();
        let mut known = BTreeMap::new();
        for (number, thing) in picture.things.iter().enumerate() {
            if thing.frame == frame {
                sheet.element(&mut known, Kind::Thing(number));
            }
        }
        for (number, child) in picture.frames.iter().enumerate() {
            if child.parent == frame {
                sheet.element(&mut known, Kind::Frame(number));
            }
        }
        let mut runs = Vec::new();
        for (number, line) in picture.lines.iter().enumerate() {
            let mut targets = BTreeSet::new();
            let mut leaves = false;
            for to in &line.to {
                match place(picture, *to, frame) {
                    Place::Here => _ = targets.insert(Kind::Thing(*to)),
                    Place::Inside(child) => _ = targets.insert(Kind::Frame(child)),
                    Place::Outside => leaves = true,
                }
            }
            let from = match place(picture, line.from, frame) {
                Place::Here => Kind::Thing(line.from),
                Place::Inside(child) => Kind::Frame(child),
                Place::Outside => Kind::Entry(number),
            };
            targets.remove(&from);
            if leaves && !matches!(from, Kind::Entry(_)) {
                targets.insert(Kind::Exit(number));
            }
            if !targets.is_empty() {
                let from = sheet.element(&mut known, from);
                let to = targets.into_iter().map(|kind| sheet.element(&mut known, kind)).collect();
                runs.push(Run { line: number, from, to });
            }
        }
        sheet.choose_layers(&runs);
        sheet.lay_trunks(&runs);
        sheet.fill_layers();
        sheet
    }

    fn element(&mut self, known: &mut BTreeMap<Kind, usize>, kind: Kind) -> usize {
        *known.entry(kind).or_insert_with(|| {
            self.elements.push(Element { kind, layer: 0 });
            self.elements.len() - 1
        })
    }

    /// Longest paths, each step two layers. What nothing is made of stands just before its first
    /// reader, except for lines that come in from outside, which begin at the border.
    fn choose_layers(&mut self, runs: &[Run]) {
        let count = self.elements.len();
        let mut after: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); count];
        let mut waits = vec![0usize; count];
        for run in runs {
            for to in &run.to {
                if after[run.from].insert(*to) {
                    waits[*to] += 1;
                }
            }
        }
        let is_source: Vec<bool> = waits.iter().map(|waits| *waits == 0).collect();
        let mut ready: BTreeSet<usize> = (0..count).filter(|element| waits[*element] == 0).collect();
        while let Some(element) = ready.pop_first() {
            for to in &after[element] {
                self.elements[*to].layer = self.elements[*to].layer.max(self.elements[element].layer + 2);
                waits[*to] -= 1;
                if waits[*to] == 0 {
                    ready.insert(*to);
                }
            }
        }
        for element in 0..count {
            let reader = after[element].iter().map(|to| self.elements[*to].layer).min();
            if let (true, Kind::Thing(_) | Kind::Frame(_), Some(reader)) =
                (is_source[element], self.elements[element].kind, reader)
            {
                self.elements[element].layer = reader.saturating_sub(2);
            }
        }
        let last = self.elements.iter().map(|element| element.layer).max().unwrap_or(0);
        for element in &mut self.elements {
            if matches!(element.kind, Kind::Exit(_)) {
                element.layer = last;
            }
        }
    }

    /// Labels, bends and links. A link that would go back has no place in a layered drawing: nodes
    /// stand in an order that respects what they read, so there is none.
    fn lay_trunks(&mut self, runs: &[Run]) {
        for run in runs {
            let start = self.elements[run.from].layer;
            let mut readers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for to in &run.to {
                readers.entry(self.elements[*to].layer).or_default().push(*to);
            }
            let Some(last) = readers.keys().next_back().copied() else { continue };
            let mut trunk = run.from;
            for layer in start + 1..last {
                let is_label = layer == start + 1 && !matches!(self.elements[run.from].kind, Kind::Entry(_));
                let kind = if is_label { Kind::Label(run.line) } else { Kind::Bend(run.line) };
                let next = self.elements.len();
                self.elements.push(Element { kind, layer });
                self.links.push(Link { from: trunk, to: next, line: run.line });
                trunk = next;
                for to in readers.remove(&(layer + 1)).into_iter().flatten() {
                    self.links.push(Link { from: trunk, to, line: run.line });
                }
            }
        }
    }

    fn fill_layers(&mut self) {
        let count = self.elements.iter().map(|element| element.layer + 1).max().unwrap_or(0);
        self.layers = vec![Vec::new(); count];
        for (number, element) in self.elements.iter().enumerate() {
            self.layers[element.layer].push(number);
        }
    }
}

/// Where `thing` is, seen from inside `frame`.
fn place(picture: &Picture, thing: usize, frame: Option<usize>) -> Place {
    let mut at = picture.things[thing].frame;
    if at == frame {
        return Place::Here;
    }
    while let Some(number) = at {
        let parent = picture.frames[number].parent;
        if parent == frame {
            return Place::Inside(number);
        }
        at = parent;
    }
    Place::Outside
}
