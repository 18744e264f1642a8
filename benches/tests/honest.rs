//! What the generator promises: every route compiles, no two are alike, together they have every node.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::collections::BTreeSet;

use corn_benches::{Shape, compiled, generated};

const ROUTES: usize = 64;

#[test]
fn sixty_four_recordings_that_differ_have_every_node_between_them() {
    for shape in [Shape::Spread, Shape::Dense] {
        let program = generated(1_000, ROUTES, shape);
        assert!((1_000..1_100).contains(&program.nodes), "{shape:?}: {} nodes", program.nodes);
        let (made, _) = compiled(&program.text);
        let plan = made.plan.as_ref().unwrap_or_else(|| panic!("{}", made.render(false))).plan();
        assert_eq!(plan.recordings.len(), ROUTES);

        let values = |recording: &corn_plan::Recording| -> BTreeSet<String> {
            recording.values.iter().map(|value| value.name.clone()).collect()
        };
        let each: Vec<BTreeSet<String>> = plan.recordings.iter().map(values).collect();
        let distinct: BTreeSet<&BTreeSet<String>> = each.iter().collect();
        assert_eq!(distinct.len(), ROUTES, "{shape:?}: two recordings are alike");

        let together: BTreeSet<&String> = each.iter().flatten().collect();
        let lets = program.text.lines().filter_map(|line| line.strip_prefix("    let "));
        let missing: Vec<&str> = lets
            .filter_map(|line| line.split(' ').next())
            .filter(|name| *name != "clean" && !together.contains(&(*name).to_owned()))
            .collect();
        assert_eq!(missing, Vec::<&str>::new(), "{shape:?}: nodes on no route");

        let specialized = made.specialized.as_ref().unwrap();
        let largest = specialized.iter().map(|one| one.graph.nodes.len()).max().unwrap();
        let smallest = specialized.iter().map(|one| one.graph.nodes.len()).min().unwrap();
        match shape {
            Shape::Spread => assert!(smallest * 3 < largest, "{smallest} to {largest} nodes"),
            Shape::Dense => assert!(smallest > 500, "the smallest route has {smallest} nodes"),
        }
        let kinds: BTreeSet<&str> =
            plan.components.iter().map(|component| component.entry.as_str()).collect();
        assert_eq!(kinds.len(), 6, "{kinds:?}");
    }
}
