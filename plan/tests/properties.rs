//! What holds for every plan: printing then parsing gives the same plan, whatever its names, numbers
//! and types are; and no text makes parser or verifier panic or take memory that it only talks of.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::collections::BTreeMap;

use corn_plan::{
    Adaptor, Arm, Batch, BlockId, Branch, Carry, Case, Component, ComponentId, Dim, Dtype, Form, FrameRate,
    Input, InputMedia, Kind, Literal, Loop, MemoryRow, Modality, Needs, Offset, Operand, Output, Plan, Port,
    Program, Recording, Run, Stage, StageId, Step, Transport, Type, Value, ValueId, Weights, WeightsSource,
    Worker, WorkerId, verify,
};
use proptest::prelude::*;

fn name() -> impl Strategy<Value = String> + Clone {
    "[A-Za-z_][A-Za-z0-9_.]{0,5}"
}

fn text() -> impl Strategy<Value = String> + Clone {
    prop_oneof!["[ -~]{0,8}", "\\PC{0,5}", "[\\x00\n\r\t\u{7f}-\u{9f}\"\\\\#]{0,4}"]
}

fn dim() -> impl Strategy<Value = Dim> {
    prop_oneof![
        any::<u64>().prop_map(Dim::Fixed),
        (name(), any::<u64>()).prop_map(|(name, max)| Dim::Upto { name, max })
    ]
}

fn frame_rate() -> impl Strategy<Value = Option<FrameRate>> {
    prop::option::of((1u32..).prop_map(FrameRate))
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        any::<u64>().prop_map(|max_bytes| Kind::Text { max_bytes }),
        any::<u64>().prop_map(|max_bytes| Kind::Image { max_bytes }),
        (prop::option::of(any::<u32>()), any::<u64>())
            .prop_map(|(rate_hz, max_ms)| Kind::Audio { rate_hz, max_ms }),
        (prop::sample::select(Dtype::ALL.to_vec()), prop::collection::vec(dim(), 0..4))
            .prop_map(|(dtype, dims)| Kind::Tensor { dtype, dims }),
        (frame_rate(), any::<u64>()).prop_map(|(rate, max_bytes)| Kind::Video { rate, max_bytes }),
        (frame_rate(), any::<u64>()).prop_map(|(rate, max_bytes)| Kind::Media { rate, max_bytes }),
        Just(Kind::Int),
        Just(Kind::Float),
        Just(Kind::Bool),
        prop::collection::vec(text(), 0..3).prop_map(Kind::Enum),
    ]
}

fn ty() -> impl Strategy<Value = Type> {
    let form = prop_oneof![
        Just(Form::Value),
        any::<u32>().prop_map(|max| Form::List { max }),
        any::<u32>().prop_map(|window| Form::Stream { window }),
    ];
    (kind(), form).prop_map(|(kind, form)| Type { kind, form })
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        any::<i64>().prop_map(Literal::Int),
        prop_oneof![prop::num::f64::NORMAL, Just(0.0)].prop_map(Literal::Float),
        any::<bool>().prop_map(Literal::Bool),
        text().prop_map(Literal::Text),
        prop::collection::vec(text(), 0..3).prop_map(Literal::Texts),
    ]
}

fn source() -> impl Strategy<Value = WeightsSource> {
    let sha256 = || prop::option::of(text());
    prop_oneof![
        (text(), text(), sha256()).prop_map(|(package, path, sha256)| WeightsSource::Pypi {
            package,
            path,
            sha256
        }),
        (text(), prop::option::of(text()), text(), sha256())
            .prop_map(|(repo, path, revision, sha256)| WeightsSource::Hf { repo, path, revision, sha256 }),
        (text(), sha256()).prop_map(|(path, sha256)| WeightsSource::File { path, sha256 }),
    ]
}

fn component() -> impl Strategy<Value = Component> {
    // Ports and components are named by their place, so that every name is found again.
    let ports = |prefix: &'static str| {
        prop::collection::vec((ty(), any::<bool>()), 1..4).prop_map(move |ports| {
            let named = |(place, (ty, optional))| Port { name: format!("{prefix}{place}"), ty, optional };
            ports.into_iter().enumerate().map(named).collect::<Vec<_>>()
        })
    };
    let said = (text(), name(), text(), prop::collection::vec((name(), source()), 0..3));
    let options = prop::collection::vec((name(), literal()), 0..3);
    let numbers = (any::<u32>(), any::<u32>(), any::<u64>(), any::<u32>(), any::<u64>());
    (said, options, ports("i"), ports("o"), numbers).prop_map(|(said, options, inputs, outputs, numbers)| {
        let (kind, executor, entry, weights) = said;
        let (cpus, gpus, memory_bytes, max, within_ms) = numbers;
        Component {
            name: String::new(),
            kind,
            executor,
            entry,
            weights: weights.into_iter().map(|(name, source)| Weights { name, source }).collect(),
            options: options.into_iter().collect::<BTreeMap<_, _>>(),
            remembers: inputs.iter().skip(1).map(|port| port.name.clone()).collect(),
            inputs,
            outputs,
            needs: Needs { cpus, gpus, memory_bytes },
            batch: Batch { max, within_ms },
        }
    })
}

fn value() -> impl Strategy<Value = ValueId> {
    any::<u32>().prop_map(ValueId)
}

fn plain_step() -> impl Strategy<Value = Step> + Clone {
    let transport = || prop::sample::select(Transport::ALL.to_vec());
    let stage = || any::<u32>().prop_map(StageId);
    let adaptor = prop_oneof![
        Just(Adaptor::Join),
        Just(Adaptor::Sentences),
        Just(Adaptor::Collect),
        Just(Adaptor::List),
        prop::collection::vec(text(), 0..3).prop_map(|tags| Adaptor::Merge { tags }),
        modality().prop_map(Adaptor::Pick),
        prop::collection::vec(modality(), 0..3).prop_map(Adaptor::Interleave),
        any::<[u32; 3]>().prop_map(|[size, left, first]| Adaptor::Windows { size, left, first }),
    ];
    let operand =
        (0u32..1, value(), any::<bool>()).prop_map(|(port, value, each)| Operand { port, value, each });
    let run = (
        prop::collection::vec(operand, 0..3),
        prop::collection::vec((0u32..1, value()), 0..3),
        any::<bool>(),
    )
        .prop_map(|(operands, results, each)| Run { component: ComponentId(0), operands, results, each });
    prop_oneof![
        value().prop_map(|value| Step::Input { value }),
        (value(), literal()).prop_map(|(value, literal)| Step::Const { value, literal }),
        run.prop_map(Step::Run),
        (adaptor, prop::collection::vec(value(), 0..3), prop::collection::vec(value(), 1..3))
            .prop_map(|(adaptor, operands, results)| Step::Adapt { adaptor, operands, results }),
        (value(), stage(), transport()).prop_map(|(value, to, transport)| Step::Send {
            value,
            to,
            transport
        }),
        (value(), stage(), transport()).prop_map(|(value, from, transport)| Step::Recv {
            value,
            from,
            transport
        }),
        value().prop_map(|value| Step::Output { value }),
        value().prop_map(|value| Step::Free { value }),
    ]
}

fn modality() -> impl Strategy<Value = Modality> + Clone {
    prop::sample::select(Modality::ALL.to_vec())
}

/// Also branches and loops with steps inside.
fn step() -> impl Strategy<Value = Step> {
    plain_step().prop_recursive(2, 12, 3, |inner| {
        let steps = || prop::collection::vec(inner.clone(), 0..3);
        let case = prop_oneof![Just(Case::Else), literal().prop_map(Case::Is)];
        let yields = prop::collection::vec(prop::option::of(value()), 0..3);
        let arm = (case, steps(), yields).prop_map(|(case, steps, yields)| Arm { case, steps, yields });
        let branch =
            (any::<u32>(), value(), prop::collection::vec(arm, 0..3), prop::collection::vec(value(), 0..2));
        let branch = branch.prop_map(|(block, subject, arms, results)| {
            Step::Branch(Branch { block: BlockId(block), subject, arms, results })
        });
        let carry = (value(), value(), value(), prop::option::of(value()))
            .prop_map(|(init, inside, next, result)| Carry { init, inside, next, result });
        let maybe = || prop::option::of(value());
        let looped = (
            any::<u32>(),
            any::<u32>(),
            maybe(),
            maybe(),
            maybe(),
            prop::collection::vec(carry, 0..3),
            steps(),
        );
        let looped = looped.prop_map(|(block, max, count, index, until, carries, steps)| {
            Step::Loop(Loop { block: BlockId(block), max, count, index, until, carries, steps })
        });
        prop_oneof![branch, looped]
    })
}

fn recording() -> impl Strategy<Value = Recording> {
    let value_or_none = || prop::option::of(value());
    let media = (value_or_none(), value_or_none(), prop::collection::vec(modality(), 0..3));
    let media = media.prop_map(|(value, order, kinds)| InputMedia { value, order, kinds });
    let media = prop::option::of(media);
    let inputs = prop::collection::vec(
        (name(), value(), prop::option::of(literal()), prop::option::of(literal()), media),
        0..3,
    );
    let outputs = prop::collection::vec((name(), value()), 1..3);
    let offset = (any::<u32>(), any::<u64>());
    let offset = offset.prop_map(|(stage, bytes)| Offset { stage: StageId(stage), bytes });
    let offsets = prop::collection::vec(offset, 0..3);
    let values = prop::collection::vec((text(), ty(), any::<bool>(), any::<u64>(), offsets), 0..4);
    let programs = prop::collection::vec((any::<u32>(), prop::collection::vec(step(), 0..5)), 0..3);
    (name(), name(), inputs, outputs, values, programs).prop_map(
        |(route, graph, inputs, outputs, values, programs)| {
            let input = |(name, value, default, is, media)| Input { name, value, default, is, media };
            let program = |(stage, steps)| Program { stage: StageId(stage), steps };
            Recording {
                route,
                graph,
                inputs: inputs.into_iter().map(input).collect(),
                outputs: outputs.into_iter().map(|(name, value)| Output { name, value }).collect(),
                values: values
                    .into_iter()
                    .map(|(name, ty, optional, bytes, offsets)| Value { name, ty, optional, bytes, offsets })
                    .collect(),
                programs: programs.into_iter().map(program).collect(),
            }
        },
    )
}

fn plan() -> impl Strategy<Value = Plan> {
    let workers = prop::collection::vec((text(), any::<u32>(), any::<u64>()), 1..3);
    let components = prop::collection::vec(component(), 1..3);
    let stages = prop::collection::vec(prop::collection::vec(any::<u32>().prop_map(WorkerId), 1..3), 0..3);
    let recordings = prop::collection::vec(recording(), 0..3);
    let memory = prop::collection::vec((any::<u64>(), any::<u64>()), 0..3);
    (text(), any::<u32>(), workers, components, stages, recordings, memory).prop_map(
        |(name, inflight, workers, components, stages, recordings, memory)| {
            let worker = |(host, cpus, memory_bytes)| Worker { host, cpus, memory_bytes, gpus: None };
            let named = |(place, component)| Component { name: format!("component{place}"), ..component };
            let row =
                |(components_bytes, request_bytes)| MemoryRow { components_bytes, request_bytes, gpu: None };
            Plan {
                name,
                inflight,
                workers: workers.into_iter().map(worker).collect(),
                components: components.into_iter().enumerate().map(named).collect(),
                stages: stages
                    .into_iter()
                    .map(|replicas| Stage { components: vec![ComponentId(0)], replicas, tensor_parallel: 1 })
                    .collect(),
                serves: Vec::new(),
                recordings: recordings.into_iter().collect(),
                memory: memory.into_iter().map(row).collect(),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_plan_is_read_back(plan in plan()) {
        let text = plan.to_text();
        let read = Plan::parse(&text);
        prop_assert_eq!(read.as_ref(), Ok(&plan), "{}", text);
        prop_assert_eq!(plan.to_text(), text);
        let _ = verify(plan);
    }
}

/// Numbers of a text are compared and stored, never reserved.
#[test]
fn a_text_of_huge_numbers_and_long_lists_is_refused() {
    let huge = [
        "corn plan 1 \"a\"\nworker w4294967295 host \"a\" cpu 1 memory 1B",
        "corn plan 1 \"a\"\nworker w99999999999999999999 host \"a\" cpu 1 memory 1B",
        "corn plan 1 \"a\"\nworker w0 host \"a\" cpu 1 memory 18446744073709551615GiB",
        "corn plan 1 \"a\"\nstage s0 on w4294967295",
        "corn plan 1 \"a\"\nrecording r0 a = a() -> b\n  input a v4294967295",
        "corn plan 1 \"a\"\nrecording r0 a = a() -> b\n  value v0 \"a\" list<int> max 4294967295 in 1B",
        "corn plan 1 \"a\"\nrecording r0 a = a() -> b\n  on s4294967295\n    windows(v4294967295) size 4294967295 left 4294967295 first 4294967295 -> v4294967295",
    ];
    for text in huge {
        let verified = Plan::parse(text).map(verify);
        assert!(!matches!(verified, Ok(Ok(_))), "{text}");
    }
    let replicas = vec!["w0"; 100_000].join(", ");
    let deep = format!("corn plan 1 \"a\"\nstage s0 on {replicas}\n  in a: {}int", "list<".repeat(100_000));
    assert!(Plan::parse(&deep).is_err());
}
