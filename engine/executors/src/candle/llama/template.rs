//! Puts a conversation into the words that a model was trained on.
//!
//! The words are the model's own: its GGUF file carries a Jinja template, run here by `minijinja`
//! with the settings and the two functions that such templates rely on (those of Hugging Face
//! `transformers`). A template comes from outside, so its work is bounded.

use corn_core::{Fault, Role};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, context};

use super::gguf::Gguf;
use super::vocabulary::Vocabulary;

/// Steps that a template may take; real ones take some hundreds.
const FUEL: u64 = 100_000;
const NAME: &str = "chat";

/// The chat template of one model.
pub(super) struct Template {
    environment: Environment<'static>,
    begin: String,
    end: String,
}

impl Template {
    pub(super) fn load(file: &Gguf<'_>, vocabulary: &Vocabulary) -> Result<Self, Fault> {
        let Some(source) = file.text("tokenizer.chat_template") else {
            return Err(file.wrong(
                "it has no chat template. Take a model that was trained to chat, often named Instruct",
            ));
        };
        Self::new(source, &vocabulary.begin_name, &vocabulary.end_name)
            .map_err(|error| file.wrong(format_args!("its chat template cannot be used ({error})")))
    }

    fn new(source: &str, begin: &str, end: &str) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<(), Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned(NAME, source.to_owned())?;
        Ok(Self { environment, begin: begin.to_owned(), end: end.to_owned() })
    }

    /// The prompt that asks for an answer to what is `said`.
    pub(super) fn render(&self, said: &[(Role, String)]) -> Result<String, Fault> {
        let role = |role| match role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let messages: Vec<_> = said
            .iter()
            .map(|(said_by, content)| context! { role => role(*said_by), content => content })
            .collect();
        self.environment
            .get_template(NAME)
            .and_then(|template| {
                template.render(context! {
                    messages,
                    add_generation_prompt => true,
                    bos_token => &*self.begin,
                    eos_token => &*self.end,
                })
            })
            .map_err(|error| {
                Fault::request(format!("the model's chat template refuses this request: {error}"))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> Vec<(Role, String)> {
        vec![(Role::User, text.to_owned())]
    }

    fn after(role: Role, said: &str, text: &str) -> Vec<(Role, String)> {
        [vec![(role, said.to_owned())], user(text)].concat()
    }

    const CHATML: &str = "{% for message in messages %}\
        {% if loop.first and messages[0]['role'] != 'system' %}\
        {{ '<|im_start|>system\nBe kind<|im_end|>\n' }}{% endif %}\
        {{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}\
        {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    #[test]
    fn chatml_with_its_own_and_with_a_given_system_message() {
        let template = Template::new(CHATML, "", "<|im_end|>").unwrap();
        assert_eq!(
            template.render(&user("Hi & <you>")).unwrap(),
            "<|im_start|>system\nBe kind<|im_end|>\n<|im_start|>user\nHi & <you><|im_end|>\n\
             <|im_start|>assistant\n"
        );
        assert_eq!(
            template.render(&after(Role::System, "Rhyme", "Hi")).unwrap(),
            "<|im_start|>system\nRhyme<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn methods_of_python_and_refusals_work() {
        let source = "{% if messages[0]['role'] == 'system' %}
            {{ raise_exception('System role not supported') }}
        {% endif %}
        {%- for message in messages %}
            {{- bos_token + '[INST] ' + message['content'].strip() + ' [/INST]' }}
        {%- endfor %}";
        let template = Template::new(source, "<s>", "</s>").unwrap();
        assert_eq!(template.render(&user("  Hi ")).unwrap(), "<s>[INST] Hi [/INST]");
        let fault = template.render(&after(Role::System, "x", "Hi")).unwrap_err();
        assert!(fault.message.contains("System role not supported"), "{fault}");
    }

    #[test]
    fn a_template_that_never_ends_is_refused() {
        let source = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        let fault = Template::new(source, "", "").unwrap().render(&user("Hi")).unwrap_err();
        assert!(fault.message.contains("fuel"), "{fault}");
    }
}
