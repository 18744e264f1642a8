//! Whether a value of one type may go where another is declared, and if not, why.
//!
//! Sound and video of any rate fit a port that names one: the engine resamples and thins before the call. A stream's
//! window belongs to the edge, not to the port, so it never keeps a stream out.

pub use corn_plan::shapes::Extents;
use corn_plan::shapes::bind;
use corn_plan::{Form, Kind, Type};

/// Why a value does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// Another modality or dtype, or words that the other end does not know.
    Kind,
    /// A stream where a whole value is taken.
    StreamGiven,
    /// A whole value where a stream is taken.
    StreamTaken,
    /// A list where one item is taken.
    ListGiven,
    /// One item where a list is taken.
    ListTaken,
    /// One can be larger than the other takes.
    Bound,
    /// Another number of dimensions.
    Rank,
    /// Another extent in dimension `axis`, from 0.
    Extent {
        /// Which.
        axis: usize,
    },
}

/// Why `given` does not fit where `taken` is declared; `None` if it does. Symbols of `taken` are
/// bound in `extents`.
pub fn misfit(given: &Type, taken: &Type, extents: &mut Extents) -> Option<Misfit> {
    if let Some(misfit) = form_misfit(given.form, taken.form) {
        return Some(misfit);
    }
    match (given.form, taken.form) {
        (Form::List { max }, Form::List { max: most }) if max > most => Some(Misfit::Bound),
        _ => kind_misfit(&given.kind, &taken.kind, extents),
    }
}

const fn form_misfit(given: Form, taken: Form) -> Option<Misfit> {
    match (given, taken) {
        (Form::Value, Form::Value)
        | (Form::Stream { .. }, Form::Stream { .. })
        | (Form::List { .. }, Form::List { .. }) => None,
        (Form::Stream { .. }, _) => Some(Misfit::StreamGiven),
        (_, Form::Stream { .. }) => Some(Misfit::StreamTaken),
        (Form::List { .. }, Form::Value) => Some(Misfit::ListGiven),
        (Form::Value, Form::List { .. }) => Some(Misfit::ListTaken),
    }
}

/// Why items of kind `given` do not fit where `taken` is declared.
pub fn kind_misfit(given: &Kind, taken: &Kind, extents: &mut Extents) -> Option<Misfit> {
    let over = |is: u64, most: u64| (is > most).then_some(Misfit::Bound);
    match (given, taken) {
        (Kind::Text { max_bytes: is }, Kind::Text { max_bytes: most })
        | (Kind::Image { max_bytes: is }, Kind::Image { max_bytes: most })
        | (Kind::Video { max_bytes: is, .. }, Kind::Video { max_bytes: most, .. })
        | (Kind::Media { max_bytes: is, .. }, Kind::Media { max_bytes: most, .. })
        | (Kind::Audio { max_ms: is, .. }, Kind::Audio { max_ms: most, .. }) => over(*is, *most),
        (Kind::Tensor { dtype, dims }, Kind::Tensor { dtype: other, dims: taken }) if dtype == other => {
            if dims.len() != taken.len() {
                return Some(Misfit::Rank);
            }
            let mut pairs = dims.iter().zip(taken).enumerate();
            pairs.find_map(|(axis, (dim, taken))| {
                (!bind(dim, taken, extents)).then_some(Misfit::Extent { axis })
            })
        }
        (Kind::Messages { max_parts: is }, Kind::Messages { max_parts: most }) => {
            over(u64::from(*is), u64::from(*most))
        }
        (Kind::Enum(words), Kind::Enum(all)) => {
            (!words.iter().all(|word| all.contains(word))).then_some(Misfit::Kind)
        }
        (Kind::Enum(_), Kind::Text { max_bytes }) => over(given.max_bytes().unwrap_or(u64::MAX), *max_bytes),
        (Kind::Int, Kind::Int) | (Kind::Float, Kind::Float) | (Kind::Bool, Kind::Bool) => None,
        _ => Some(Misfit::Kind),
    }
}

#[cfg(test)]
mod tests {
    use corn_plan::{Dim, Dtype};

    use super::*;

    fn tensor(dims: &[Dim]) -> Type {
        Type::value(Kind::Tensor { dtype: Dtype::F32, dims: dims.to_vec() })
    }

    fn upto(name: &str, max: u64) -> Dim {
        Dim::Upto { name: name.to_owned(), max }
    }

    #[test]
    fn an_open_extent_fits_a_larger_one_and_never_a_fixed_one() {
        let fits = |given: &Type, taken: &Type| misfit(given, taken, &mut Extents::new());
        assert_eq!(fits(&tensor(&[Dim::Fixed(3)]), &tensor(&[upto("n", 4)])), None);
        assert_eq!(fits(&tensor(&[upto("m", 4)]), &tensor(&[upto("n", 4)])), None);
        let axis = Some(Misfit::Extent { axis: 0 });
        assert_eq!(fits(&tensor(&[upto("m", 5)]), &tensor(&[upto("n", 4)])), axis);
        assert_eq!(fits(&tensor(&[upto("m", 3)]), &tensor(&[Dim::Fixed(3)])), axis);
        assert_eq!(
            fits(&tensor(&[Dim::Fixed(3), Dim::Fixed(2)]), &tensor(&[upto("n", 4)])),
            Some(Misfit::Rank)
        );
    }

    #[test]
    fn one_symbol_is_one_extent() {
        let taken = tensor(&[upto("n", 8), upto("n", 8)]);
        let square = tensor(&[Dim::Fixed(2), Dim::Fixed(2)]);
        let other = tensor(&[Dim::Fixed(2), Dim::Fixed(3)]);
        assert_eq!(misfit(&square, &taken, &mut Extents::new()), None);
        assert_eq!(misfit(&other, &taken, &mut Extents::new()), Some(Misfit::Extent { axis: 1 }));
    }

    #[test]
    fn sound_of_any_rate_fits_and_a_stream_is_no_value() {
        let audio = |rate_hz| Kind::Audio { rate_hz, max_ms: 1000 };
        let mut extents = Extents::new();
        assert_eq!(misfit(&Type::value(audio(None)), &Type::value(audio(Some(16_000))), &mut extents), None);
        let stream = Type::stream(audio(None));
        assert_eq!(misfit(&stream, &Type::value(audio(None)), &mut extents), Some(Misfit::StreamGiven));
        assert_eq!(misfit(&Type::value(audio(None)), &stream, &mut extents), Some(Misfit::StreamTaken));
    }
}
