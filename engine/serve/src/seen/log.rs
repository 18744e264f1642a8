//! A line for each call at its end, for people or for programs.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Map, Value, json};

/// How lines are written, to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// `name=value` after each other.
    Text,
    /// An object on each line.
    Json,
}

impl Log {
    /// Writes a line. One that cannot be written is lost: nobody is answered later for it.
    pub(super) fn say(self, began_unix_us: u64, fields: &[(&'static str, Value)]) {
        let line = self.line(began_unix_us, fields);
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn line(self, began_unix_us: u64, fields: &[(&'static str, Value)]) -> String {
        let began_s = began_unix_us as f64 / 1e6;
        match self {
            Self::Json => {
                let mut object = Map::new();
                object.insert("began".to_owned(), json!(began_s));
                object.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
                format!("{}\n", Value::Object(object))
            }
            Self::Text => {
                let mut line = format!("{began_s:.3}");
                for (name, value) in fields {
                    // Texts that hold a space or a quote are quoted, so that a line can be taken apart.
                    let _ = match value.as_str() {
                        Some(text) if !text.contains([' ', '"', '\n', '=']) => write!(line, " {name}={text}"),
                        _ => write!(line, " {name}={value}"),
                    };
                }
                line.push('\n');
                line
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_taken_apart() {
        let fields = [("path", json!("/v1/a b\n")), ("status", json!(200)), ("route", json!("talk"))];
        assert_eq!(Log::Text.line(1_500_000, &fields), "1.500 path=\"/v1/a b\\n\" status=200 route=talk\n");
        let object: Value = serde_json::from_str(&Log::Json.line(1_500_000, &fields)).unwrap();
        assert_eq!(object, json!({ "began": 1.5, "path": "/v1/a b\n", "status": 200, "route": "talk" }));
    }
}
