//! The order of a sheet's layers from top to bottom: few crossings.
//!
//! The barycentre heuristic: layer by layer, forth and back, each element goes to the mean place
//! of what it is linked to in the layer before, as in the method of Sugiyama, Tagawa and Toda
//! ("Methods for Visual Understanding of Hierarchical System Structures", 1981). The best order
//! that was seen is kept. Ties keep the order of the program, so that equal pictures are equal.

use super::sheet::Sheet;

/// Steps that are spent on a sheet, at most: elements and links times sweeps.
const BUDGET: usize = 4_000_000;

/// Orders the layers of `sheet`.
pub(super) fn order(sheet: &mut Sheet) {
    let count = sheet.elements.len();
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); count];
    for link in &sheet.links {
        before[link.to].push(link.from);
        after[link.from].push(link.to);
    }
    let sweeps = (BUDGET / (count + sheet.links.len() + 1)).clamp(2, 24);
    let mut places = vec![0; count];
    settle(&sheet.layers, &mut places);
    let mut best = (crossings(&sheet.layers, &after, &places), sheet.layers.clone());
    for sweep in 0..sweeps {
        let (neighbours, forth) = if sweep % 2 == 0 { (&before, true) } else { (&after, false) };
        let layers = sheet.layers.len();
        for step in 0..layers {
            let layer = if forth { step } else { layers - 1 - step };
            let mean = |element: &usize| {
                let linked = &neighbours[*element];
                if linked.is_empty() {
                    return (places[*element] as f64, *element);
                }
                let sum: f64 = linked.iter().map(|other| places[*other] as f64).sum();
                (sum / linked.len() as f64, *element)
            };
            let mut means: Vec<(f64, usize)> = sheet.layers[layer].iter().map(mean).collect();
            means.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (place, (_, element)) in means.into_iter().enumerate() {
                sheet.layers[layer][place] = element;
                places[element] = place;
            }
        }
        let found = crossings(&sheet.layers, &after, &places);
        if found < best.0 {
            best = (found, sheet.layers.clone());
        }
        if best.0 == 0 {
            break;
        }
    }
    sheet.layers = best.1;
}

fn settle(layers: &[Vec<usize>], places: &mut [usize]) {
    for layer in layers {
        for (place, element) in layer.iter().enumerate() {
            places[*element] = place;
        }
    }
}

/// Pairs of links that cross, over all layers.
fn crossings(layers: &[Vec<usize>], after: &[Vec<usize>], places: &[usize]) -> usize {
    let pairs = layers.windows(2).map(|pair| {
        let mut ends = Vec::new();
        for element in &pair[0] {
            let mut targets: Vec<usize> = after[*element].iter().map(|to| places[*to]).collect();
            targets.sort_unstable();
            ends.extend(targets);
        }
        inversions(&ends, pair[1].len())
    });
    pairs.sum()
}

/// Pairs of `ends` in the wrong order, counted with a Fenwick tree over places below `count`.
fn inversions(ends: &[usize], count: usize) -> usize {
    let mut tree = vec![0usize; count + 1];
    let mut found = 0;
    for (seen, end) in ends.iter().enumerate() {
        let mut not_below = seen;
        let mut at = end + 1;
        while at > 0 {
            not_below -= tree[at];
            at &= at - 1;
        }
        found += not_below;
        let mut at = end + 1;
        while at <= count {
            tree[at] += 1;
            at += at & at.wrapping_neg();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::inversions;

    #[test]
    fn crossings_are_pairs_in_the_wrong_order() {
        assert_eq!(inversions(&[0, 1, 2], 3), 0);
        assert_eq!(inversions(&[2, 1, 0], 3), 3);
        assert_eq!(inversions(&[1, 1, 0, 2, 0], 3), 5);
        assert_eq!(inversions(&[], 0), 0);
    }
}
