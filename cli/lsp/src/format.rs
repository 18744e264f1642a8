//! A text in the house's form, as the changes that make it so.

use corn_compiler::source::FileId;
use corn_compiler::syntax;
use lsp_server::ErrorCode;
use lsp_types::{DocumentFormattingParams, TextEdit};

use crate::server::{Refusal, not_open, refusal};
use crate::text::Text;
use crate::world::World;

/// The changes to an open text; none if it has its form already. The form is one for all, so what the editor
/// says about tabs is not asked.
pub(crate) fn format(
    world: &mut World,
    params: &DocumentFormattingParams,
) -> Result<Option<Vec<TextEdit>>, Refusal> {
    let key = World::key(&params.text_document.uri);
    let Some(document) = world.open.get(&key) else { return Err(not_open(&key)) };
    let text = &document.text;
    match syntax::format(FileId(0), text.as_str()) {
        Ok(formed) => Ok(Some(edits(text, &formed, world))),
        Err(problems) => {
            let why = problems.first().map_or("it cannot be read", |problem| problem.message.as_str());
            Err(refusal(ErrorCode::RequestFailed, &format!("a text with mistakes keeps its form: {why}")))
        }
    }
}

/// One change, of the lines between the first and the last that differ: the cursor stays where it is in the
/// others.
fn edits(text: &Text, formed: &str, world: &World) -> Vec<TextEdit> {
    let old = text.as_str();
    if old == formed {
        return Vec::new();
    }
    let lines = |text: &str| text.split_inclusive('\n').map(str::len).collect::<Vec<_>>();
    let (was, is) = (lines(old), lines(formed));
    let same =
        old.split_inclusive('\n').zip(formed.split_inclusive('\n')).take_while(|(a, b)| a == b).count();
    let most = was.len().min(is.len()) - same;
    let ends = old.split_inclusive('\n').rev().zip(formed.split_inclusive('\n').rev());
    let same_ends = ends.take_while(|(a, b)| a == b).count().min(most);
    let bytes = |lines: &[usize]| lines.iter().sum::<usize>();
    let start = bytes(&was[..same]);
    let old_end = bytes(&was[..was.len() - same_ends]);
    let new_end = bytes(&is[..is.len() - same_ends]);
    let range = text.range(start as u32, old_end as u32, world.encoding);
    vec![TextEdit { range, new_text: formed[start..new_end].to_owned() }]
}
