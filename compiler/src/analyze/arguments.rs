//! Matches the arguments of a call with the parameters of what is called.

use crate::analyze::context::Context;
use crate::diagnostic::semantic::{self, Candidate};
use crate::source::Span;
use crate::syntax::ast::{Arg, Expr};

/// A parameter as the caller sees it.
pub(crate) struct Takes<'p> {
    pub(crate) name: &'p str,
    /// Where it was declared, if that is in a text.
    pub(crate) span: Option<Span>,
    /// Whether a call may leave it out.
    pub(crate) optional: bool,
}

impl Takes<'_> {
    fn candidate(&self) -> Candidate {
        Candidate { name: self.name.to_owned(), span: self.span }
    }
}

impl Context<'_> {
    /// For each of `params`, the argument that fills it. Problems are reported at `call`; `what`
    /// names what is called. `None` if an argument is missing or one too many.
    pub(crate) fn arguments<'e>(
        &mut self,
        what: &str,
        params: &[Takes<'_>],
        args: &'e [Arg],
        call: Span,
    ) -> Option<Vec<Option<&'e Expr>>> {
        let mut filled: Vec<Option<&Expr>> = vec![None; params.len()];
        let mut wrong = false;
        let mut named = None;
        for (place, arg) in args.iter().enumerate() {
            let position = match &arg.name {
                None if named.is_some() => {
                    self.report(semantic::calls::position_after_name(arg.value.span, named));
                    wrong = true;
                    continue;
                }
                None if place < params.len() => place,
                None => {
                    let names: Vec<&str> = params.iter().map(|param| param.name).collect();
                    self.report(semantic::calls::too_many(what, &names, arg.value.span));
                    wrong = true;
                    continue;
                }
                Some(name) => {
                    named = Some(name.span);
                    let Some(position) = params.iter().position(|param| param.name == name.text) else {
                        let known: Vec<Candidate> = params.iter().map(Takes::candidate).collect();
                        self.report(semantic::calls::unknown_argument(what, name, &known));
                        wrong = true;
                        continue;
                    };
                    position
                }
            };
            if let Some(first) = filled[position] {
                self.report(semantic::calls::given_twice(params[position].name, arg.value.span, first.span));
                wrong = true;
            }
            filled[position] = Some(&arg.value);
        }
        // After a mistake above, a parameter that seems to be missing was probably meant there.
        if wrong {
            return None;
        }
        for (param, filled) in params.iter().zip(&filled) {
            if filled.is_none() && !param.optional {
                self.report(semantic::calls::missing(what, param.name, param.span, call));
                wrong = true;
            }
        }
        (!wrong).then_some(filled)
    }
}
