//! Written types to types with every bound.
//!
//! Text, pictures, sound and stream windows have a bound when none is written; lists and tensor
//! dimensions must say theirs. Whether a bound was written is kept: one that was not is narrowed
//! to what the readers of a value take, one that was is held against them.

use std::collections::BTreeMap;

use corn_plan::types::{
    DEFAULT_AUDIO_MAX_MS, DEFAULT_IMAGE_MAX_BYTES, DEFAULT_MEDIA_MAX_BYTES, DEFAULT_STREAM_WINDOW,
    DEFAULT_TEXT_MAX_BYTES, DEFAULT_VIDEO_MAX_BYTES,
};
use corn_plan::{Dim, Dtype, Form, FrameRate, Kind, Literal, Type};

use crate::analyze::consts::{Place, Seen};
use crate::analyze::context::{Const, Context, ParamType};
use crate::diagnostic::semantic::{self, Candidate, Spelled};
use crate::source::Span;
use crate::syntax::ast::{DimExpr, DimExtent, Expr, Name, Str, TypeExpr, TypeKind};

/// A written type, resolved.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub(crate) ty: Type,
    /// Whether its bound was written (or it has no other).
    pub(crate) fixed: bool,
    /// Whether its window was written.
    pub(crate) windowed: bool,
    /// Whether it ends in `?`.
    pub(crate) optional: bool,
}

/// Bounds of the symbols of one declaration's tensor types.
pub(crate) type Symbols = BTreeMap<String, u64>;

pub(crate) const MODALITIES: [&str; 13] = [
    "text", "image", "audio", "video", "media", "messages", "tensor", "int", "float", "bool", "enum",
    "stream", "list",
];
pub(crate) const PARAMETERS: [&str; 9] =
    ["weights", "int", "float", "bool", "text", "enum", "list", "bytes", "duration"];
/// Highest rate that a type may name.
const MAX_RATE_HZ: u64 = 192_000;
/// Most thousandths of a frame a second that a video may name.
const MAX_MILLI_FPS: u64 = 1_000_000;

/// The bounds that `types` write for their symbols.
pub(crate) fn symbols<'t>(types: impl Iterator<Item = &'t TypeExpr>) -> Symbols {
    let mut symbols = Symbols::new();
    let mut left: Vec<&TypeExpr> = types.collect();
    while let Some(ty) = left.pop() {
        match &ty.kind {
            TypeKind::Of { item, .. } => left.push(item),
            TypeKind::Record(fields) => left.extend(fields.iter().map(|(_, ty)| ty)),
            TypeKind::Tensor { dims, .. } => {
                for dim in dims {
                    if let DimExtent::Symbol(name, Some(max)) = &dim.extent {
                        symbols.entry(name.text.clone()).or_insert(*max);
                    }
                }
            }
            _ => {}
        }
    }
    symbols
}

impl Context<'_> {
    /// The type of a value or port; `None` if it is broken, which is reported.
    pub(crate) fn value_type(&mut self, ty: &TypeExpr, symbols: &Symbols, module: usize) -> Option<Resolved> {
        let (kind, form, fixed, windowed) = if let TypeKind::Of { name, item } = &ty.kind {
            self.container(ty, name, item, symbols, module)?
        } else {
            if let Some(window) = &ty.window {
                self.report(semantic::types::no_window(window.span));
                return None;
            }
            let (kind, fixed) = self.item_kind(ty, symbols, module)?;
            (kind, Form::Value, fixed, false)
        };
        let resolved = Resolved { ty: Type { kind, form }, fixed, windowed, optional: ty.optional };
        if resolved.ty.max_bytes().is_none() {
            self.report(semantic::types::too_large(&resolved.ty.to_string(), ty.span));
            return None;
        }
        Some(resolved)
    }

    fn container(
        &mut self,
        ty: &TypeExpr,
        name: &Name,
        item: &TypeExpr,
        symbols: &Symbols,
        module: usize,
    ) -> Option<(Kind, Form, bool, bool)> {
        let is_conversation = matches!(&item.kind, TypeKind::Named(name) if name.text == "messages");
        let is_item = !matches!(item.kind, TypeKind::Of { .. } | TypeKind::Record(_)) && !is_conversation;
        if !is_item || item.optional || item.window.is_some() {
            self.report(semantic::types::bad_item(&name.text, item.span));
            return None;
        }
        let (kind, fixed) = self.item_kind(item, symbols, module)?;
        match name.text.as_str() {
            "stream" => {
                if let Some(max) = &ty.max {
                    self.report(semantic::types::stream_max(max.span));
                    return None;
                }
                let window = match &ty.window {
                    Some(window) => self.count(window, "a window", module)?,
                    None => DEFAULT_STREAM_WINDOW,
                };
                Some((kind, Form::Stream { window }, fixed, ty.window.is_some()))
            }
            "list" => {
                if let Some(window) = &ty.window {
                    self.report(semantic::types::no_window(window.span));
                    return None;
                }
                let Some(max) = &ty.max else {
                    self.report(semantic::types::list_without_bound(&kind, ty.span));
                    return None;
                };
                let max = self.count(max, "a list", module)?;
                Some((kind, Form::List { max }, fixed, false))
            }
            _ => {
                let known = ["stream", "list"].map(Candidate::named);
                self.report(semantic::names::unknown_type(name, &known));
                None
            }
        }
    }

    fn item_kind(&mut self, ty: &TypeExpr, symbols: &Symbols, module: usize) -> Option<(Kind, bool)> {
        let fixed = ty.max.is_some();
        let kind = match &ty.kind {
            TypeKind::Named(name) => self.named_kind(ty, name, module)?,
            TypeKind::Rated { name, rate } => {
                if name.text == "video" {
                    let rate = Some(self.frame_rate(rate, module)?);
                    let max_bytes = self.byte_bound(ty, DEFAULT_VIDEO_MAX_BYTES, module)?;
                    return Some((Kind::Video { rate, max_bytes }, fixed));
                }
                if name.text != "audio" {
                    self.report(semantic::types::no_rate(name));
                    return None;
                }
                let rate_hz = Some(self.rate(rate, module)?);
                let max_ms = self.duration_bound(ty, module)?;
                return Some((Kind::Audio { rate_hz, max_ms }, fixed));
            }
            TypeKind::Tensor { dtype, dims } => {
                self.no_max(ty)?;
                return Some((self.tensor(dtype, dims, symbols)?, true));
            }
            TypeKind::Enum(words) => {
                self.no_max(ty)?;
                self.words_differ(words)?;
                return Some((Kind::Enum(words.iter().map(|word| word.text.clone()).collect()), true));
            }
            TypeKind::Record(_) => {
                self.report(semantic::types::record_type(ty.span));
                return None;
            }
            TypeKind::Of { .. } | TypeKind::Error => return None,
        };
        let fixed = fixed || matches!(kind, Kind::Int | Kind::Float | Kind::Bool);
        Some((kind, fixed))
    }

    fn named_kind(&mut self, ty: &TypeExpr, name: &Name, module: usize) -> Option<Kind> {
        match name.text.as_str() {
            "text" => Some(Kind::Text { max_bytes: self.byte_bound(ty, DEFAULT_TEXT_MAX_BYTES, module)? }),
            "image" => Some(Kind::Image { max_bytes: self.byte_bound(ty, DEFAULT_IMAGE_MAX_BYTES, module)? }),
            "audio" => Some(Kind::Audio { rate_hz: None, max_ms: self.duration_bound(ty, module)? }),
            "video" => {
                let max_bytes = self.byte_bound(ty, DEFAULT_VIDEO_MAX_BYTES, module)?;
                Some(Kind::Video { rate: None, max_bytes })
            }
            "media" => {
                let max_bytes = self.byte_bound(ty, DEFAULT_MEDIA_MAX_BYTES, module)?;
                Some(Kind::Media { rate: None, max_bytes })
            }
            "messages" => {
                let Some(max) = &ty.max else {
                    self.report(semantic::control::messages_without_bound(ty.span));
                    return None;
                };
                Some(Kind::Messages { max_parts: self.count(max, "a conversation", module)? })
            }
            "int" | "float" | "bool" => {
                self.no_max(ty)?;
                Some(match name.text.as_str() {
                    "int" => Kind::Int,
                    "float" => Kind::Float,
                    _ => Kind::Bool,
                })
            }
            word if MODALITIES.contains(&word) => {
                self.report(semantic::types::incomplete(name));
                None
            }
            word if PARAMETERS.contains(&word) => {
                self.report(semantic::types::parameter_type(name));
                None
            }
            _ => {
                self.report(semantic::names::unknown_type(name, &MODALITIES.map(Candidate::named)));
                None
            }
        }
    }

    fn tensor(&mut self, dtype: &Name, dims: &[DimExpr], symbols: &Symbols) -> Option<Kind> {
        let Some(dtype) = Dtype::from_name(&dtype.text) else {
            let known = Dtype::ALL.map(|dtype| Candidate::named(dtype.name()));
            self.report(semantic::names::unknown_dtype(dtype, &known));
            return None;
        };
        let mut resolved = Vec::new();
        for dim in dims {
            if let DimExtent::Fixed(0) | DimExtent::Symbol(_, Some(0)) = dim.extent {
                self.report(semantic::types::empty_dimension(dim.span));
                return None;
            }
            resolved.push(match &dim.extent {
                DimExtent::Fixed(extent) => Dim::Fixed(*extent),
                DimExtent::Symbol(name, written) => {
                    let Some(max) = written.or_else(|| symbols.get(&name.text).copied()) else {
                        self.report(semantic::types::dimension_without_bound(name));
                        return None;
                    };
                    Dim::Upto { name: name.text.clone(), max }
                }
            });
        }
        Some(Kind::Tensor { dtype, dims: resolved })
    }

    fn rate(&mut self, rate: &Expr, module: usize) -> Option<u32> {
        match self.constant(rate, None, Place { module, local: Seen::NOTHING }) {
            Const::Hertz(hertz @ 1..=MAX_RATE_HZ) => u32::try_from(hertz).ok(),
            Const::Poison => None,
            _ => {
                self.report(semantic::types::bad_rate(rate.span));
                None
            }
        }
    }

    fn frame_rate(&mut self, rate: &Expr, module: usize) -> Option<FrameRate> {
        match self.constant(rate, None, Place { module, local: Seen::NOTHING }) {
            Const::MilliFps(rate @ 1..=MAX_MILLI_FPS) => u32::try_from(rate).ok().map(FrameRate),
            Const::Poison => None,
            _ => {
                self.report(semantic::types::bad_frame_rate(rate.span));
                None
            }
        }
    }

    fn no_max(&mut self, ty: &TypeExpr) -> Option<()> {
        let Some(max) = &ty.max else { return Some(()) };
        self.report(semantic::types::no_max(max.span));
        None
    }

    fn byte_bound(&mut self, ty: &TypeExpr, default: u64, module: usize) -> Option<u64> {
        let Some(max) = &ty.max else { return Some(default) };
        match self.constant(max, None, Place { module, local: Seen::NOTHING }) {
            Const::Bytes(bytes) if bytes > 0 => Some(bytes),
            Const::Poison => None,
            _ => {
                self.report(semantic::types::bad_bound("a size in bytes, such as `max 8KiB`", max.span));
                None
            }
        }
    }

    fn duration_bound(&mut self, ty: &TypeExpr, module: usize) -> Option<u64> {
        let Some(max) = &ty.max else { return Some(DEFAULT_AUDIO_MAX_MS) };
        match self.constant(max, None, Place { module, local: Seen::NOTHING }) {
            Const::Millis(millis) if millis > 0 => Some(millis),
            Const::Poison => None,
            _ => {
                self.report(semantic::types::bad_bound("a duration, such as `max 30s`", max.span));
                None
            }
        }
    }

    /// A positive number of items.
    pub(crate) fn count(&mut self, expr: &Expr, what: &str, module: usize) -> Option<u32> {
        match self.constant(expr, None, Place { module, local: Seen::NOTHING }) {
            Const::Literal(Literal::Int(count @ 1..=0x7fff_ffff)) => u32::try_from(count).ok(),
            Const::Poison => None,
            _ => {
                let wanted = format!("the number of items of {what}, at least 1");
                self.report(semantic::types::bad_bound(&wanted, expr.span));
                None
            }
        }
    }

    /// The type of a component's parameter.
    pub(crate) fn param_type(&mut self, ty: &TypeExpr) -> ParamType {
        let broken = |context: &mut Self, span: Span| {
            context.report(semantic::types::bad_parameter_type(span));
            ParamType::Poison
        };
        if let Some(bound) = ty.max.as_ref().or(ty.window.as_ref()) {
            return broken(self, bound.span);
        }
        match &ty.kind {
            TypeKind::Named(name) => match name.text.as_str() {
                "weights" => ParamType::Weights,
                "int" => ParamType::Int,
                "float" => ParamType::Float,
                "bool" => ParamType::Bool,
                "text" => ParamType::Text,
                "bytes" => ParamType::Bytes,
                "duration" => ParamType::Millis,
                word if MODALITIES.contains(&word) => broken(self, name.span),
                _ => {
                    self.report(semantic::names::unknown_type(name, &PARAMETERS.map(Candidate::named)));
                    ParamType::Poison
                }
            },
            TypeKind::Enum(words) if self.words_differ(words).is_none() => ParamType::Poison,
            TypeKind::Enum(words) => ParamType::Enum(words.iter().map(|word| word.text.clone()).collect()),
            TypeKind::Of { name, item } => match &item.kind {
                TypeKind::Named(of) if name.text == "list" && of.text == "text" => ParamType::Texts,
                _ => broken(self, ty.span),
            },
            TypeKind::Error => ParamType::Poison,
            TypeKind::Rated { .. } | TypeKind::Tensor { .. } | TypeKind::Record(_) => broken(self, ty.span),
        }
    }

    /// The words of an `enum` are each there once; `None` is reported.
    fn words_differ(&mut self, words: &[Str]) -> Option<()> {
        for (place, word) in words.iter().enumerate() {
            if let Some(first) = words[..place].iter().find(|first| first.text == word.text) {
                let word = Spelled { text: &word.text, span: word.span };
                self.report(semantic::names::taken(word, first.span));
                return None;
            }
        }
        Some(())
    }
}
