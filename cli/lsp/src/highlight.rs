//! What each word of a file is, for colours that follow the meaning.

use corn_compiler::index::{Index, Sort, VOCABULARY};
use corn_compiler::source::FileId;
use corn_compiler::syntax::{Lexeme, LexemeKind, lexemes};
use lsp_types::{
    SemanticToken, SemanticTokenType, SemanticTokens, SemanticTokensFullOptions, SemanticTokensLegend,
    SemanticTokensOptions, SemanticTokensParams, SemanticTokensResult, SemanticTokensServerCapabilities,
};

use crate::server::{Refusal, not_open};
use crate::world::World;

/// The kinds of tokens, by the number that stands for each.
const KINDS: [SemanticTokenType; 11] = [
    SemanticTokenType::KEYWORD,
    SemanticTokenType::STRING,
    SemanticTokenType::NUMBER,
    SemanticTokenType::COMMENT,
    SemanticTokenType::NAMESPACE,
    SemanticTokenType::CLASS,
    SemanticTokenType::FUNCTION,
    SemanticTokenType::PARAMETER,
    SemanticTokenType::PROPERTY,
    SemanticTokenType::VARIABLE,
    SemanticTokenType::TYPE,
];

pub(crate) fn offer() -> SemanticTokensServerCapabilities {
    let legend = SemanticTokensLegend { token_types: KINDS.to_vec(), token_modifiers: Vec::new() };
    SemanticTokensOptions { legend, full: Some(SemanticTokensFullOptions::Bool(true)), ..Default::default() }
        .into()
}

pub(crate) fn tokens(
    world: &mut World,
    params: &SemanticTokensParams,
) -> Result<Option<SemanticTokensResult>, Refusal> {
    let key = World::key(&params.text_document.uri);
    if !world.open.contains_key(&key) {
        return Err(not_open(&key));
    }
    let Some(examined) = world.examined(&key, false) else { return Ok(None) };
    let text = examined.text(FileId(0));
    let (mut line, mut column) = (0, 0);
    let mut data = Vec::new();
    for lexeme in lexemes(text.as_str()) {
        let written = &text.as_str()[lexeme.start as usize..lexeme.end as usize];
        let Some(kind) = kind(&lexeme, written, examined.index()) else { continue };
        let start = text.position(lexeme.start as usize, world.encoding);
        let delta_start = if start.line == line { start.character - column } else { start.character };
        data.push(SemanticToken {
            delta_line: start.line - line,
            delta_start,
            length: world.encoding.columns(written.trim_end_matches('\r')),
            token_type: KINDS.iter().position(|known| *known == kind).unwrap_or_default() as u32,
            token_modifiers_bitset: 0,
        });
        (line, column) = (start.line, start.character);
    }
    Ok(Some(SemanticTokens { result_id: None, data }.into()))
}

fn kind(lexeme: &Lexeme, written: &str, index: &Index) -> Option<SemanticTokenType> {
    Some(match lexeme.kind {
        LexemeKind::Reserved => SemanticTokenType::KEYWORD,
        LexemeKind::Text => SemanticTokenType::STRING,
        LexemeKind::Number => SemanticTokenType::NUMBER,
        LexemeKind::Doc => SemanticTokenType::COMMENT,
        LexemeKind::Sign | LexemeKind::Error => return None,
        LexemeKind::Name => {
            let named = index.at(FileId(0), lexeme.start).filter(|it| it.span.end == lexeme.end);
            match named.map(|it| index.definitions[it.definition].sort) {
                Some(Sort::Module | Sort::Cluster | Sort::Node) => SemanticTokenType::NAMESPACE,
                Some(Sort::Component) => SemanticTokenType::CLASS,
                Some(Sort::Graph | Sort::Route) => SemanticTokenType::FUNCTION,
                Some(Sort::Parameter | Sort::Input) => SemanticTokenType::PARAMETER,
                Some(Sort::InPort | Sort::OutPort | Sort::Output | Sort::Field) => {
                    SemanticTokenType::PROPERTY
                }
                Some(Sort::Let | Sort::Local) => SemanticTokenType::VARIABLE,
                None if VOCABULARY.types.contains(&written)
                    || VOCABULARY.parameter_types.contains(&written) =>
                {
                    SemanticTokenType::TYPE
                }
                None if VOCABULARY.functions.contains(&written) || VOCABULARY.adaptors.contains(&written) => {
                    SemanticTokenType::FUNCTION
                }
                // Words like `run` and `max` are coloured by the editor's grammar.
                None => return None,
            }
        }
    })
}
