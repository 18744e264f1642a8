//! Any text is cut into tokens: their places lie in the text, in order, on whole characters.
#![no_main]

use corn_compiler::source::FileId;
use corn_compiler::syntax::lex;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (tokens, problems) = lex(FileId(0), text);
    let mut last = 0;
    for span in tokens {
        assert!(last <= span.start && span.start <= span.end, "tokens are in order");
        assert!(text.get(span.start as usize..span.end as usize).is_some(), "a token is a part of the text");
        last = span.end;
    }
    for span in problems.iter().filter_map(|problem| problem.place()) {
        assert!(text.get(span.start as usize..span.end as usize).is_some(), "a problem has a place in the text");
    }
});
