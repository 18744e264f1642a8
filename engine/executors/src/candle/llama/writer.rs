//! Turns the bytes of tokens into text that may be sent: whole characters, and nothing of a stop
//! string.

/// The text of one answer as it grows.
#[derive(Default)]
pub(super) struct Writer {
    stops: Vec<String>,
    /// The beginning of a character whose end has not come.
    bytes: Vec<u8>,
    /// Text that may be the beginning of a stop string.
    held: String,
}

/// What may be sent now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) text: String,
    /// A stop string has come: the answer has ended before it.
    pub(super) stopped: bool,
}

impl Writer {
    /// An answer that ends before any of `stops`.
    pub(super) fn new(stops: &[String]) -> Self {
        Self { stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect(), ..Self::default() }
    }

    /// The next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Written {
        self.bytes.extend_from_slice(bytes);
        let text = self.whole_characters();
        self.held.push_str(&text);
        if let Some(end) = self.stops.iter().filter_map(|stop| self.held.find(stop)).min() {
            self.held.truncate(end);
            return Written { text: std::mem::take(&mut self.held), stopped: true };
        }
        let kept = self.longest_beginning();
        let rest = self.held.split_off(self.held.len() - kept);
        Written { text: std::mem::replace(&mut self.held, rest), stopped: false }
    }

    /// The answer has ended: what was held may be sent. A character that never became whole is left
    /// out.
    pub(super) fn finish(&mut self) -> String {
        self.bytes.clear();
        std::mem::take(&mut self.held)
    }

    /// Takes the characters that are whole. Bytes that no character can have become U+FFFD.
    fn whole_characters(&mut self) -> String {
        let mut text = String::new();
        loop {
            let (valid, error) = match std::str::from_utf8(&self.bytes) {
                Ok(valid) => (valid, None),
                Err(error) => {
                    let valid = std::str::from_utf8(&self.bytes[..error.valid_up_to()]).unwrap_or_default();
                    (valid, Some(error))
                }
            };
            text.push_str(valid);
            let taken = valid.len();
            match error.map(|error| error.error_len()) {
                None => self.bytes.clear(),
                Some(None) => drop(self.bytes.drain(..taken)),
                Some(Some(invalid)) => {
                    text.push(char::REPLACEMENT_CHARACTER);
                    self.bytes.drain(..taken + invalid);
                    continue;
                }
            }
            return text;
        }
    }

    /// Bytes at the end of what is held that begin a stop string.
    fn longest_beginning(&self) -> usize {
        let longest = self.stops.iter().map(|stop| stop.len() - 1).max().unwrap_or(0).min(self.held.len());
        (1..=longest)
            .rev()
            .filter(|length| self.held.is_char_boundary(self.held.len() - length))
            .find(|length| {
                let end = &self.held[self.held.len() - length..];
                self.stops.iter().any(|stop| stop.len() > *length && stop.starts_with(end))
            })
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that is sent when `text` comes in pieces of `size` bytes.
    fn sent(text: &str, size: usize, stops: &[&str]) -> (Vec<String>, bool) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut writer = Writer::new(&stops);
        let mut pieces = Vec::new();
        for bytes in text.as_bytes().chunks(size) {
            let Written { text, stopped } = writer.push(bytes);
            pieces.push(text);
            if stopped {
                return (pieces, true);
            }
        }
        pieces.push(writer.finish());
        (pieces, false)
    }

    #[test]
    fn characters_are_never_split() {
        let text = "aé漢🦀z — ‘ñ’";
        for size in 1..6 {
            let (pieces, _) = sent(text, size, &[]);
            assert_eq!(pieces.concat(), text);
            assert!(!pieces.concat().contains('\u{FFFD}'));
        }
        assert_eq!(sent("🦀", 1, &[]).0, ["", "", "", "🦀", ""]);
    }

    #[test]
    fn bytes_that_no_character_has_are_replaced_and_an_unfinished_one_is_left_out() {
        let mut writer = Writer::default();
        assert_eq!(writer.push(b"a\xFFb\xE6\xBC").text, "a\u{FFFD}b");
        assert_eq!(writer.finish(), "");
        assert_eq!(writer.push(b"\xE6\xBC").text, "");
        assert_eq!(writer.push(b"x").text, "\u{FFFD}x");
    }

    #[test]
    fn no_part_of_a_stop_string_is_sent() {
        for size in 1..8 {
            let (pieces, stopped) = sent("one two STOP three", size, &["STOP", "never"]);
            assert_eq!((pieces.concat().as_str(), stopped), ("one two ", true), "in pieces of {size}");
        }
    }

    #[test]
    fn what_only_looked_like_a_stop_string_is_sent() {
        for size in 1..8 {
            let (pieces, stopped) = sent("a STO b ST", size, &["STOP"]);
            assert_eq!((pieces.concat().as_str(), stopped), ("a STO b ST", false), "in pieces of {size}");
        }
    }

    #[test]
    fn a_stop_string_that_begins_twice_is_found() {
        for size in 1..6 {
            assert_eq!(sent("xaaab", size, &["aab"]).0.concat(), "xa", "in pieces of {size}");
        }
    }

    #[test]
    fn of_several_stop_strings_the_first_in_the_text_counts() {
        assert_eq!(sent("abcdef", 6, &["ef", "cd", "cde"]).0.concat(), "ab");
        let (pieces, stopped) = sent("é漢", 1, &["漢"]);
        assert_eq!((pieces.concat().as_str(), stopped), ("é", true));
    }
}
