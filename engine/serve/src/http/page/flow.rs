//! How a request runs through a recording: what stands in its way from inputs to outputs, and what goes between.

use std::collections::BTreeMap;

use corn_plan::{Adaptor, Case, Modality, Plan, Recording, StageId, Step, Transport, ValueId};
use serde_json::{Value, json};

/// Something that makes or takes values.
struct Node {
    id: String,
    kind: &'static str,
    label: String,
    /// The component's place in the plan, if it is a call of one.
    component: Option<u32>,
    stage: Option<StageId>,
    /// The blocks that it stands in, outermost first, such as `if mode is "fast"`.
    within: Vec<String>,
}

#[derive(Default)]
struct Flow {
    nodes: Vec<Node>,
    /// Which nodes make a value.
    makers: BTreeMap<ValueId, Vec<usize>>,
    /// What is worth the same as values made elsewhere: what comes out of a branch or a loop.
    same: Vec<(ValueId, ValueId)>,
    /// Which nodes read a value.
    readers: Vec<(ValueId, usize)>,
    transports: BTreeMap<(ValueId, StageId), Transport>,
}

/// The nodes and edges of `recording`.
pub(super) fn flow(plan: &Plan, recording: &Recording) -> Value {
    let mut flow = Flow::default();
    for input in &recording.inputs {
        let node = flow.add("input", input.name.clone(), None, None, &[]);
        flow.makes(input.value, node);
        for value in input.media.iter().flat_map(corn_plan::InputMedia::values) {
            flow.makes(value, node);
        }
    }
    for program in &recording.programs {
        flow.steps(plan, recording, program.stage, &program.steps, &[]);
    }
    for output in &recording.outputs {
        let node = flow.add("output", output.name.clone(), None, None, &[]);
        flow.readers.push((output.value, node));
    }
    flow.spread();
    json!({
        "signature": recording.signature().to_string(),
        "nodes": flow.nodes.iter().map(node).collect::<Vec<_>>(),
        "edges": flow.edges(recording),
    })
}

fn node(node: &Node) -> Value {
    let Node { id, kind, label, component, stage, within } = node;
    json!({ "id": id, "kind": kind, "label": label, "component": component, "stage": stage.map(|it| it.0), "within": within })
}

impl Flow {
    fn add(
        &mut self,
        kind: &'static str,
        label: String,
        component: Option<u32>,
        stage: Option<StageId>,
        within: &[String],
    ) -> usize {
        let id = format!("n{}", self.nodes.len());
        self.nodes.push(Node { id, kind, label, component, stage, within: within.to_vec() });
        self.nodes.len() - 1
    }

    fn makes(&mut self, value: ValueId, node: usize) {
        let makers = self.makers.entry(value).or_default();
        if !makers.contains(&node) {
            makers.push(node);
        }
    }

    fn steps(
        &mut self,
        plan: &Plan,
        recording: &Recording,
        stage: StageId,
        steps: &[Step],
        within: &[String],
    ) {
        for step in steps {
            match step {
                Step::Run(run) => {
                    let label = plan.components[run.component].name.clone();
                    let node = self.add("component", label, Some(run.component.0), Some(stage), within);
                    self.join(step, node);
                }
                Step::Adapt { adaptor, .. } => {
                    let node = self.add("adaptor", word(adaptor), None, Some(stage), within);
                    self.join(step, node);
                }
                Step::Send { value, to, transport } => {
                    self.transports.insert((*value, *to), *transport);
                }
                Step::Branch(branch) => {
                    let subject = &recording.values[branch.subject].name;
                    for arm in &branch.arms {
                        let case = match &arm.case {
                            Case::Is(literal) => format!("if {subject} is {literal}"),
                            Case::Else => format!("if {subject} is anything else"),
                        };
                        let inner = [within, &[case]].concat();
                        self.steps(plan, recording, stage, &arm.steps, &inner);
                        let yields = branch.results.iter().zip(&arm.yields);
                        self.same.extend(yields.filter_map(|(result, it)| Some((*result, (*it)?))));
                    }
                }
                Step::Loop(looped) => {
                    let inner = [within, &[format!("up to {} rounds", looped.max)]].concat();
                    self.steps(plan, recording, stage, &looped.steps, &inner);
                    for carry in &looped.carries {
                        self.same.extend([(carry.inside, carry.init), (carry.inside, carry.next)]);
                        self.same.extend(carry.result.map(|result| (result, carry.next)));
                    }
                }
                Step::Input { .. }
                | Step::Const { .. }
                | Step::Recv { .. }
                | Step::Output { .. }
                | Step::Free { .. } => {}
            }
        }
    }

    fn join(&mut self, step: &Step, node: usize) {
        self.readers.extend(step.reads().into_iter().map(|value| (value, node)));
        for value in step.writes() {
            self.makes(value, node);
        }
    }

    /// Lets whatever makes a value make what is worth the same.
    fn spread(&mut self) {
        loop {
            let before: usize = self.makers.values().map(Vec::len).sum();
            for (value, other) in self.same.clone() {
                for node in self.makers.get(&other).cloned().unwrap_or_default() {
                    self.makes(value, node);
                }
            }
            if before == self.makers.values().map(Vec::len).sum::<usize>() {
                return;
            }
        }
    }

    fn edges(&self, recording: &Recording) -> Vec<Value> {
        let mut edges = Vec::new();
        for (value, reader) in &self.readers {
            for maker in self.makers.get(value).into_iter().flatten() {
                let (from, to) = (&self.nodes[*maker], &self.nodes[*reader]);
                let crosses = from.stage.zip(to.stage).filter(|(from, to)| from != to);
                let transport = crosses.and_then(|(_, to)| self.transports.get(&(*value, to)));
                let made = &recording.values[*value];
                edges.push(json!({
                    "from": from.id, "to": to.id, "type": made.ty.to_string(), "kind": made.ty.kind.word(),
                    "stream": made.ty.is_stream(), "optional": made.optional,
                    "stages": crosses.map(|(from, to)| [from.0, to.0]),
                    "transport": transport.map(|it| it.name()),
                }));
            }
        }
        edges.dedup();
        edges
    }
}

fn word(adaptor: &Adaptor) -> String {
    match adaptor {
        Adaptor::Join => "join".to_owned(),
        Adaptor::Sentences => "sentences".to_owned(),
        Adaptor::Windows { size, .. } => format!("windows of {size}"),
        Adaptor::Collect => "collect".to_owned(),
        Adaptor::List => "list".to_owned(),
        Adaptor::Merge { .. } => "merge".to_owned(),
        Adaptor::Pick(modality) => format!("pick {}", modality.name()),
        Adaptor::Interleave(kinds) => {
            let names: Vec<&str> = kinds.iter().map(|it: &Modality| it.name()).collect();
            format!("interleave {}", names.join(", "))
        }
    }
}
