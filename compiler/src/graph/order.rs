//! Orders, cycles and reachability: of declarations and files by `petgraph`; the nodes of a graph
//! stand in an order already.

use std::collections::BTreeSet;

use corn_plan::{IdVec, ValueId};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::{Graph, NodeId, NodeKind};

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
    let members: BTreeSet<usize> = group.iter().copied().collect();
    let mut passed = BTreeSet::from([*first]);
    let mut path = vec![*first];
    let mut here = *first;
    loop {
        let fresh = needs[here].iter().find(|thing| members.contains(thing) && !passed.contains(thing));
        match fresh {
            Some(next) if !needs[here].contains(first) || here == *first => {
                path.push(*next);
                passed.insert(*next);
                here = *next;
            }
            _ => return path,
        }
    }
}

impl Graph {
    /// The nodes that must run to make `values`, where only operands that `exists` says are read.
    /// Operands are made before they are read, so one walk from the last node to the first finds them.
    pub fn needed_for(
        &self,
        values: impl IntoIterator<Item = ValueId>,
        exists: impl Fn(ValueId) -> bool,
    ) -> IdVec<NodeId, bool> {
        let mut needed: IdVec<NodeId, bool> = self.nodes.iter().map(|_| false).collect();
        let mut wanted: IdVec<ValueId, bool> = self.values.iter().map(|_| false).collect();
        let mut bodies = BTreeSet::new();
        for value in values {
            wanted[value] = true;
            needed[self.values[value].node] = true;
        }
        for (id, node) in self.nodes.enumerate().rev() {
            // A loop begins even if no round reads what it begins with.
            needed[id] |= matches!(node.kind, NodeKind::Enter { scope, .. } if bodies.contains(&scope));
            if !needed[id] {
                continue;
            }
            if let NodeKind::Loop { scope, .. } = node.kind {
                bodies.insert(scope);
            }
            let read: Vec<ValueId> =
                self.read_for(id, |value| wanted[value]).map(|read| read.value).collect();
            for value in read.into_iter().filter(|value| exists(*value)) {
                wanted[value] = true;
                needed[self.values[value].node] = true;
            }
        }
        needed
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
