//! Any text is read as a plan or refused; one that is read prints, and its text is a fixed point or
//! is refused by P9.
#![no_main]

use corn_plan::Plan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Plan::parse(text) {
        Ok(plan) => {
            let printed = plan.to_text();
            if let Ok(again) = Plan::parse(&printed)
                && again == plan
            {
                assert_eq!(again.to_text(), printed, "printing is stable");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
