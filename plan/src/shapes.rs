//! What symbols of a call's ports stand for.
//!
//! A symbol such as `n` in `tensor<f32>[n <= 512, 384]` is one extent in all ports of a component. What fills the
//! inputs says what it is in a call, so the outputs of that call are as narrow as its inputs.

use std::collections::BTreeMap;

use crate::types::{Dim, Kind, Type};

/// Extents that a call has given to symbols of its ports.
pub type Extents = BTreeMap<String, Dim>;

/// Whether an extent `given` may go where `taken` is declared. A symbol of `taken` then stands for the narrowest that
/// was given to it.
pub fn bind(given: &Dim, taken: &Dim, extents: &mut Extents) -> bool {
    match (given, taken) {
        (Dim::Fixed(extent), Dim::Fixed(fixed)) => extent == fixed,
        (Dim::Upto { .. }, Dim::Fixed(_)) => false,
        (_, Dim::Upto { name, max }) => {
            if given.max() > *max {
                return false;
            }
            let bound = extents.entry(name.clone()).or_insert_with(|| given.clone());
            match (&*bound, given) {
                (Dim::Fixed(one), Dim::Fixed(other)) => one == other,
                (Dim::Fixed(one), Dim::Upto { max, .. }) => one <= max,
                // Two open extents with different names may be equal; the engine checks them.
                (Dim::Upto { max, .. }, given) => {
                    let agrees = matches!(given, Dim::Upto { .. }) || given.max() <= *max;
                    if agrees && given.max() < *max || matches!(given, Dim::Fixed(_)) {
                        *bound = given.clone();
                    }
                    agrees
                }
            }
        }
    }
}

/// Binds what fills a port, dimension by dimension; what is no tensor binds nothing.
pub fn bind_all(given: &Type, taken: &Type, extents: &mut Extents) {
    if let (Kind::Tensor { dims, .. }, Kind::Tensor { dims: taken, .. }) = (&given.kind, &taken.kind) {
        for (given, taken) in dims.iter().zip(taken) {
            bind(given, taken, extents);
        }
    }
}

/// What an output port of kind `kind` makes in a call with these extents.
#[must_use]
pub fn resolved(kind: &Kind, extents: &Extents) -> Kind {
    let Kind::Tensor { dtype, dims } = kind else { return kind.clone() };
    let dim = |dim: &Dim| match dim {
        Dim::Upto { name, max } => match extents.get(name) {
            Some(bound) if bound.max() <= *max => bound.clone(),
            _ => dim.clone(),
        },
        Dim::Fixed(_) => dim.clone(),
    };
    Kind::Tensor { dtype: *dtype, dims: dims.iter().map(dim).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Dtype;

    fn upto(name: &str, max: u64) -> Dim {
        Dim::Upto { name: name.to_owned(), max }
    }

    #[test]
    fn an_output_is_as_narrow_as_what_was_given() {
        let mut extents = Extents::new();
        assert!(bind(&upto("rows", 40), &upto("n", 512), &mut extents));
        let output =
            Kind::Tensor { dtype: Dtype::F32, dims: vec![upto("n", 512), upto("m", 8), Dim::Fixed(3)] };
        assert_eq!(resolved(&output, &extents).to_string(), "tensor<f32>[rows <= 40, m <= 8, 3]");
        assert!(bind(&Dim::Fixed(32), &upto("n", 512), &mut extents), "32 may be what is open");
        assert_eq!(resolved(&output, &extents).to_string(), "tensor<f32>[32, m <= 8, 3]");
        assert!(!bind(&Dim::Fixed(33), &upto("n", 512), &mut extents), "one symbol is one extent");
        assert!(!bind(&upto("rows", 31), &upto("n", 512), &mut extents), "at most 31 is never 32");
    }
}
