//! Generated trees: every form that the grammar has.

use corn_compiler::source::{FileId, Span};
use corn_compiler::syntax::ast::deploy::{
    Brings, Cluster, ClusterPart, Endpoint, Link, Node, NodePart, Place, PlaceLine, Serve, ServeLine,
    Setting, SettingKind, Target, Workload, WorkloadLine,
};
use corn_compiler::syntax::ast::{
    Arg, Arm, Block, Carried, Clause, Component, DimExpr, DimExtent, Expr, ExprKind, Graph, Item, Let,
    LoopBody, LoopStep, Name, Param, Pattern, PatternKind, Port, Route, RouteInput, Str, TypeExpr, TypeKind,
    Use,
};
use proptest::prelude::*;

const NOWHERE: Span = Span { file: FileId(0), start: 0, end: 0 };

fn word() -> impl Strategy<Value = String> + Clone {
    let kept = [
        "use",
        "let",
        "component",
        "graph",
        "route",
        "in",
        "out",
        "for",
        "when",
        "enum",
        "true",
        "false",
        "switch",
        "loop",
        "match",
        "if",
        "else",
        "until",
        "none",
        "run",
        "needs",
        "batch",
        "within",
        "max",
        "window",
        "tensor",
    ];
    "[A-Za-z_][A-Za-z0-9_]{0,6}".prop_filter("a keyword", move |word| !kept.contains(&word.as_str()))
}

/// Also words with a meaning elsewhere.
fn name() -> impl Strategy<Value = Name> + Clone {
    let elsewhere = prop::sample::select(vec![
        "run", "needs", "batch", "within", "max", "window", "place", "node", "gpu", "memory", "on", "apart",
        "with", "grpc", "limit", "rate", "target",
    ]);
    prop_oneof![9 => word(), 1 => elsewhere.prop_map(str::to_owned)]
        .prop_map(|text| Name { text, span: NOWHERE })
}

fn plain_name() -> impl Strategy<Value = Name> + Clone {
    word().prop_map(|text| Name { text, span: NOWHERE })
}

fn string() -> impl Strategy<Value = String> + Clone {
    prop_oneof!["[ -~]{0,8}", "\\PC{0,6}", "[\\x00\n\r\t\u{7f}-\u{9f}\"\\\\]{0,4}"]
        .prop_map(|text: String| text)
}

fn literal() -> impl Strategy<Value = Str> + Clone {
    string().prop_map(|text| Str { text, span: NOWHERE })
}

fn expr_of(kind: ExprKind) -> Expr {
    Expr { kind, span: NOWHERE }
}

fn finite() -> impl Strategy<Value = f64> + Clone {
    prop_oneof![prop::num::f64::NORMAL, Just(0.0), (-1000_i32..1000).prop_map(f64::from)]
}

fn number() -> impl Strategy<Value = ExprKind> + Clone {
    prop_oneof![
        any::<i64>().prop_map(ExprKind::Int),
        finite().prop_map(ExprKind::Float),
        (finite(), "[A-Za-zµ%][A-Za-z]{0,3}").prop_map(|(number, unit)| ExprKind::Quantity { number, unit }),
    ]
}

fn bound() -> impl Strategy<Value = Expr> + Clone {
    prop_oneof![number(), word().prop_map(ExprKind::Name)].prop_map(expr_of)
}

fn expr() -> impl Strategy<Value = Expr> + Clone {
    let leaf = prop_oneof![
        name().prop_map(|name| ExprKind::Name(name.text)),
        number(),
        string().prop_map(ExprKind::Str),
        any::<bool>().prop_map(ExprKind::Bool),
    ];
    leaf.prop_map(expr_of).prop_recursive(4, 24, 3, |inner| {
        let args = prop::collection::vec((prop::option::of(name()), inner.clone()), 0..3);
        let args = args.prop_map(|args| args.into_iter().map(|(name, value)| Arg { name, value }).collect());
        let fields = prop::collection::vec((name(), prop::option::of(inner.clone())), 0..3);
        prop_oneof![
            (inner.clone(), args)
                .prop_map(|(callee, args)| ExprKind::Call { callee: Box::new(callee), args }),
            (inner.clone(), name()).prop_map(|(base, name)| ExprKind::Field { base: Box::new(base), name }),
            prop::collection::vec(inner.clone(), 0..3).prop_map(ExprKind::List),
            (inner.clone(), name(), inner.clone()).prop_map(|(body, item, list)| ExprKind::Each {
                body: Box::new(body),
                item,
                list: Box::new(list),
            }),
            (prop::collection::vec(name(), 1..3), block_of(inner.clone()))
                .prop_map(|(present, body)| ExprKind::When { present, body }),
            fields.prop_map(ExprKind::Record),
            control(inner),
        ]
        .prop_map(expr_of)
    })
}

/// What can be asked about: a record cannot, and its brace would be taken for the construct's.
fn subject(value: impl Strategy<Value = Expr> + Clone + 'static) -> impl Strategy<Value = Expr> + Clone {
    value.prop_filter("begins with a brace", |value| {
        let mut first = value;
        while let ExprKind::Call { callee: base, .. } | ExprKind::Field { base, .. } = &first.kind {
            first = base;
        }
        !matches!(first.kind, ExprKind::Record(_))
    })
}

fn control(value: impl Strategy<Value = Expr> + Clone + 'static) -> impl Strategy<Value = ExprKind> {
    let conditions = prop::collection::vec((subject(value.clone()), block_of(value.clone())), 1..3);
    let otherwise = prop::option::of(block_of(value.clone()));
    let chosen = || (subject(value.clone()), prop::collection::vec(arm(value.clone()), 0..3));
    prop_oneof![
        (conditions, otherwise).prop_map(|(arms, otherwise)| ExprKind::If { arms, otherwise }),
        chosen().prop_map(|(subject, arms)| ExprKind::Match { subject: Box::new(subject), arms }),
        chosen().prop_map(|(subject, arms)| ExprKind::Switch { subject: Box::new(subject), arms }),
        looped(value.clone()),
        Just(ExprKind::None),
    ]
}

fn arm(value: impl Strategy<Value = Expr> + Clone + 'static) -> impl Strategy<Value = Arm> {
    let pattern = prop_oneof![
        string().prop_map(PatternKind::Text),
        any::<i64>().prop_map(PatternKind::Int),
        any::<bool>().prop_map(PatternKind::Bool),
        word().prop_map(PatternKind::Name),
        Just(PatternKind::Else),
    ];
    (pattern, block_of(value)).prop_map(|(kind, body)| Arm {
        pattern: Pattern { kind, span: NOWHERE },
        braced: !body.lets.is_empty(),
        body,
        span: NOWHERE,
    })
}

fn looped(value: impl Strategy<Value = Expr> + Clone + 'static) -> impl Strategy<Value = ExprKind> {
    let carried = prop::collection::vec(
        (name(), value.clone()).prop_map(|(name, init)| Carried { name, init, span: NOWHERE }),
        1..3,
    );
    let trip = prop::option::of((name(), value.clone().prop_map(Box::new)));
    let step = prop_oneof![
        (name(), value.clone()).prop_map(|(name, value)| LoopStep::Let(Let { name, value, span: NOWHERE })),
        (name(), value.clone()).prop_map(|(name, value)| LoopStep::Next { name, value, span: NOWHERE }),
    ];
    let until = prop::option::of(value.prop_map(Box::new));
    (carried, trip, prop::option::of(bound()), prop::collection::vec(step, 0..3), until).prop_map(
        |(carried, trip, max, steps, until)| ExprKind::Loop {
            carried,
            trip,
            max: max.map(Box::new),
            body: LoopBody { steps, until, span: NOWHERE },
        },
    )
}

fn block_of(value: impl Strategy<Value = Expr> + Clone + 'static) -> impl Strategy<Value = Block> {
    (prop::collection::vec((name(), value.clone()), 0..3), value).prop_map(|(lets, value)| Block {
        lets: lets.into_iter().map(|(name, value)| Let { name, value, span: NOWHERE }).collect(),
        value: Some(Box::new(value)),
        span: NOWHERE,
    })
}

fn dim() -> impl Strategy<Value = DimExpr> + Clone {
    let size = 0..i64::MAX as u64;
    let extent = prop_oneof![
        size.clone().prop_map(DimExtent::Fixed),
        (name(), prop::option::of(size)).prop_map(|(name, max)| DimExtent::Symbol(name, max)),
    ];
    extent.prop_map(|extent| DimExpr { extent, span: NOWHERE })
}

fn ty() -> impl Strategy<Value = TypeExpr> + Clone {
    let leaf = prop_oneof![
        plain_name().prop_map(TypeKind::Named),
        (plain_name(), number())
            .prop_map(|(name, rate)| TypeKind::Rated { name, rate: Box::new(expr_of(rate)) }),
        (plain_name(), prop::collection::vec(dim(), 0..3))
            .prop_map(|(dtype, dims)| TypeKind::Tensor { dtype, dims }),
        prop::collection::vec(literal(), 0..3).prop_map(TypeKind::Enum),
    ];
    let bounds = || (prop::option::of(bound()), prop::option::of(bound()), any::<bool>());
    let whole = |(kind, (max, window, optional)): (TypeKind, (Option<Expr>, Option<Expr>, bool))| TypeExpr {
        kind,
        max: max.map(Box::new),
        window: window.map(Box::new),
        optional,
        span: NOWHERE,
    };
    (leaf, bounds()).prop_map(whole).prop_recursive(3, 8, 2, move |inner| {
        let kind = prop_oneof![
            (plain_name(), inner.clone())
                .prop_map(|(name, item)| TypeKind::Of { name, item: Box::new(item) }),
            prop::collection::vec((name(), inner), 0..3).prop_map(TypeKind::Record),
        ];
        (kind, bounds()).prop_map(whole)
    })
}

fn params() -> impl Strategy<Value = Vec<Param>> {
    let param = (name(), ty(), prop::option::of(expr()));
    prop::collection::vec(
        param.prop_map(|(name, ty, default)| Param { name, ty, default, span: NOWHERE }),
        0..3,
    )
}

fn docs() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("([a-z.][a-z .]{0,8}[a-z.])?", 0..3)
}

fn clause() -> impl Strategy<Value = Clause> {
    let port = (name(), ty()).prop_map(|(name, ty)| Port { name, ty, span: NOWHERE });
    let needs = prop::collection::vec((plain_name(), bound()), 1..3);
    prop_oneof![
        port.clone().prop_map(Clause::In),
        port.prop_map(Clause::Out),
        (name(), literal()).prop_map(|(executor, entry)| Clause::Run { executor, entry, span: NOWHERE }),
        needs.prop_map(|needs| Clause::Needs { needs, span: NOWHERE }),
        (bound(), prop::option::of(bound())).prop_map(|(max, within)| Clause::Batch {
            max,
            within,
            span: NOWHERE
        }),
    ]
}

fn number_expr() -> impl Strategy<Value = Expr> + Clone {
    number().prop_map(expr_of)
}

fn cluster() -> impl Strategy<Value = Item> {
    let part = prop_oneof![
        number_expr().prop_map(|count| NodePart::Cpu { count, span: NOWHERE }),
        number_expr().prop_map(|size| NodePart::Memory { size, span: NOWHERE }),
        (number_expr(), name(), number_expr()).prop_map(|(count, kind, memory)| NodePart::Gpu {
            count,
            kind,
            memory,
            span: NOWHERE
        }),
    ];
    let node = (name(), prop::collection::vec(part, 0..4));
    let part = prop_oneof![
        node.prop_map(|(name, parts)| ClusterPart::Node(Node { name, parts, span: NOWHERE })),
        (name(), name(), number_expr()).prop_map(|(from, to, rate)| ClusterPart::Link(Link {
            from,
            to,
            rate,
            span: NOWHERE
        })),
    ];
    (name(), prop::collection::vec(part, 0..4))
        .prop_map(|(name, parts)| Item::Cluster(Cluster { name, parts, span: NOWHERE }))
}

fn place() -> impl Strategy<Value = Item> {
    let kind = prop_oneof![
        number_expr().prop_map(SettingKind::Replicas),
        number_expr().prop_map(SettingKind::TensorParallel),
        name().prop_map(SettingKind::With),
        Just(SettingKind::Apart),
        name().prop_map(SettingKind::On),
        Just(SettingKind::Auto),
    ];
    let setting = kind.prop_map(|kind| Setting { kind, span: NOWHERE });
    let line = (prop::collection::vec(name(), 0..3), prop::collection::vec(setting, 1..4))
        .prop_map(|(components, settings)| PlaceLine::Settings { components, settings, span: NOWHERE });
    (prop::collection::vec(name(), 1..3), name(), prop::collection::vec(line, 0..4))
        .prop_map(|(graphs, cluster, lines)| Item::Place(Place { graphs, cluster, lines, span: NOWHERE }))
}

fn serve() -> impl Strategy<Value = Item> {
    let names = || prop::collection::vec(name(), 1..3);
    let endpoint = (names(), prop::collection::vec(name(), 0..3), name())
        .prop_map(|(path, with, route)| Endpoint { path, with, route, span: NOWHERE });
    let line = prop_oneof![
        prop::collection::vec(endpoint, 1..3)
            .prop_map(|endpoints| ServeLine::Openai { endpoints, span: NOWHERE }),
        Just(ServeLine::Grpc(NOWHERE)),
        Just(ServeLine::Kserve(NOWHERE)),
        prop::collection::vec((name(), number_expr()), 1..3)
            .prop_map(|limits| ServeLine::Limit { limits, span: NOWHERE }),
        number_expr().prop_map(|after| ServeLine::Deadline { after, span: NOWHERE }),
    ];
    (name(), prop::collection::vec(line, 0..4))
        .prop_map(|(graph, lines)| Item::Serve(Serve { graph, lines, span: NOWHERE }))
}

fn workload() -> impl Strategy<Value = Item> {
    let brings = (name(), number_expr(), prop::option::of(number_expr()), prop::option::of(number_expr()));
    let brings =
        brings.prop_map(|(input, least, most, share)| Brings { input, least, most, share, span: NOWHERE });
    let target = (name(), name(), name(), number_expr(), name());
    let target = target.prop_map(|(route, output, measure, within, percentile)| Target {
        route,
        output,
        measure,
        within,
        percentile,
        span: NOWHERE,
    });
    let line = prop_oneof![
        (number_expr(), prop::option::of(number_expr())).prop_map(|(rate, burst)| WorkloadLine::Rate {
            rate,
            burst,
            span: NOWHERE
        }),
        (name(), number_expr(), prop::collection::vec(brings, 0..3))
            .prop_map(|(route, share, brings)| WorkloadLine::Share { route, share, brings, span: NOWHERE }),
        prop::collection::vec(target, 1..3)
            .prop_map(|targets| WorkloadLine::Targets { targets, span: NOWHERE }),
    ];
    (name(), name(), prop::collection::vec(line, 0..4))
        .prop_map(|(name, graph, lines)| Item::Workload(Workload { name, graph, lines, span: NOWHERE }))
}

pub(crate) fn item() -> impl Strategy<Value = Item> {
    let path = prop::collection::vec(name(), 1..3);
    let names = prop::collection::vec(name(), 1..3);
    let input = (name(), any::<bool>(), prop::option::of(expr())).prop_map(|(name, optional, value)| {
        RouteInput { name, optional: optional && value.is_none(), value }
    });
    let inputs = prop::collection::vec(input, 0..3);
    let clauses = prop::collection::vec(clause(), 0..4);
    prop_oneof![
        (path, names.clone()).prop_map(|(module, names)| Item::Use(Use { module, names, span: NOWHERE })),
        (name(), expr()).prop_map(|(name, value)| Item::Let(Let { name, value, span: NOWHERE })),
        (docs(), name(), params(), clauses).prop_map(|(docs, name, params, clauses)| {
            Item::Component(Component { docs, name, params, clauses, span: NOWHERE })
        }),
        (docs(), name(), params(), ty(), block_of(expr())).prop_map(|(docs, name, params, output, body)| {
            Item::Graph(Graph { docs, name, params, output, body, span: NOWHERE })
        }),
        (docs(), name(), name(), inputs, names).prop_map(|(docs, name, graph, inputs, outputs)| {
            Item::Route(Route { docs, name, graph, inputs, outputs, span: NOWHERE })
        }),
        cluster(),
        place(),
        serve(),
        workload(),
    ]
}
