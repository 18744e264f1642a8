//! The models of the standard library: their graphs route by route, and their plans on one GPU and on eight.
//! What each test shows has its id in the acceptance list: R1 to R8, S1, S2.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod harness;

use std::fs;

use corn_compiler::{Compilation, Emit};
use corn_plan::control::all_steps;
use corn_plan::{Adaptor, Literal, Modality, Plan, Recording, Run, Step};
use harness::{compile_text, programs, stdlib, stem, tests};

fn compiled(name: &str) -> Compilation {
    let path = tests().join("cases/models").join(format!("{name}.corn"));
    let compilation = compile_text(&format!("{name}.corn"), &fs::read_to_string(path).unwrap());
    assert!(!compilation.has_errors(), "{name} compiles:\n{}", compilation.render(false));
    compilation
}

fn plan(compilation: &Compilation) -> &Plan {
    compilation.plan.as_ref().expect("it compiles").plan()
}

/// How many components of `kind` are deployed.
fn deployed(plan: &Plan, kind: &str) -> usize {
    plan.components.iter().filter(|one| one.kind == kind).count()
}

fn steps(recording: &Recording) -> Vec<&Step> {
    recording.programs.iter().flat_map(|program| all_steps(&program.steps)).collect()
}

fn runs(recording: &Recording) -> Vec<&Run> {
    let runs = steps(recording).into_iter().filter_map(|step| match step {
        Step::Run(run) => Some(run),
        _ => None,
    });
    runs.collect()
}

/// The components that `recording` calls, sorted.
fn called<'p>(plan: &'p Plan, recording: &Recording) -> Vec<&'p str> {
    let mut called: Vec<&str> =
        runs(recording).iter().map(|run| plan.components[run.component].name.as_str()).collect();
    called.sort_unstable();
    called
}

/// The recording of `route` for requests with media of just these kinds.
fn with_media<'p>(plan: &'p Plan, route: &str, kinds: &[Modality]) -> &'p Recording {
    let brings = |recording: &&Recording| {
        let media = recording.inputs.iter().find_map(|input| input.media.as_ref());
        recording.route == route && media.is_some_and(|media| media.kinds == kinds)
    };
    plan.recordings.iter().find(brings).unwrap_or_else(|| panic!("{route} with {kinds:?}"))
}

/// Graph of each route, from the program for one GPU; plans on one GPU and on eight.
#[test]
fn graphs_and_plans() {
    let folder = tests().join("cases/models");
    for path in programs(&folder) {
        let name = stem(&path);
        let compilation = compiled(name);
        insta::with_settings!({ snapshot_path => &folder, prepend_module_to_snapshot => false, omit_expression => true }, {
            if let Some(model) = name.strip_suffix(".one") {
                insta::assert_snapshot!(format!("{model}.routes"), compilation.emit(Emit::Specialized).unwrap());
            }
            insta::assert_snapshot!(format!("{name}.plan"), compilation.emit(Emit::Plan).unwrap());
            assert_eq!(compilation.render(false), "", "{name}");
        });
    }
}

/// Every file of `stdlib/models` is placed by some case.
#[test]
fn no_model_is_forgotten() {
    let cases = programs(&tests().join("cases/models"));
    let cases: String = cases.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for path in programs(&stdlib().join("models")) {
        let name = format!("std::models::{}::", stem(&path));
        assert!(cases.contains(&name), "{name} has no case");
    }
}

/// The drawings of the model cards are as short in text: the hardest model, text to picture, and picture and sound to
/// text.
#[test]
fn graphs_are_short() {
    for (name, most) in [("qwen3_omni", 40), ("qwen_image", 15), ("qwen3_omni_thinking", 12)] {
        let text = fs::read_to_string(stdlib().join("models").join(name).with_extension("corn")).unwrap();
        assert!(text.lines().count() <= most, "{name} has {} lines", text.lines().count());
    }
}

/// R1: one `each` for each kind of media, put back in the order of the message. R2: items of a kind are one batch.
#[test]
fn r1_r2_media_are_encoded_by_kind_and_read_in_order() {
    let compilation = compiled("qwen3_omni.one");
    let plan = plan(&compilation);
    let recording = with_media(plan, "chat", &Modality::ALL);
    let each: Vec<&str> = runs(recording)
        .into_iter()
        .filter(|run| run.each)
        .map(|run| plan.components[run.component].name.as_str())
        .collect();
    assert_eq!(each, ["vision", "film", "hearing"]);
    let interleaved = steps(recording).into_iter().any(
        |step| matches!(step, Step::Adapt { adaptor: Adaptor::Interleave(kinds), .. } if kinds.len() == 3),
    );
    assert!(interleaved);
    let reply = &recording.outputs[0];
    assert!(recording.values[reply.value].ty.is_stream());
}

/// R3: a request of text alone has no encoder in its recording. R6: and without a voice, no talker or vocoder.
#[test]
fn r3_r6_what_a_route_does_not_need_is_not_in_it() {
    for name in ["qwen3_omni.one", "qwen2_5_omni.one", "qwen3_omni.eight", "qwen3_omni.apart"] {
        let compilation = compiled(name);
        let plan = plan(&compilation);
        assert_eq!(called(plan, with_media(plan, "chat", &[])), ["thinker"], "{name}");
        assert_eq!(called(plan, with_media(plan, "speak", &[])), ["talker", "thinker", "vocoder"], "{name}");
        let with_sound = called(plan, with_media(plan, "chat", &[Modality::Audio]));
        assert_eq!(with_sound, ["hearing", "thinker"], "{name}");
    }
}

/// R4: a kind of media that a model does not take is in none of its signatures.
#[test]
fn r4_media_that_no_route_takes_have_no_recording() {
    let compilation = compiled("qwen3_omni_thinking.one");
    let signatures = plan(&compilation).recordings.iter().map(|recording| recording.signature().inputs);
    let signatures: Vec<Vec<String>> = signatures.collect();
    assert_eq!(signatures.len(), 4);
    assert!(signatures.iter().flatten().all(|input| !input.contains("video")), "{signatures:?}");
}

/// R5: prefill makes one token and one memory; the memory is one value with as many readers as there are answers.
#[test]
fn r5_a_memory_is_handed_on_and_read_twice() {
    let compilation = compiled("encode_prefill_decode.eight");
    let plan = plan(&compilation);
    let recording = with_media(plan, "two", &[Modality::Image]);
    assert_eq!(called(plan, recording), ["decode", "decode", "prefill", "vision"]);
    let is_prefill = |run: &&Run| plan.components[run.component].name == "prefill";
    let prefill = runs(recording).into_iter().find(is_prefill).unwrap();
    let made: Vec<String> =
        prefill.results.iter().map(|(_, value)| recording.values[*value].ty.to_string()).collect();
    assert_eq!(made, ["tensor<i64>[1]", "tensor<bf16>[28, 2, t <= 16384, 512]"]);
    let (first, memory) = (prefill.results[0].1, prefill.results[1].1);
    let readers = |value| {
        let reads = |run: &&&Run| run.operands.iter().any(|operand| operand.value == value);
        runs(recording).iter().filter(reads).count()
    };
    assert_eq!((readers(first), readers(memory)), (2, 2));
}

/// R6: talker and vocoder are together or apart by placement alone.
#[test]
fn r6_talker_and_vocoder_are_together_or_apart() {
    for (name, together) in [("qwen3_omni.eight", true), ("qwen3_omni.apart", false)] {
        let compilation = compiled(name);
        let plan = plan(&compilation);
        let stage_of = |wanted: &str| {
            let has = |stage: &corn_plan::Stage| {
                stage.components.iter().any(|component| plan.components[*component].name == wanted)
            };
            plan.stages.iter().position(has)
        };
        assert_eq!(stage_of("talker") == stage_of("vocoder"), together, "{name}");
    }
}

/// R7: prompt reader, a loop of at most fifty steps, decoder; rows to skip and sizes are typed parameters. R8: what two
/// calls of one component make is read in the order of the calls.
#[test]
fn r7_r8_a_picture_is_denoised_in_a_bounded_loop() {
    let compilation = compiled("qwen_image.one");
    let plan = plan(&compilation);
    let recording = &plan.recordings.iter().next().unwrap();
    assert_eq!(called(plan, recording), ["decode", "denoise", "noise", "read", "read"]);
    let bounds = steps(recording).into_iter().filter_map(|step| match step {
        Step::Loop(looped) => Some(looped.max),
        _ => None,
    });
    assert_eq!(bounds.collect::<Vec<u32>>(), [50]);
    let reader = plan.components.iter().find(|component| component.name == "read").unwrap();
    assert_eq!(reader.options["skip"], Literal::Int(34));
    let defaults = recording.inputs.iter().filter(|input| input.default.is_some());
    let defaults: Vec<&str> = defaults.map(|input| input.name.as_str()).collect();
    assert_eq!(defaults, ["width", "height", "steps", "seed"]);
    let name_of = |value| {
        let input = recording.inputs.iter().find(|input| input.value == value);
        input.map(|input| input.name.as_str())
    };
    let reads = runs(recording).into_iter().filter(|run| plan.components[run.component].name == "read");
    let order: Vec<_> = reads.map(|run| (name_of(run.operands[0].value), run.results[0].1)).collect();
    let listed = steps(recording).into_iter().find_map(|step| match step {
        Step::Adapt { adaptor: Adaptor::List, operands, .. } => Some(operands.clone()),
        _ => None,
    });
    assert_eq!(order.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [Some("prompt"), None]);
    assert_eq!(listed.unwrap(), order.iter().map(|(_, value)| *value).collect::<Vec<_>>());
}

/// R7 for a model that also tells and edits: only pictures have the loop, only edits look at the photo twice.
#[test]
fn r7_routes_of_one_model_have_what_they_need() {
    let compilation = compiled("bagel.one");
    let plan = plan(&compilation);
    let calls = |signature: &str| {
        let is_it = |recording: &&Recording| recording.signature().to_string() == signature;
        called(plan, plan.recordings.iter().find(is_it).unwrap_or_else(|| panic!("{signature}")))
    };
    assert_eq!(calls("bagel(prompt) -> reply"), ["mind"]);
    assert_eq!(calls("bagel(photo, prompt) -> reply"), ["eyes", "mind", "tracer"]);
    assert_eq!(calls("bagel(prompt) -> picture"), ["canvas", "hand", "mind", "painter"]);
    let edit = ["canvas", "eyes", "hand", "mind", "mind", "painter", "tracer"];
    assert_eq!(calls("bagel(photo, prompt) -> picture"), edit);
}

/// S1: two sizes in two files name one encoder; it is one deployment, and each has its own projector.
#[test]
fn s1_equal_encoders_of_two_models_are_one() {
    for name in ["gemma3.one", "gemma3.eight"] {
        let compilation = compiled(name);
        let plan = plan(&compilation);
        let count = |kind: &str| deployed(plan, kind);
        assert_eq!(count("std::encoder::Siglip896"), 1, "{name}");
        assert_eq!(count("std::encoder::Gemma3Projector4b"), 1, "{name}");
        assert_eq!(count("std::encoder::Gemma3Projector12b"), 1, "{name}");
        assert_eq!(plan.components.len(), 5, "{name}");
    }
}

/// S2: three encoders, a thinker, a talker and a vocoder, however many routes use them.
#[test]
fn s2_every_part_of_an_omni_model_is_deployed_once() {
    for name in ["qwen3_omni.one", "qwen3_omni.eight", "qwen2_5_omni.one", "qwen2_5_omni.eight"] {
        let compilation = compiled(name);
        let plan = plan(&compilation);
        let encoders = plan.components.iter().filter(|one| one.kind.starts_with("std::encoder::")).count();
        assert_eq!((encoders, plan.components.len()), (3, 6), "{name}");
    }
}
