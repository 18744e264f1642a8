//! The catalog: what each executor can run, so that the compiler refuses what it cannot.
//!
//! Executors publish their entries as data; the compiler checks every `run` clause against them
//! and never names an executor itself. Most entries are a closed list of names with closed ports and
//! options. An *open* entry ([`open`]) stands for all entries of one form, such as every class of
//! every Python module: what it cannot know is the program's to declare, and what it can is checked.

mod domain;
pub mod open;

pub use domain::Domain;

/// Everything that a program may name in `run`.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// All entries of all executors.
    pub entries: Vec<Entry>,
}

/// One thing an executor can run, or all things of one form.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The executor's name in `run`, such as `candle`.
    pub executor: &'static str,
    /// The entry's name in `run`, such as `whisper.transcribe`; unless its form is
    /// [`EntryForm::Name`], an example of one.
    pub name: &'static str,
    /// Which names are this entry.
    pub form: EntryForm,
    /// One sentence for people.
    pub about: &'static str,
    /// Names of weights parameters, all required.
    pub weights: &'static [&'static str],
    /// Other parameters, each with what it takes; the component gives their values.
    pub options: &'static [EntryOption],
    /// Input ports.
    pub inputs: &'static [EntryPort],
    /// Output ports. A component may declare fewer.
    pub outputs: &'static [EntryPort],
    /// Inputs of which a component declares at least one; empty if there is no such rule.
    pub one_of: &'static [&'static str],
    /// Inputs whose beginnings it keeps when it has read them, in the order in which it reads them: what begins alike
    /// is answered sooner where it was read before.
    pub remembers: &'static [&'static str],
    /// What else a component may have.
    pub open: Open,
}

/// Which names in `run` are an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryForm {
    /// Its own name.
    Name,
    /// A class of a Python module: `package.module:Class`.
    Class,
    /// The address of an HTTP API, whose path ends in `/v1` and then this.
    Url(&'static str),
}

/// What a component may have besides what its entry lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// Weights of any name.
    pub weights: bool,
    /// Options of any name, with any literal.
    pub options: bool,
    /// Ports of any name and type.
    pub ports: bool,
}

impl Open {
    /// Nothing.
    pub const CLOSED: Self = Self { weights: false, options: false, ports: false };
    /// Ports only.
    pub const PORTS: Self = Self { ports: true, ..Self::CLOSED };
    /// Everything.
    pub const ALL: Self = Self { weights: true, options: true, ports: true };
}

/// A parameter that an executor reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EntryOption {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub domain: Domain,
    /// Whether a component must give it.
    pub required: bool,
}

/// A port of an entry.
#[derive(Clone, Copy, Debug)]
pub struct EntryPort {
    /// Its name.
    pub name: &'static str,
    /// The modality word of its items: `text`, `image`, `audio`, `tensor`, `int`, `float`, `bool`,
    /// `enum` and so on, or `any`.
    pub modality: &'static str,
    /// How its items come.
    pub form: PortForm,
    /// Whether a component may leave it out or declare it optional (inputs only).
    pub optional: bool,
}

/// How the items of a port come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortForm {
    /// One.
    Value,
    /// Several, known together.
    List,
    /// One or several, as the component declares.
    Whole,
    /// One after the other.
    Stream,
    /// One, or one after the other, as the component declares.
    Either,
}

impl Catalog {
    /// The entry that `run EXECUTOR "NAME"` names.
    pub fn find(&self, executor: &str, name: &str) -> Option<&Entry> {
        self.of(executor).find(|entry| entry.form.is(entry.name, name))
    }

    /// The entries of `executor`.
    pub fn of(&self, executor: &str) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.executor == executor)
    }
}

impl Entry {
    /// An entry called `name` without weights, options or ports.
    pub const fn new(executor: &'static str, name: &'static str, about: &'static str) -> Self {
        Self {
            executor,
            name,
            form: EntryForm::Name,
            about,
            weights: &[],
            options: &[],
            inputs: &[],
            outputs: &[],
            one_of: &[],
            remembers: &[],
            open: Open::CLOSED,
        }
    }

    /// With these ports.
    #[must_use]
    pub const fn ports(mut self, inputs: &'static [EntryPort], outputs: &'static [EntryPort]) -> Self {
        self.inputs = inputs;
        self.outputs = outputs;
        self
    }

    /// With these weights.
    #[must_use]
    pub const fn weights(mut self, weights: &'static [&'static str]) -> Self {
        self.weights = weights;
        self
    }

    /// With these options.
    #[must_use]
    pub const fn options(mut self, options: &'static [EntryOption]) -> Self {
        self.options = options;
        self
    }

    /// Keeping what it has read of these inputs.
    #[must_use]
    pub const fn remembers(mut self, inputs: &'static [&'static str]) -> Self {
        self.remembers = inputs;
        self
    }

    /// Its option `name`.
    pub fn option(&self, name: &str) -> Option<&'static EntryOption> {
        self.options.iter().find(|option| option.name == name)
    }
}

impl EntryForm {
    /// Whether `given` is an entry of this form; `own` is the entry's own name.
    pub fn is(self, own: &str, given: &str) -> bool {
        match self {
            Self::Name => own == given,
            Self::Class => is_class(given),
            Self::Url(end) => endpoint(given) == Some(end),
        }
    }
}

/// `package.module:Class`, or a class within a class: `module:Outer.Inner`.
fn is_class(text: &str) -> bool {
    let dotted = |path: &str| path.split('.').all(is_name);
    text.split_once(':').is_some_and(|(module, class)| dotted(module) && dotted(class))
}

fn is_name(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// What follows `/v1` in the address of an HTTP API: nothing, or a path such as `/audio/speech`. `None`
/// if `text` is no such address.
pub fn endpoint(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
    let (host, path) = rest.split_at(rest.find('/')?);
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '"' | '\\');
    if host.is_empty() || host.starts_with(':') || !rest.chars().all(plain) {
        return None;
    }
    let port = host.rsplit_once(':').map(|(_, port)| port);
    if port.is_some_and(|port| !host.ends_with(']') && port.parse::<u16>().is_err()) {
        return None;
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    let at = path.rfind("/v1")?;
    let end = &path[at + "/v1".len()..];
    (end.is_empty() || end.starts_with('/')).then_some(end)
}

impl EntryOption {
    /// An option that a component may leave out.
    pub const fn new(name: &'static str, domain: Domain) -> Self {
        Self { name, domain, required: false }
    }

    /// An option that a component must give.
    pub const fn required(name: &'static str, domain: Domain) -> Self {
        Self { name, domain, required: true }
    }
}

impl EntryPort {
    /// A port of one item.
    pub const fn value(name: &'static str, modality: &'static str) -> Self {
        Self::new(name, modality, PortForm::Value)
    }

    /// A port whose items come as a stream.
    pub const fn stream(name: &'static str, modality: &'static str) -> Self {
        Self::new(name, modality, PortForm::Stream)
    }

    /// A port of any form.
    pub const fn new(name: &'static str, modality: &'static str, form: PortForm) -> Self {
        Self { name, modality, form, optional: false }
    }

    /// The same, but a component may do without it.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Its type as a program would write it, without bounds.
    pub fn describe(&self) -> String {
        let item = self.modality;
        match self.form {
            PortForm::Value => item.to_owned(),
            PortForm::List => format!("list<{item}>"),
            PortForm::Whole => format!("{item} or list<{item}>"),
            PortForm::Stream => format!("stream<{item}>"),
            PortForm::Either => format!("{item} or stream<{item}>"),
        }
    }
}

impl PortForm {
    /// Whether a port that a component declares with `form` is one of this.
    pub const fn takes(self, form: crate::Form) -> bool {
        match form {
            crate::Form::Value => matches!(self, Self::Value | Self::Whole | Self::Either),
            crate::Form::List { .. } => matches!(self, Self::List | Self::Whole),
            crate::Form::Stream { .. } => matches!(self, Self::Stream | Self::Either),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{endpoint, is_class};

    #[test]
    fn classes_are_told_by_their_form() {
        for good in ["transformers:AutoModel", "my_models.talker:Talker", "a:Outer.Inner", "_x.y1:Z"] {
            assert!(is_class(good), "{good}");
        }
        for bad in
            ["", "transformers", "transformers.AutoModel", ":A", "a:", "a b:C", "a..b:C", "a:B:C", "1a:B"]
        {
            assert!(!is_class(bad), "{bad}");
        }
    }

    #[test]
    fn addresses_are_told_by_what_follows_v1() {
        assert_eq!(endpoint("http://localhost:8000/v1"), Some(""));
        assert_eq!(endpoint("https://models.example/openai/v1/"), Some(""));
        assert_eq!(endpoint("http://[::1]:30000/v1/audio/speech"), Some("/audio/speech"));
        assert_eq!(endpoint("http://[::1]/v1"), Some(""));
        for bad in [
            "localhost:8000/v1",
            "http://localhost:8000",
            "http://:8000/v1",
            "http:///v1",
            "ftp://h/v1",
            "http://h/v2",
            "http://h/v1beta",
            "http://h:port/v1",
            "http://a b/v1",
            "http://h/v1?key=1",
        ] {
            assert_eq!(endpoint(bad), None, "{bad}");
        }
    }
}
