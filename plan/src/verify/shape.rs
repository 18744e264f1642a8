//! P5, P7 and P8: what each part is, apart from the order of steps.

use std::collections::{BTreeMap, BTreeSet};

use crate::control::all_steps;
use crate::ids::{RecordingId, ValueId};
use crate::plan::{Adaptor, Component, Input, InputMedia, Literal, Modality, Port, Recording, Run, Step};
use crate::shapes::{Extents, bind_all, resolved};
use crate::types::{Dim, Form, Kind, Type};
use crate::verify::Report;

/// Ids exist (the part of P5 that everything else rests on).
pub(super) fn check_ids(report: &mut Report<'_>) {
    let plan = report.plan;
    for (id, stage) in plan.stages.enumerate() {
        for component in stage.components.iter().filter(|id| plan.components.get(**id).is_none()) {
            report.violated("P5", format!("stage {id} has component {component}, which does not exist"));
        }
        for worker in stage.replicas.iter().filter(|id| plan.workers.get(**id).is_none()) {
            report.violated("P5", format!("stage {id} is on worker {worker}, which does not exist"));
        }
    }
    for (id, recording) in plan.recordings.enumerate() {
        let mut unknown = BTreeSet::new();
        let values = recording.inputs.iter().map(|input| input.value);
        let values = values.chain(recording.outputs.iter().map(|output| output.value));
        let media = recording.inputs.iter().filter_map(|input| input.media.as_ref());
        let media = media.flat_map(InputMedia::values);
        let values = values.chain(media);
        unknown.extend(values.filter(|id| recording.values.get(*id).is_none()).map(|id| id.to_string()));
        for program in &recording.programs {
            unknown.extend(plan.stages.get(program.stage).is_none().then(|| program.stage.to_string()));
            for step in all_steps(&program.steps) {
                unknown.extend(unknown_ids(report, recording, step));
            }
        }
        for name in unknown {
            report.violated("P5", format!("recording {id} names {name}, which does not exist"));
        }
    }
}

fn unknown_ids(report: &Report<'_>, recording: &Recording, step: &Step) -> Vec<String> {
    let mut values = step.reads();
    values.extend(step.writes());
    values.extend(step.inner_writes());
    let mut unknown: Vec<String> = Vec::new();
    match step {
        Step::Free { value } => values.push(*value),
        Step::Send { to: stage, .. } | Step::Recv { from: stage, .. } => {
            unknown.extend(report.plan.stages.get(*stage).is_none().then(|| stage.to_string()));
        }
        Step::Run(run) => match report.plan.components.get(run.component) {
            None => unknown.push(run.component.to_string()),
            Some(component) => unknown.extend(unknown_ports(component, run)),
        },
        _ => {}
    }
    unknown.extend(values.iter().filter(|id| recording.values.get(**id).is_none()).map(ToString::to_string));
    unknown
}

fn unknown_ports(component: &Component, run: &Run) -> Vec<String> {
    let ins = run.operands.iter().filter(|operand| operand.port as usize >= component.inputs.len());
    let outs = run.results.iter().filter(|(port, _)| *port as usize >= component.outputs.len());
    let name = &component.name;
    ins.map(|operand| format!("input {} of {name}", operand.port))
        .chain(outs.map(|(port, _)| format!("output {port} of {name}")))
        .collect()
}

pub(super) fn check(report: &mut Report<'_>) {
    check_bounds(report);
    check_stages(report);
    check_signatures(report);
    let plan = report.plan;
    for (id, recording) in plan.recordings.enumerate() {
        for problem in recording.inputs.iter().filter_map(|input| input_problem(recording, input)) {
            report.violated("P5", format!("recording {id}: {problem}"));
        }
        for program in &recording.programs {
            for step in all_steps(&program.steps) {
                for message in step_problems(report, recording, step) {
                    report.violated("P5", format!("recording {id}, {}: {message}", program.stage));
                }
            }
        }
    }
}

fn check_bounds(report: &mut Report<'_>) {
    let plan = report.plan;
    if plan.inflight == 0 {
        report.violated("P8", "no request may be in flight; 'inflight' must be at least 1".to_owned());
    }
    for component in &plan.components {
        let name = &component.name;
        if component.batch.max == 0 {
            report.violated("P8", format!("component {name} takes no calls: its batch is 0"));
        }
        for port in component.inputs.iter().chain(&component.outputs) {
            if let Some(problem) = unbounded(&port.ty) {
                report.violated("P8", format!("port {name}.{}: {problem}", port.name));
            }
        }
    }
    for (id, recording) in plan.recordings.enumerate() {
        for (value_id, value) in recording.values.enumerate() {
            if let Some(problem) = unbounded(&value.ty) {
                report.violated("P8", format!("recording {id}, {value_id} ({}): {problem}", value.name));
            } else if value.ty.max_bytes() != Some(value.bytes) {
                let needs = value.ty.max_bytes().unwrap_or(u64::MAX);
                let message = format!("holds {needs} bytes, not {}", value.bytes);
                report.violated("P8", format!("recording {id}, {value_id} ({}): {message}", value.name));
            }
        }
        for step in recording.programs.iter().flat_map(|program| all_steps(&program.steps)) {
            if let Step::Adapt { adaptor: Adaptor::Windows { size, first, .. }, results, .. } = step
                && (*size == 0 || *first == 0)
            {
                let result = results.first().map(ToString::to_string).unwrap_or_default();
                report.violated("P8", format!("recording {id}, {result}: a window of no items"));
            }
        }
    }
}

fn unbounded(ty: &Type) -> Option<String> {
    if ty.max_items() == 0 {
        return Some(format!("'{ty}' can hold no item"));
    }
    ty.max_bytes().is_none().then(|| format!("'{ty}' is larger than any memory"))
}

fn check_stages(report: &mut Report<'_>) {
    let plan = report.plan;
    let mut placed = BTreeMap::new();
    for (id, stage) in plan.stages.enumerate() {
        if stage.replicas.is_empty() {
            report.violated("P5", format!("stage {id} is on no worker"));
        }
        for component in &stage.components {
            if let Some(other) = placed.insert(*component, id) {
                let name = &plan.components[*component].name;
                report.violated("P5", format!("component {name} is in stage {other} and in stage {id}"));
            }
        }
    }
    for (id, component) in plan.components.enumerate() {
        if !placed.contains_key(&id) {
            report.violated("P5", format!("component {} is in no stage", component.name));
        }
        for name in &component.remembers {
            if !component.inputs.iter().any(|port| port.name == *name) {
                let message =
                    format!("component {} remembers {name}, which is no input of it", component.name);
                report.violated("P5", message);
            }
        }
    }
    for (id, recording) in plan.recordings.enumerate() {
        for program in &recording.programs {
            for step in all_steps(&program.steps) {
                if let Step::Run(run) = step
                    && placed.get(&run.component) != Some(&program.stage)
                {
                    let name = &plan.components[run.component].name;
                    let message =
                        format!("recording {id} runs {name} on {}, where it is not placed", program.stage);
                    report.violated("P5", message);
                }
            }
        }
    }
}

/// A graph, the inputs that are brought and the outputs that are asked for.
type Asked<'a> = (&'a str, Vec<&'a str>, Vec<&'a str>);

/// Every request has one recording: of two for the same inputs and outputs, some choice or some media differ.
fn check_signatures(report: &mut Report<'_>) {
    let mut alike: BTreeMap<Asked<'_>, Vec<RecordingId>> = BTreeMap::new();
    for (id, recording) in report.plan.recordings.enumerate() {
        if recording.outputs.is_empty() {
            report.violated("P7", format!("recording {id} makes nothing"));
        }
        let brought = recording.inputs.iter().filter(|input| input.default.is_none());
        let mut inputs: Vec<&str> = brought.map(|input| input.name.as_str()).collect();
        let mut outputs: Vec<&str> = recording.outputs.iter().map(|output| output.name.as_str()).collect();
        inputs.sort_unstable();
        outputs.sort_unstable();
        let others = alike.entry((&recording.graph, inputs, outputs)).or_default();
        let same = others.iter().find(|other| may_meet(&report.plan.recordings[**other], recording));
        if let Some(other) = same {
            let message =
                format!("recordings {other} and {id} answer the same requests: {}", recording.signature());
            report.violated("P7", message);
        }
        others.push(id);
    }
}

/// Whether a request can have all the choices and all the media of both.
fn may_meet(one: &Recording, other: &Recording) -> bool {
    let kinds = |input: &Input| -> BTreeSet<Modality> {
        input.media.iter().flat_map(|media| media.kinds.iter().copied()).collect()
    };
    one.inputs.iter().all(|input| {
        let Some(twin) = other.inputs.iter().find(|twin| twin.name == input.name) else { return true };
        let choice_differs = input.is.is_some() && twin.is.is_some() && input.is != twin.is;
        !choice_differs && kinds(input) == kinds(twin)
    })
}

fn step_problems(report: &Report<'_>, recording: &Recording, step: &Step) -> Vec<String> {
    let ty = |id: &crate::ids::ValueId| &recording.values[*id].ty;
    match step {
        Step::Run(run) => run_problems(report, recording, run),
        Step::Adapt { adaptor, operands, results } => {
            let absent = operands.iter().filter(|id| recording.values[**id].optional);
            let absent = absent.filter(|_| *adaptor != Adaptor::Join);
            let mut problems: Vec<String> =
                absent.map(|id| format!("{id} may be absent, and {adaptor:?} needs it")).collect();
            let operands: Vec<&Type> = operands.iter().map(ty).collect();
            let results: Vec<&Type> = results.iter().map(ty).collect();
            problems.extend(adapt_problem(adaptor, &operands, &results));
            problems
        }
        Step::Input { value } | Step::Const { value, .. } if ty(value).is_stream() => {
            vec![format!("{value} comes whole, so it cannot be '{}'", ty(value))]
        }
        _ => Vec::new(),
    }
}

fn run_problems(report: &Report<'_>, recording: &Recording, run: &Run) -> Vec<String> {
    let component = &report.plan.components[run.component];
    let mut problems = Vec::new();
    let mut extents = Extents::new();
    let each_lists = run.operands.iter().filter(|operand| operand.each).count();
    if run.each != (each_lists > 0) {
        problems.push(format!("{}: 'each' needs at least one operand marked 'each'", component.name));
    }
    for operand in &run.operands {
        let port = &component.inputs[operand.port as usize];
        let given = &recording.values[operand.value].ty;
        let given = match (operand.each, given.form) {
            (false, _) => given.clone(),
            (true, Form::List { .. }) => Type::value(given.kind.clone()),
            (true, _) => {
                problems.push(format!("'each' over {}, which is no list", operand.value));
                continue;
            }
        };
        problems.extend(mismatch(component, port, &given));
        bind_all(&given, &port.ty, &mut extents);
        if recording.values[operand.value].optional && !port.optional {
            let (component, port) = (&component.name, &port.name);
            problems.push(format!("{} may be absent, and {component}.{port} needs it", operand.value));
        }
    }
    let streams: Vec<_> =
        run.operands.iter().filter(|operand| recording.values[operand.value].ty.is_stream()).collect();
    if run.each && !streams.is_empty() {
        problems.push(format!("{}: an 'each' step cannot share a stream among its calls", component.name));
    }
    for (index, operand) in streams.iter().enumerate() {
        if streams[..index].iter().any(|other| other.value == operand.value) {
            problems.push(format!("{}: one step reads {} twice", component.name, operand.value));
        }
    }
    for (index, port) in component.inputs.iter().enumerate() {
        let filled = run.operands.iter().filter(|operand| operand.port as usize == index).count();
        if filled > 1 || (filled == 0 && !port.optional) {
            problems.push(format!("{}.{} is filled {filled} times", component.name, port.name));
        }
    }
    for (index, value) in &run.results {
        let port = &component.outputs[*index as usize];
        let made = &recording.values[*value].ty;
        let makes = resolved(&port.ty.kind, &extents);
        let fits = if run.each {
            matches!(made.form, Form::List { .. }) && port.ty.form == Form::Value && fits(&makes, &made.kind)
        } else {
            form_fits(port.ty.form, made.form) && fits(&makes, &made.kind)
        };
        if !fits {
            problems
                .push(format!("{}.{} makes '{}', {value} is '{made}'", component.name, port.name, port.ty));
        }
    }
    problems
}

/// Whether data of type `from` may go where `to` is declared.
pub(super) fn type_fits(from: &Type, to: &Type) -> bool {
    form_fits(from.form, to.form) && fits(&from.kind, &to.kind)
}

/// What is wrong with an input: its media, or the value that its recording is for.
fn input_problem(recording: &Recording, input: &Input) -> Option<String> {
    let ty = &recording.values[input.value].ty;
    let decided = match (&input.is, &ty.kind) {
        (None, _) | (Some(Literal::Bool(_)), Kind::Bool) => true,
        (Some(Literal::Text(word)), Kind::Enum(words)) => words.contains(word),
        _ => false,
    };
    if !decided {
        return Some(format!("input {} is '{ty}', which the recording cannot be chosen by", input.name));
    }
    let media = input.media.as_ref()?;
    let wrong = |value: Option<ValueId>, is_right: &dyn Fn(&Kind) -> bool| {
        let ty = &recording.values[value?].ty;
        (!matches!(ty.form, Form::List { .. }) || !is_right(&ty.kind)).then(|| ty.to_string())
    };
    let media_wrong = wrong(media.value, &|kind| matches!(kind, Kind::Media { .. }));
    let wrong = media_wrong.or_else(|| wrong(media.order, &|kind| *kind == Kind::modality()))?;
    Some(format!(
        "the media of input {} are '{wrong}', which is no list of media, nor of their kinds",
        input.name
    ))
}

fn mismatch(component: &Component, port: &Port, given: &Type) -> Option<String> {
    let ok = form_fits(given.form, port.ty.form) && fits(&given.kind, &port.ty.kind);
    (!ok).then(|| format!("{}.{} takes '{}', not '{given}'", component.name, port.name, port.ty))
}

/// Whether data of form `from` may go where `to` is declared. A stream's window is the edge's own.
fn form_fits(from: Form, to: Form) -> bool {
    match (from, to) {
        (Form::Value, Form::Value) | (Form::Stream { .. }, Form::Stream { .. }) => true,
        (Form::List { max }, Form::List { max: most }) => max <= most,
        _ => false,
    }
}

/// Whether every item of kind `from` is one of kind `to`. Sound and video of any rate fit a port that
/// names one, because the engine resamples and thins there.
fn fits(from: &Kind, to: &Kind) -> bool {
    match (from, to) {
        (Kind::Text { max_bytes }, Kind::Text { max_bytes: most })
        | (Kind::Image { max_bytes }, Kind::Image { max_bytes: most })
        | (Kind::Video { max_bytes, .. }, Kind::Video { max_bytes: most, .. })
        | (Kind::Media { max_bytes, .. }, Kind::Media { max_bytes: most, .. }) => max_bytes <= most,
        (Kind::Messages { max_parts }, Kind::Messages { max_parts: most }) => max_parts <= most,
        (Kind::Audio { max_ms, .. }, Kind::Audio { max_ms: most, .. }) => max_ms <= most,
        (Kind::Tensor { dtype, dims }, Kind::Tensor { dtype: other, dims: most }) => {
            dtype == other
                && dims.len() == most.len()
                && dims.iter().zip(most).all(|(dim, most)| match (dim, most) {
                    (Dim::Fixed(extent), Dim::Fixed(fixed)) => extent == fixed,
                    (Dim::Upto { .. }, Dim::Fixed(_)) => false,
                    (_, Dim::Upto { max, .. }) => dim.max() <= *max,
                })
        }
        (Kind::Enum(words), Kind::Enum(all)) => words.iter().all(|word| all.contains(word)),
        (Kind::Enum(_), Kind::Text { max_bytes }) => from.max_bytes() <= Some(*max_bytes),
        (Kind::Int, Kind::Int) | (Kind::Float, Kind::Float) | (Kind::Bool, Kind::Bool) => true,
        _ => false,
    }
}

fn adapt_problem(adaptor: &Adaptor, operands: &[&Type], results: &[&Type]) -> Option<String> {
    let ok = match (adaptor, results) {
        (Adaptor::Merge { tags }, [items, tag]) => {
            merge_fits(operands, items)
                && tags.len() == operands.len()
                && tag.is_stream()
                && matches!(&tag.kind, Kind::Enum(words) if tags.iter().all(|tag| words.contains(tag)))
        }
        (Adaptor::Merge { tags }, [items]) => tags.is_empty() && merge_fits(operands, items),
        (adaptor, [result]) => adapt_fits(adaptor, operands, result),
        _ => false,
    };
    let listed = |types: &[&Type]| types.iter().map(|ty| format!("'{ty}'")).collect::<Vec<_>>().join(", ");
    (!ok).then(|| format!("{adaptor:?} cannot make {} of {}", listed(results), listed(operands)))
}

fn merge_fits(operands: &[&Type], items: &Type) -> bool {
    items.is_stream() && operands.iter().all(|ty| ty.is_stream() && fits(&ty.kind, &items.kind))
}

fn adapt_fits(adaptor: &Adaptor, operands: &[&Type], result: &Type) -> bool {
    let one = |ok: &dyn Fn(&Type) -> bool| matches!(operands, [only] if ok(only));
    let is_text = |ty: &Type| matches!(ty.kind, Kind::Text { .. });
    let is_list = |ty: &Type| matches!(ty.form, Form::List { .. });
    match adaptor {
        Adaptor::Join => {
            operands.iter().all(|ty| is_text(ty) && ty.form == Form::Value)
                && is_text(result)
                && result.form == Form::Value
        }
        Adaptor::Sentences => one(&|ty| is_text(ty) && !is_list(ty)) && is_text(result) && result.is_stream(),
        Adaptor::Windows { .. } => {
            one(&|ty| ty.is_stream() && ty.kind.word() == result.kind.word()) && result.is_stream()
        }
        Adaptor::Collect => {
            one(&|ty| ty.is_stream() && ty.kind.word() == result.kind.word()) && !result.is_stream()
        }
        Adaptor::List => {
            operands.iter().all(|ty| ty.form == Form::Value && fits(&ty.kind, &result.kind))
                && matches!(result.form, Form::List { max } if operands.len() <= max as usize)
        }
        Adaptor::Merge { .. } => false,
        Adaptor::Pick(modality) => one(&|ty| {
            let Kind::Media { rate, max_bytes } = ty.kind else { return false };
            form_fits(ty.form, result.form)
                && is_list(ty)
                && Kind::of_media(*modality, rate, max_bytes).word() == result.kind.word()
        }),
        Adaptor::Interleave(kinds) => match operands {
            [order, made @ ..] => {
                order.kind == Kind::modality()
                    && is_list(order)
                    && (kinds.is_empty() || form_fits(order.form, result.form))
                    && made.len() == kinds.len()
                    && made.iter().all(|ty| is_list(ty) && fits(&ty.kind, &result.kind))
            }
            [] => false,
        },
    }
}
