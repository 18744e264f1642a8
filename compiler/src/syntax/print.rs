//! A tree as canonical text: what `--emit ast` shows. Reading it again gives the same tree.
//!
//! Comments other than documentation are not in the tree and so not in the text. Error nodes are
//! printed as `<error>`, which is no part of the language.

mod deploy;

use std::fmt::{self, Write as _};

use super::ast::{
    Arm, Block, Clause, Component, DimExtent, Expr, ExprKind, File, Graph, Item, Let, LoopBody, LoopStep,
    Name, Param, Pattern, PatternKind, Route, Str, TypeExpr, TypeKind, Use,
};

const BROKEN: &str = "<error>";

/// The text of `file`.
pub fn print(file: &File) -> String {
    let mut printer = Printer { text: String::new(), indent: 0 };
    for (index, item) in file.items.iter().enumerate() {
        let is_close = matches!(
            (item, index.checked_sub(1).map(|before| &file.items[before])),
            (Item::Use(_), Some(Item::Use(_)))
                | (Item::Let(_), Some(Item::Let(_)))
                | (Item::Route(_), Some(Item::Route(_)))
        );
        if index > 0 && !is_close {
            printer.text.push('\n');
        }
        printer.item(item);
    }
    printer.text
}

struct Printer {
    text: String,
    indent: usize,
}

impl Printer {
    fn put(&mut self, part: impl fmt::Display) {
        write!(self.text, "{part}").expect("a String takes all text");
    }

    fn line(&mut self) {
        self.text.push('\n');
        for _ in 0..self.indent {
            self.text.push_str("    ");
        }
    }

    /// `items` with commas between.
    fn listed<T>(&mut self, items: &[T], mut one: impl FnMut(&mut Self, &T)) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.put(", ");
            }
            one(self, item);
        }
    }

    fn names(&mut self, names: &[Name], between: &str) {
        for (index, name) in names.iter().enumerate() {
            self.put(if index == 0 { "" } else { between });
            self.put(&name.text);
        }
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Use(item) => self.use_item(item),
            Item::Let(item) => self.binding(item),
            Item::Component(item) => self.component(item),
            Item::Graph(item) => self.graph(item),
            Item::Route(item) => self.route(item),
            Item::Cluster(item) => self.cluster(item),
            Item::Place(item) => self.place(item),
            Item::Serve(item) => self.serve(item),
            Item::Workload(item) => self.workload(item),
            Item::Error(_) => self.put(BROKEN),
        }
        self.line();
    }

    fn docs(&mut self, docs: &[String]) {
        for doc in docs {
            self.put("///");
            if !doc.is_empty() {
                self.put(format_args!(" {doc}"));
            }
            self.line();
        }
    }

    fn use_item(&mut self, item: &Use) {
        self.put("use ");
        self.names(&item.module, "::");
        self.put("::");
        match item.names.as_slice() {
            [name] => self.put(&name.text),
            names => {
                self.put("{");
                self.names(names, ", ");
                self.put("}");
            }
        }
    }

    fn binding(&mut self, item: &Let) {
        self.put(format_args!("let {} = ", item.name.text));
        self.expr(&item.value);
    }

    fn component(&mut self, item: &Component) {
        self.docs(&item.docs);
        self.put(format_args!("component {}", item.name.text));
        self.params(&item.params);
        self.put(" {");
        self.indent += 1;
        for clause in &item.clauses {
            self.line();
            self.clause(clause);
        }
        self.indent -= 1;
        self.line();
        self.put("}");
    }

    fn clause(&mut self, clause: &Clause) {
        match clause {
            Clause::In(port) => {
                self.put(format_args!("in  {}: ", port.name.text));
                self.ty(&port.ty);
            }
            Clause::Out(port) => {
                self.put(format_args!("out {}: ", port.name.text));
                self.ty(&port.ty);
            }
            Clause::Run { executor, entry, .. } => {
                self.put(format_args!("run {} {}", executor.text, Quoted(&entry.text)));
            }
            Clause::Needs { needs, .. } => {
                self.put("needs ");
                self.listed(needs, |printer, (name, amount)| {
                    printer.put(format_args!("{} ", name.text));
                    printer.expr(amount);
                });
            }
            Clause::Batch { max, within, .. } => {
                self.put("batch ");
                self.expr(max);
                if let Some(within) = within {
                    self.put(" within ");
                    self.expr(within);
                }
            }
            Clause::Error(_) => self.put(BROKEN),
        }
    }

    fn graph(&mut self, item: &Graph) {
        self.docs(&item.docs);
        self.put(format_args!("graph {}", item.name.text));
        self.params(&item.params);
        self.put(" -> ");
        self.ty(&item.output);
        self.put(" ");
        self.block(&item.body);
    }

    fn route(&mut self, item: &Route) {
        self.docs(&item.docs);
        self.put(format_args!("route {} = {}(", item.name.text, item.graph.text));
        self.listed(&item.inputs, |printer, input| {
            printer.put(&input.name.text);
            printer.put(if input.optional { "?" } else { "" });
            if let Some(value) = &input.value {
                printer.put(": ");
                printer.expr(value);
            }
        });
        self.put(") -> ");
        self.names(&item.outputs, " + ");
    }

    fn params(&mut self, params: &[Param]) {
        self.put("(");
        self.listed(params, |printer, param| {
            printer.put(format_args!("{}: ", param.name.text));
            printer.ty(&param.ty);
            if let Some(default) = &param.default {
                printer.put(" = ");
                printer.expr(default);
            }
        });
        self.put(")");
    }

    fn ty(&mut self, ty: &TypeExpr) {
        match &ty.kind {
            TypeKind::Named(name) => self.put(&name.text),
            TypeKind::Of { name, item } => {
                self.put(format_args!("{}<", name.text));
                self.ty(item);
                self.put(">");
            }
            TypeKind::Rated { name, rate } => {
                self.put(format_args!("{}<", name.text));
                self.expr(rate);
                self.put(">");
            }
            TypeKind::Tensor { dtype, dims } => {
                self.put(format_args!("tensor<{}>[", dtype.text));
                self.listed(dims, |printer, dim| match &dim.extent {
                    DimExtent::Fixed(extent) => printer.put(extent),
                    DimExtent::Symbol(name, None) => printer.put(&name.text),
                    DimExtent::Symbol(name, Some(max)) => printer.put(format_args!("{} <= {max}", name.text)),
                });
                self.put("]");
            }
            TypeKind::Enum(words) => {
                self.put("enum(");
                self.listed(words, |printer, word: &Str| printer.put(Quoted(&word.text)));
                self.put(")");
            }
            TypeKind::Record(fields) => {
                self.put("{ ");
                self.listed(fields, |printer, (name, ty)| {
                    printer.put(format_args!("{}: ", name.text));
                    printer.ty(ty);
                });
                self.put(" }");
            }
            TypeKind::Error => self.put(BROKEN),
        }
        for (word, bound) in [("max", &ty.max), ("window", &ty.window)] {
            if let Some(bound) = bound {
                self.put(format_args!(" {word} "));
                self.expr(bound);
            }
        }
        self.put(if ty.optional { "?" } else { "" });
    }

    /// A block of one value is one line where it stands inside an expression.
    fn block(&mut self, block: &Block) {
        self.put("{");
        self.indent += 1;
        for binding in &block.lets {
            self.line();
            self.binding(binding);
        }
        if let Some(value) = &block.value {
            self.line();
            self.expr(value);
        }
        self.indent -= 1;
        self.line();
        self.put("}");
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Name(name) => self.put(name),
            ExprKind::Int(int) => self.put(int),
            ExprKind::Float(float) => self.put(format_args!("{float:?}")),
            ExprKind::Str(text) => self.put(Quoted(text)),
            ExprKind::Bool(bool) => self.put(bool),
            ExprKind::Quantity { number, unit } => self.put(format_args!("{}{unit}", Plain(*number))),
            ExprKind::Call { callee, args } => {
                self.expr(callee);
                self.put("(");
                self.listed(args, |printer, arg| {
                    if let Some(name) = &arg.name {
                        printer.put(format_args!("{}: ", name.text));
                    }
                    printer.expr(&arg.value);
                });
                self.put(")");
            }
            ExprKind::Field { base, name } => {
                self.expr(base);
                self.put(format_args!(".{}", name.text));
            }
            ExprKind::List(items) => {
                self.put("[");
                self.listed(items, Self::expr);
                self.put("]");
            }
            ExprKind::Each { body, item, list } => {
                self.put("[");
                self.expr(body);
                self.put(format_args!(" for {} in ", item.text));
                self.expr(list);
                self.put("]");
            }
            ExprKind::When { present, body } => {
                self.put("when ");
                self.names(present, ", ");
                self.put(" ");
                self.block(body);
            }
            ExprKind::Record(fields) => {
                self.put("{ ");
                self.listed(fields, |printer, (name, value)| {
                    printer.put(&name.text);
                    if let Some(value) = value {
                        printer.put(": ");
                        printer.expr(value);
                    }
                });
                self.put(" }");
            }
            ExprKind::If { arms, otherwise } => self.conditions(arms, otherwise.as_ref()),
            ExprKind::Match { subject, arms } => self.arms("match", subject, arms),
            ExprKind::Switch { subject, arms } => self.arms("switch", subject, arms),
            ExprKind::Loop { carried, trip, max, body } => {
                self.put("loop ");
                self.listed(carried, |printer, var| {
                    printer.put(format_args!("{} = ", var.name.text));
                    printer.expr(&var.init);
                });
                if let Some((name, count)) = trip {
                    self.put(if carried.is_empty() { "" } else { ", " });
                    self.put(format_args!("{} in ", name.text));
                    self.expr(count);
                }
                if let Some(max) = max {
                    self.put(" max ");
                    self.expr(max);
                }
                self.put(" ");
                self.loop_body(body);
            }
            ExprKind::None => self.put("none"),
            ExprKind::Error => self.put(BROKEN),
        }
    }

    fn conditions(&mut self, arms: &[(Expr, Block)], otherwise: Option<&Block>) {
        for (index, (condition, body)) in arms.iter().enumerate() {
            self.put(if index == 0 { "if " } else { " else if " });
            self.expr(condition);
            self.put(" ");
            self.block(body);
        }
        if let Some(otherwise) = otherwise {
            self.put(" else ");
            self.block(otherwise);
        }
    }

    fn arms(&mut self, word: &str, subject: &Expr, arms: &[Arm]) {
        self.put(format_args!("{word} "));
        self.expr(subject);
        self.put(" {");
        self.indent += 1;
        for arm in arms {
            self.line();
            self.pattern(&arm.pattern);
            self.put(" => ");
            match &arm.body.value {
                Some(value) if !arm.braced => self.expr(value),
                _ => self.block(&arm.body),
            }
        }
        self.indent -= 1;
        self.line();
        self.put("}");
    }

    fn pattern(&mut self, pattern: &Pattern) {
        match &pattern.kind {
            PatternKind::Text(text) => self.put(Quoted(text)),
            PatternKind::Int(int) => self.put(int),
            PatternKind::Bool(bool) => self.put(bool),
            PatternKind::Name(name) => self.put(name),
            PatternKind::Else => self.put("else"),
            PatternKind::Error => self.put(BROKEN),
        }
    }

    fn loop_body(&mut self, body: &LoopBody) {
        self.put("{");
        self.indent += 1;
        for step in &body.steps {
            self.line();
            match step {
                LoopStep::Let(binding) => self.binding(binding),
                LoopStep::Next { name, value, .. } => {
                    self.put(format_args!("{} = ", name.text));
                    self.expr(value);
                }
            }
        }
        if let Some(until) = &body.until {
            self.line();
            self.put("until ");
            self.expr(until);
        }
        self.indent -= 1;
        self.line();
        self.put("}");
    }
}

/// A text as a literal.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\0' => f.write_str("\\0")?,
                control if control.is_control() => write!(f, "{}", control.escape_unicode())?,
                other => f.write_char(other)?,
            }
        }
        f.write_char('"')
    }
}

/// A quantity's number: `4`, `1.4`, `1e21`, whole ones without a point.
struct Plain(f64);

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let debug = format!("{:?}", self.0);
        f.write_str(debug.strip_suffix(".0").unwrap_or(&debug))
    }
}
