//! Any plan that can be read is verified or refused with a rule; one that is verified is read back
//! as it is, with the same hash.
//!
//! The memory table follows from the rest and would hardly ever be right, so it is put right here.
#![no_main]

use corn_plan::{Plan, verify};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(mut plan) = Plan::parse(text) else { return };
    plan.lay_out();
    match verify(plan) {
        Ok(verified) => {
            let read = Plan::parse(&verified.plan().to_text());
            assert_eq!(read.as_ref().map(Plan::hash), Ok(verified.hash()), "its text is its identity");
        }
        Err(violations) => assert!(violations.iter().all(|found| found.rule.starts_with('P')), "{violations:?}"),
    }
});
