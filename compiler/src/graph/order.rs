//! Orders, cycles and reachability, by `petgraph`.

use std::collections::BTreeSet;

use corn_plan::ValueId;
use corn_plan::ids::Id;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::Dfs;

use super::{Graph, NodeId};

/// Groups of things that need each other, what is needed before what needs it. A group of one
/// that does not need itself is no cycle; [`is_cycle`] tells.
///
/// `needs[i]` lists what thing `i` needs.
pub fn groups(needs: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let mut graph = DiGraph::<(), ()>::new();
    let ids: Vec<NodeIndex> = needs.iter().map(|_| graph.add_node(())).collect();
    for (from, targets) in needs.iter().enumerate() {
        for to in targets {
            graph.add_edge(ids[from], ids[*to], ());
        }
    }
    let mut groups: Vec<Vec<usize>> = kosaraju_scc(&graph)
        .into_iter()
        .map(|group| group.into_iter().map(NodeIndex::index).collect())
        .collect();
    for group in &mut groups {
        group.sort_unstable();
    }
    in_reading_order(&groups, needs)
}

/// `groups` with those that a group needs before it, and apart from that in order of their things.
fn in_reading_order(groups: &[Vec<usize>], needs: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let mut group_of = vec![0; needs.len()];
    for (number, group) in groups.iter().enumerate() {
        for thing in group {
            group_of[*thing] = number;
        }
    }
    let mut placed = vec![false; groups.len()];
    let mut entered = vec![false; groups.len()];
    let mut ordered = Vec::new();
    for start in 0..needs.len() {
        let mut left = vec![group_of[start]];
        while let Some(number) = left.pop() {
            if placed[number] {
                continue;
            }
            if std::mem::replace(&mut entered[number], true) {
                placed[number] = true;
                ordered.push(groups[number].clone());
                continue;
            }
            left.push(number);
            let needed: BTreeSet<usize> =
                groups[number].iter().flat_map(|thing| &needs[*thing]).copied().collect();
            let needed = needed.into_iter().rev().map(|thing| group_of[thing]);
            left.extend(needed.filter(|needed| !entered[*needed]));
        }
    }
    ordered
}

/// Whether the things of `group` need each other.
pub fn is_cycle(group: &[usize], needs: &[BTreeSet<usize>]) -> bool {
    group.len() > 1 || group.iter().any(|thing| needs[*thing].contains(thing))
}

/// A way around in `group`, from its first thing back to a thing that needs it.
pub fn around(group: &[usize], needs: &[BTreeSet<usize>]) -> Vec<usize> {
    let Some(first) = group.first() else { return Vec::new() };
    let mut path = vec![*first];
    let mut here = *first;
    loop {
        let inside = |thing: &&usize| group.contains(thing);
        let fresh = needs[here].iter().filter(inside).find(|thing| !path.contains(thing));
        match fresh {
            Some(next) if !needs[here].contains(first) || here == *first => {
                path.push(*next);
                here = *next;
            }
            _ => return path,
        }
    }
}

impl Graph {
    /// The nodes that must run to make `values`.
    pub fn needed_for(&self, values: impl IntoIterator<Item = ValueId>) -> BTreeSet<NodeId> {
        let graph = self.reversed();
        let mut dfs = Dfs::empty(&graph);
        let mut needed = BTreeSet::new();
        for value in values {
            dfs.move_to(NodeIndex::new(self.values[value].node.index()));
            while let Some(node) = dfs.next(&graph) {
                needed.insert(NodeId::from_index(node.index()));
            }
        }
        needed
    }

    /// Whether no node waits for itself.
    pub fn is_acyclic(&self) -> bool {
        !petgraph::algo::is_cyclic_directed(&self.reversed())
    }

    /// Edges from each node to those that make its operands.
    fn reversed(&self) -> DiGraph<(), ()> {
        let mut graph = DiGraph::new();
        let ids: Vec<NodeIndex> = self.nodes.iter().map(|_| graph.add_node(())).collect();
        for (id, node) in self.nodes.enumerate() {
            for operand in &node.operands {
                let maker = self.values[operand.value].node;
                graph.update_edge(ids[id.index()], ids[maker.index()], ());
            }
        }
        graph
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(edges: &[&[usize]]) -> Vec<BTreeSet<usize>> {
        edges.iter().map(|targets| targets.iter().copied().collect()).collect()
    }

    #[test]
    fn what_is_needed_comes_first() {
        let needs = needs(&[&[1, 2], &[2], &[]]);
        assert_eq!(groups(&needs), [vec![2], vec![1], vec![0]]);
        assert!(groups(&needs).iter().all(|group| !is_cycle(group, &needs)));
    }

    #[test]
    fn a_cycle_is_one_group_and_has_a_way_around() {
        let needs = needs(&[&[1], &[2], &[0], &[3]]);
        let cycles: Vec<_> = groups(&needs).into_iter().filter(|group| is_cycle(group, &needs)).collect();
        assert_eq!(cycles.len(), 2);
        assert!(cycles.contains(&vec![3]));
        assert_eq!(around(&[0, 1, 2], &needs), [0, 1, 2]);
        assert_eq!(around(&[3], &needs), [3]);
    }
}
