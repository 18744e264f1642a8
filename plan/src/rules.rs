//! What each rule of the verifier asks, for who is told that a plan breaks one.
//!
//! `docs/PLAN.md` has the same table; a test holds the two together.

/// Each rule and what must hold.
pub const RULES: [(&str, &str); 10] = [
    ("P1", "each value is written once in each program of a recording, and by one stage's work only"),
    (
        "P2",
        "it is read only where it was written, received or taken as input, and never after its free; \
         inputs are taken and outputs sent outside blocks. What a loop's `until` names is looked at when \
         it is made, so a round may free it",
    ),
    (
        "P3",
        "sends and receives pair one to one, in the same case of the same block, by a transport that \
         connects the two stages; a block is the same on all its stages",
    ),
    (
        "P4",
        "no recording can stall: replayed symbolically with its windows, on every way through its \
         branches, every step ends; with more than 64 ways, on those that take every two cases of two \
         branches together (up to 1,024 such pairs; beyond, on those that take each case)",
    ),
    (
        "P5",
        "ids exist, each component is in one stage; its workers have the GPUs that it needs, all of which \
         the stage spreads over, and a GPU has one owner; what a component remembers is an input of it; \
         operands and results have the ports' types, streams come from components and adaptors only",
    ),
    (
        "P6",
        "the memory table and the places in the arenas are right, and on every worker, and on each of its \
         GPUs, components + inflight × request fit",
    ),
    (
        "P7",
        "no two recordings answer one request; what is served exists, once, and has the types of its \
         endpoint",
    ),
    (
        "P8",
        "every dimension, window, batch, queue and loop has a bound, no limit is nothing, no more is \
         served than is admitted, and no product overflows",
    ),
    ("P9", "print then parse is the identity"),
    (
        "P10",
        "each value is freed exactly once on every path of every program that holds it, after its last \
         reader, or handed on by the case or round that made it",
    ),
];

#[cfg(test)]
mod tests {
    use super::RULES;

    #[test]
    fn the_page_says_the_same() {
        let page = include_str!("../../docs/PLAN.md");
        for (rule, text) in RULES {
            assert!(page.contains(&format!("| {rule} | {text} |")), "docs/PLAN.md has another {rule}");
        }
    }
}
