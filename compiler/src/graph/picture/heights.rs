//! The height of every element: lines as straight as the order of the layers allows.
//!
//! Each element wants to be where its links are level. A layer as a whole takes the places that
//! differ least from what its elements want, weighted, with the order and the distances kept: an
//! isotonic regression, solved exactly by pooling neighbours that would overlap. Sweeps over the
//! layers, forth and back, let the places settle.

use super::sheet::{Kind, Sheet};

/// Free space between neighbours of one layer, in pixels.
const APART: f64 = 14.0;
/// Sweeps over all layers: as many as change what can be seen, and for large sheets as many as
/// take this many steps.
const SWEEPS: (usize, usize) = (16, 400);
const BUDGET: usize = 8_000_000;

/// An element of the other layer that a link ties to this one: there at `other + offset`.
struct Tie {
    other: usize,
    offset: f64,
    weight: f64,
}

/// The middle of each element, from `heights` of the elements and, for each link, how far from the
/// middle of its two elements it begins and ends. The topmost border is at 0.
pub(super) fn middles(sheet: &Sheet, heights: &[f64], ends: &[(f64, f64)]) -> Vec<f64> {
    let count = sheet.elements.len();
    let mut before: Vec<Vec<Tie>> = (0..count).map(|_| Vec::new()).collect();
    let mut after: Vec<Vec<Tie>> = (0..count).map(|_| Vec::new()).collect();
    for (link, (leaves, arrives)) in sheet.links.iter().zip(ends) {
        let weight = weight(sheet, link.from) * weight(sheet, link.to);
        before[link.to].push(Tie { other: link.from, offset: leaves - arrives, weight });
        after[link.from].push(Tie { other: link.to, offset: arrives - leaves, weight });
    }
    let mut middles = vec![0.0; count];
    for layer in &sheet.layers {
        place(layer, heights, &mut middles, &vec![(0.0, 1.0); layer.len()]);
    }
    let layers = sheet.layers.len();
    let sweeps = (BUDGET / (count + sheet.links.len() + 1)).clamp(SWEEPS.0, SWEEPS.1);
    for sweep in 0..sweeps {
        // At the end both sides count, so that the middle of a line does not hang after its ends.
        let both = sweep >= SWEEPS.0 / 2;
        for step in 0..layers {
            let forth = sweep % 2 == 0;
            let layer = &sheet.layers[if forth { step } else { layers - 1 - step }];
            let (near, far) = if forth { (&before, &after) } else { (&after, &before) };
            let want = |element: &usize| {
                let ties = near[*element].iter().chain(far[*element].iter().filter(|_| both));
                let (sum, total) = ties.fold((0.0, 0.0), |(sum, total), tie| {
                    (sum + tie.weight * (middles[tie.other] + tie.offset), total + tie.weight)
                });
                // What is tied to nothing on this side stays, but gives way.
                if total > 0.0 { (sum / total, total) } else { (middles[*element], 0.1) }
            };
            let wants: Vec<(f64, f64)> = layer.iter().map(want).collect();
            place(layer, heights, &mut middles, &wants);
        }
    }
    let top = (0..count).map(|element| middles[element] - heights[element] / 2.0).fold(f64::MAX, f64::min);
    middles.iter().map(|middle| middle - top).collect()
}

/// A long line is to be straight before all else.
fn weight(sheet: &Sheet, element: usize) -> f64 {
    match sheet.elements[element].kind {
        Kind::Bend(_) => 4.0,
        Kind::Label(_) => 2.0,
        _ => 1.0,
    }
}

/// Elements of a layer that touch each other: they move as one.
struct Pool {
    /// The sum of what each wants of the first, weighted.
    wants: f64,
    weight: f64,
    count: usize,
}

/// Sets the places of one layer; `wants` is where each element wants to be and how much.
fn place(layer: &[usize], heights: &[f64], middles: &mut [f64], wants: &[(f64, f64)]) {
    // With each element's place measured from the one above, "no overlap" is "not less than before".
    let mut shifts = Vec::with_capacity(layer.len());
    let mut pools: Vec<Pool> = Vec::new();
    let mut shift = 0.0;
    for (place, element) in layer.iter().enumerate() {
        if place > 0 {
            shift += f64::midpoint(heights[layer[place - 1]], heights[*element]) + APART;
        }
        shifts.push(shift);
        let (at, weight) = wants[place];
        let mut pool = Pool { wants: (at - shift) * weight, weight, count: 1 };
        while let Some(above) = pools.pop_if(|above| above.wants / above.weight >= pool.wants / pool.weight) {
            pool.wants += above.wants;
            pool.weight += above.weight;
            pool.count += above.count;
        }
        pools.push(pool);
    }
    let mut next = 0;
    for pool in pools {
        let first = pool.wants / pool.weight;
        for _ in 0..pool.count {
            middles[layer[next]] = first + shifts[next];
            next += 1;
        }
    }
}
