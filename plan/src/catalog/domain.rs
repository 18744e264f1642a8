//! What an option of an executor takes: a kind of literal, and which of them.

use std::fmt;

use crate::Literal;

/// The values that an option takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Domain {
    /// Whole numbers from the first to the second, both included.
    Int(i64, i64),
    /// Numbers from the first to the second, both included. A whole number is taken as one.
    Float(f64, f64),
    /// Numbers above the first, up to and with the second.
    Above(f64, f64),
    /// `true` or `false`.
    Bool,
    /// Any text.
    Text,
    /// A text that says something.
    Filled,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// Any literal: the program's own business.
    Any,
}

impl Domain {
    /// Any whole number.
    pub const INT: Self = Self::Int(i64::MIN, i64::MAX);
    /// A number of things of which there is at least one.
    pub const COUNT: Self = Self::Int(1, i64::MAX);
    /// A share above nothing, up to all.
    pub const SHARE: Self = Self::Above(0.0, 1.0);

    /// The type of a parameter that can give such values.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Int(..) => "`int`",
            Self::Float(..) | Self::Above(..) => "`float`",
            Self::Bool => "`bool`",
            Self::Text | Self::Filled | Self::Words(_) => "`text`",
            Self::Texts => "`list<text>`",
            Self::Any => "`int`, `float`, `bool`, `text`, `enum(…)` or `list<text>`",
        }
    }

    /// Whether the kind of `literal` is right, whatever its value.
    pub const fn is_kind_of(&self, literal: &Literal) -> bool {
        match literal {
            Literal::Int(_) => matches!(self, Self::Int(..) | Self::Float(..) | Self::Above(..) | Self::Any),
            Literal::Float(_) => matches!(self, Self::Float(..) | Self::Above(..) | Self::Any),
            Literal::Bool(_) => matches!(self, Self::Bool | Self::Any),
            Literal::Text(_) => matches!(self, Self::Text | Self::Filled | Self::Words(_) | Self::Any),
            Literal::Texts(_) => matches!(self, Self::Texts | Self::Any),
        }
    }

    /// Whether `literal` is one of the values.
    pub fn takes(&self, literal: &Literal) -> bool {
        let number = match literal {
            Literal::Int(value) => *value as f64,
            Literal::Float(value) => *value,
            _ => f64::NAN,
        };
        match (self, literal) {
            (Self::Int(low, high), Literal::Int(value)) => (low..=high).contains(&value),
            (Self::Float(low, high), _) => *low <= number && number <= *high,
            (Self::Above(low, high), _) => *low < number && number <= *high,
            (Self::Filled, Literal::Text(text)) => !text.trim().is_empty(),
            (Self::Words(words), Literal::Text(text)) => words.contains(&text.as_str()),
            _ => self.is_kind_of(literal),
        }
    }
}

impl fmt::Display for Domain {
    /// `a whole number from 1 to 16`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(i64::MIN, i64::MAX) => write!(f, "a whole number"),
            Self::Int(low, i64::MAX) => write!(f, "a whole number of at least {low}"),
            Self::Int(low, high) => write!(f, "a whole number from {low} to {high}"),
            Self::Float(low, high) if high.is_infinite() => write!(f, "a number of at least {low}"),
            Self::Float(low, high) => write!(f, "a number from {low} to {high}"),
            Self::Above(low, high) if high.is_infinite() => write!(f, "a number above {low}"),
            Self::Above(low, high) => write!(f, "a number above {low} and at most {high}"),
            Self::Bool => write!(f, "`true` or `false`"),
            Self::Text => write!(f, "a text"),
            Self::Filled => write!(f, "a text that is not empty"),
            Self::Words(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                write!(f, "one of {}", words.join(", "))
            }
            Self::Texts => write!(f, "a list of texts"),
            Self::Any => write!(f, "a literal"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Domain;
    use crate::Literal;

    #[test]
    fn ends_are_in_unless_they_are_said_to_be_out() {
        assert!(Domain::Int(1, 3).takes(&Literal::Int(1)) && Domain::Int(1, 3).takes(&Literal::Int(3)));
        assert!(!Domain::Int(1, 3).takes(&Literal::Int(0)) && !Domain::Int(1, 3).takes(&Literal::Float(2.0)));
        assert!(Domain::Float(0.0, 2.0).takes(&Literal::Float(0.0)));
        assert!(Domain::Float(0.0, 2.0).takes(&Literal::Int(2)));
        assert!(!Domain::SHARE.takes(&Literal::Float(0.0)) && Domain::SHARE.takes(&Literal::Float(1.0)));
        assert!(!Domain::Float(0.0, f64::INFINITY).takes(&Literal::Float(f64::NAN)));
        assert!(!Domain::Filled.takes(&Literal::Text(" ".to_owned())));
        assert!(Domain::Words(&["a"]).takes(&Literal::Text("a".to_owned())));
        assert!(!Domain::Words(&["a"]).takes(&Literal::Text("b".to_owned())));
        assert!(Domain::Any.takes(&Literal::Texts(Vec::new())));
    }

    #[test]
    fn a_domain_reads_as_a_sentence_goes() {
        assert_eq!(Domain::COUNT.to_string(), "a whole number of at least 1");
        assert_eq!(Domain::Int(-2, 2).to_string(), "a whole number from -2 to 2");
        assert_eq!(Domain::SHARE.to_string(), "a number above 0 and at most 1");
        assert_eq!(Domain::Words(&["a", "b"]).to_string(), "one of \"a\", \"b\"");
    }
}
