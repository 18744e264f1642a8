//! Answers that are JSON by a schema: which tokens may come next.
//!
//! A schema becomes a grammar over the bytes of tokens (the crate `llguidance`), and each conversation walks its own.
//! Between values stand `", "` and `": "`, and no other white space: of white space a model could write without end.

use std::fmt::Display;
use std::sync::Arc;

use corn_core::Fault;
use llguidance::api::TopLevelGrammar;
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{
    ApproximateTokEnv, INVALID_TOKEN, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie,
};
use llguidance::{JsonCompileOptions, Matcher, ParserFactory};
use serde_json::Value;

use super::schema;
use super::vocabulary::Vocabulary;

/// Work that a token may take: some 14,000 are a ms.
const TOKEN_WORK: u64 = 100_000;
/// Work that a schema may take: some 50,000 are a ms.
const SCHEMA_WORK: u64 = 1_000_000;
/// States of one conversation, of 2 KiB at most.
const MAX_STATES: usize = 16_384;
/// Symbols of one grammar.
const MAX_SYMBOLS: usize = 100_000;

/// Makes grammars of schemas, for one vocabulary.
pub(super) struct Grammars {
    factory: ParserFactory,
}

impl Grammars {
    pub(super) fn new(vocabulary: &Vocabulary) -> Result<Self, Fault> {
        let ends: Vec<u32> = vocabulary.ends().collect();
        let info = TokRxInfo::new(vocabulary.len() as u32, ends.first().copied().unwrap_or(INVALID_TOKEN));
        // Those that control are of no bytes, and so of no answer.
        let words: Vec<Vec<u8>> =
            (0..vocabulary.len() as u32).map(|token| vocabulary.bytes(token).to_vec()).collect();
        let mut tokens = TokTrie::from(&info, &words);
        if !ends.is_empty() {
            tokens = tokens.with_eos_tokens(&ends);
        }
        let tokens: TokEnv = Arc::new(ApproximateTokEnv::new(tokens));
        let slices = SlicedBiasComputer::json_slices();
        let mut factory = ParserFactory::new(&tokens, InferenceCapabilities::default(), &slices)
            .map_err(|error| Fault::setup(format!("no grammars over the vocabulary: {}", brief(&error))))?;
        factory.quiet();
        let limits = factory.limits_mut();
        limits.initial_lexer_fuel = SCHEMA_WORK;
        limits.step_lexer_fuel = TOKEN_WORK;
        limits.max_lexer_states = MAX_STATES;
        limits.max_grammar_size = MAX_SYMBOLS;
        limits.verbose_errors = false;
        Ok(Self { factory })
    }

    /// The grammar of answers by `schema`, at its beginning.
    pub(super) fn grammar(&self, schema: &str) -> Result<Grammar, Fault> {
        let mut schema: Value =
            serde_json::from_str(schema).map_err(|error| refused(format_args!("is no JSON: {error}")))?;
        schema::check(&schema).map_err(refused)?;
        let options = JsonCompileOptions {
            item_separator: ", ".to_owned(),
            key_separator: ": ".to_owned(),
            whitespace_flexible: false,
            ..JsonCompileOptions::default()
        };
        options.apply_to(&mut schema);
        let parser = self.factory.create_parser(TopLevelGrammar::from_json_schema(schema));
        let parser = parser.map_err(|error| refused(format_args!("is not taken: {}", brief(&error))))?;
        Ok(Grammar { matcher: Matcher::new(Ok(parser)) })
    }
}

/// What one answer has come to.
pub(super) struct Grammar {
    matcher: Matcher,
}

impl Grammar {
    /// Makes the tokens impossible that may not come next.
    pub(super) fn constrain(&mut self, logits: &mut [f32]) -> Result<(), Fault> {
        let allowed = self.matcher.compute_mask().map_err(|error| stuck(&error))?;
        allowed.iter_unset_entries(|token| {
            if let Some(logit) = logits.get_mut(token) {
                *logit = f32::NEG_INFINITY;
            }
        });
        Ok(())
    }

    /// The next token. Says whether the answer is complete, and nothing may follow.
    pub(super) fn push(&mut self, token: u32) -> Result<bool, Fault> {
        self.matcher.consume_token(token).map_err(|error| stuck(&error))?;
        Ok(self.matcher.is_stopped())
    }
}

fn refused(why: impl Display) -> Fault {
    Fault::request(format!("input 'schema' {why}"))
}

fn stuck(error: &impl Display) -> Fault {
    Fault::request(format!("the answer cannot go on by input 'schema': {}", brief(error)))
}

/// An error in a line. Parsers say in the last one what it is, and others in the first.
fn brief(error: &impl Display) -> String {
    let error = format!("{error:#}");
    let first = error.lines().next().unwrap_or_default();
    let last = error.lines().last().unwrap_or_default();
    if first.starts_with("panic:") {
        "it is more than can be worked out".to_owned()
    } else if first.contains("oneOf") {
        "the options of a \"oneOf\" are not told apart by their types or by constants; there is \"anyOf\""
            .to_owned()
    } else if first.contains("NoExtension") {
        "no token of the model may come next".to_owned()
    } else if first.ends_with("parse error:") {
        format!("a pattern cannot be read: {}", last.trim_start_matches("error: "))
    } else {
        first.to_owned()
    }
}
