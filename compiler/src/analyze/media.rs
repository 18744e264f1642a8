//! Media that a request brings: `messages.media`, and `match` over the kinds of its items.
//!
//! Each kind is picked out of the list, worked on as a list of its own (so one call batches items of one kind),
//! and what is made is put back in the order of the media.

use corn_plan::types::{DEFAULT_MEDIA_MAX_BYTES, DEFAULT_STREAM_WINDOW};
use corn_plan::{Adaptor, Form, Kind, Modality, Type, ValueId};

use crate::analyze::body::{Body, Eval};
use crate::analyze::constructs::common;
use crate::diagnostic::semantic::{self, Candidate};
use crate::graph::{NodeId, NodeKind, Operand, Value};
use crate::source::Span;
use crate::syntax::ast::{Arg, Arm, PatternKind};

impl Body<'_, '_> {
    /// The media that the input `value`, made by `node`, brings, and their order: results of their own.
    pub(crate) fn media_brought(&mut self, node: NodeId, value: ValueId) -> Option<(ValueId, ValueId)> {
        let made = self.graph.values[value].clone();
        let (media, max) = match (&made.ty.kind, made.ty.form) {
            (Kind::Media { .. }, Form::List { max }) => (value, max),
            (Kind::Messages { max_parts }, Form::Value) => {
                let ty =
                    Type::list(Kind::Media { rate: None, max_bytes: DEFAULT_MEDIA_MAX_BYTES }, *max_parts);
                let name = format!("{}.media", made.name);
                let media = Value { name, ty, fixed: false, ..made.clone() };
                (self.graph.make(node, 1, media), *max_parts)
            }
            _ => return None,
        };
        let name = format!("{}.order", made.name);
        let order = Value { name, ty: Type::list(Kind::modality(), max), fixed: true, ..made };
        Some((media, self.graph.make(node, 2, order)))
    }

    /// The media of a conversation.
    pub(crate) fn media_of(&self, value: ValueId) -> Option<ValueId> {
        let is_messages = matches!(self.graph.values[value].ty.kind, Kind::Messages { .. });
        let input = self.graph.inputs.iter().find(|input| is_messages && input.value == value)?;
        input.media
    }

    /// `match part { image => see(part) … }` for the items of `media`, which local name `local` stands for.
    pub(crate) fn match_media(&mut self, local: usize, media: ValueId, arms: &[Arm], span: Span) -> Eval {
        self.locals[local].used = true;
        let mut kinds: Vec<Modality> = Vec::new();
        let mut made: Vec<(ValueId, Span)> = Vec::new();
        for arm in arms {
            let Some(modality) = self.modality(arm, &kinds) else {
                self.locals[local].eval = Eval::Poison;
                self.block(&arm.body);
                return Eval::Poison;
            };
            let picked = self.picked(media, modality, arm.pattern.span);
            let whole = std::mem::replace(&mut self.locals[local].eval, Eval::Item(picked));
            let eval = self.block(&arm.body);
            self.locals[local].eval = whole;
            let at = arm.body.value.as_ref().map_or(arm.body.span, |value| value.span);
            match eval {
                Eval::Item(value) => made.push((value, at)),
                Eval::Poison => return Eval::Poison,
                Eval::Nothing => {
                    self.context.report(semantic::control::nothing_for_an_item(at));
                    return Eval::Poison;
                }
                _ => {
                    let (name, declared) = (self.locals[local].name.clone(), self.locals[local].span);
                    let problem = semantic::constructs::each_without_item(&name, at, declared);
                    self.context.report(problem);
                    return Eval::Poison;
                }
            }
            kinds.push(modality);
        }
        if made.is_empty() {
            self.context.report(semantic::control::cases_missing("match", &[], span));
            return Eval::Poison;
        }
        self.interleaved(media, kinds, &made, span)
    }

    fn modality(&mut self, arm: &Arm, before: &[Modality]) -> Option<Modality> {
        let known = || Modality::ALL.map(|modality| Candidate::named(modality.name()));
        let modality = match &arm.pattern.kind {
            PatternKind::Name(name) => Modality::from_name(name),
            PatternKind::Error => return None,
            _ => None,
        };
        let Some(modality) = modality else {
            let name = match &arm.pattern.kind {
                PatternKind::Name(name) => name.as_str(),
                PatternKind::Else => "else",
                _ => "",
            };
            self.context.report(semantic::control::no_kind_of_media(name, arm.pattern.span, &known()));
            return None;
        };
        if before.contains(&modality) {
            self.context.report(semantic::control::case_never_taken("this case", arm.pattern.span));
            return None;
        }
        Some(modality)
    }

    /// The items of one kind.
    fn picked(&mut self, media: ValueId, modality: Modality, span: Span) -> ValueId {
        let of = &self.graph.values[media];
        let max_bytes = match of.ty.kind {
            Kind::Media { max_bytes, .. } => max_bytes,
            _ => DEFAULT_MEDIA_MAX_BYTES,
        };
        let ty = Type { kind: Kind::of_media(modality, None, max_bytes), form: of.ty.form };
        let name = format!("{}.{}", of.name, modality.name());
        let operand = Operand { port: 0, value: media, each: false };
        self.made(NodeKind::Adapt(Adaptor::Pick(modality)), vec![operand], name, ty, false, span)
    }

    fn interleaved(
        &mut self,
        media: ValueId,
        kinds: Vec<Modality>,
        made: &[(ValueId, Span)],
        span: Span,
    ) -> Eval {
        let values: Vec<(ValueId, bool, Span)> = made.iter().map(|(value, at)| (*value, true, *at)).collect();
        let Some(mut ty) = self.common_type(&values) else { return Eval::Poison };
        ty.form = self.graph.values[media].ty.form;
        let order = self.graph.inputs.iter().find(|input| input.media == Some(media));
        let order =
            order.and_then(|input| input.order).expect("media are brought by an input with their order");
        let operands = std::iter::once(order).chain(made.iter().map(|(value, _)| *value)).zip(0u32..);
        let operands = operands.map(|(value, port)| Operand { port, value, each: false }).collect();
        let kind = NodeKind::Adapt(Adaptor::Interleave(kinds));
        Eval::Item(self.made(kind, operands, "match".to_owned(), ty, true, span))
    }

    /// `merge(a, b)`, or with names, which tell where each item came from.
    pub(crate) fn merge(&mut self, args: &[Arg], span: Span) -> Eval {
        let named = args.iter().filter(|arg| arg.name.is_some()).count();
        let mut operands = Vec::new();
        let mut kind: Option<(Kind, Span)> = None;
        let mut whole = true;
        for (port, arg) in (0u32..).zip(args) {
            let eval = self.eval(&arg.value);
            let at = arg.value.span;
            let Some(value) = self.merged(eval, at) else {
                whole = false;
                continue;
            };
            let given = self.graph.values[value].ty.kind.clone();
            let both = kind.as_ref().map_or(Some(given.clone()), |(so_far, _)| common(so_far, &given));
            let Some(both) = both else {
                let (one, first) = kind.map_or((String::new(), at), |(kind, at)| (kind.to_string(), at));
                let problem = semantic::control::cases_of_other_types(&one, first, &given.to_string(), at);
                self.context.report(problem);
                return Eval::Poison;
            };
            kind = Some((both, kind.map_or(at, |(_, first)| first)));
            operands.push(Operand { port, value, each: false });
        }
        if args.len() < 2 || (named > 0 && named < args.len()) {
            self.context.report(semantic::control::merge_of_what(args.len(), span));
            return Eval::Poison;
        }
        let tags: Vec<String> = args.iter().filter_map(|arg| Some(arg.name.as_ref()?.text.clone())).collect();
        if let Some(again) = (1..tags.len()).find(|again| tags[..*again].contains(&tags[*again])) {
            let name = args[again].name.as_ref();
            let first = args.iter().filter_map(|arg| arg.name.as_ref()).find(|name| name.text == tags[again]);
            if let Some((name, first)) = name.zip(first) {
                self.context.report(semantic::names::taken(name, first.span));
            }
            return Eval::Poison;
        }
        let Some((kind, _)) = kind.filter(|_| whole) else { return Eval::Poison };
        self.merged_streams(kind, tags, operands, span)
    }

    fn merged_streams(&mut self, kind: Kind, tags: Vec<String>, operands: Vec<Operand>, span: Span) -> Eval {
        let form = Form::Stream { window: DEFAULT_STREAM_WINDOW };
        let adaptor = Adaptor::Merge { tags: tags.clone() };
        let node = self.add(NodeKind::Adapt(adaptor), operands, span);
        let items = self.make(node, 0, "merge".to_owned(), Type { kind, form }, false, span);
        if tags.is_empty() {
            return Eval::Value(items);
        }
        let ty = Type { kind: Kind::Enum(tags), form };
        let tag = self.make(node, 1, "merge.tag".to_owned(), ty, true, span);
        Eval::Record(vec![("item".to_owned(), Eval::Value(items)), ("tag".to_owned(), Eval::Value(tag))])
    }

    /// A stream that exists.
    fn merged(&mut self, eval: Eval, span: Span) -> Option<ValueId> {
        let (value, each) = self.value(eval, None, span)?;
        let made = &self.graph.values[value];
        if each || !made.ty.is_stream() {
            let problem = semantic::types::value_as_stream(&made.ty, "`merge`", span, made.declared);
            self.context.report(problem);
            return None;
        }
        self.exists(value, span).then_some(value)
    }
}
