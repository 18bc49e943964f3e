//! Chat messages to the prompt a model was trained on, by the model's own Jinja template. Does no tokenizing.
//! The environment is that of transformers' `apply_chat_template`, down to how `tojson` spaces its output.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};

use crate::error::LoadError;

/// A parsed template with the tokens it may name.
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
}

/// Used where a model brings none.
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
const NAME: &str = "chat";

/// What a request gives a template.
#[derive(Debug, Default)]
pub(crate) struct ChatInput {
    pub(crate) messages: Vec<Value>,
    /// `None` where the request names no tools: templates test for that.
    pub(crate) tools: Option<Value>,
    /// Members of `chat_template_kwargs`, for switches of certain templates such as `enable_thinking`.
    pub(crate) extra: Option<Value>,
    pub(crate) continue_last: bool,
}

impl ChatTemplate {
    pub(crate) fn new(
        source: Option<String>,
        bos_token: String,
        eos_token: String,
    ) -> Result<Self, LoadError> {
        let mut environment = Environment::new();
        // Whitespace as in transformers; the builder only refuses clashing delimiters, and we set none.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|source| LoadError::Template { source })?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", to_json);
        environment
            .add_template_owned(NAME, source.unwrap_or_else(|| CHATML.to_owned()))
            .map_err(|source| LoadError::Template { source })?;
        Ok(Self { environment, bos_token, eos_token })
    }

    /// The prompt. An error is the request's fault: templates raise on what they do not take.
    pub(crate) fn render(&self, input: &ChatInput) -> Result<String, Error> {
        let base = context! {
            messages => input.messages.clone(),
            tools => input.tools.clone(),
            add_generation_prompt => !input.continue_last,
            bos_token => self.bos_token.clone(),
            eos_token => self.eos_token.clone(),
        };
        let extra = input.extra.clone().unwrap_or_else(|| Value::from_pairs::<[(&str, Value); 0], _, _>([]));
        let mut rendered = self.environment.get_template(NAME)?.render(context! { ..base, ..extra })?;
        if input.continue_last {
            // The last message is to be continued: cut what the template closed it with.
            let last = input.messages.last().and_then(|last| last.get_attr("content").ok());
            if let Some(text) = last.as_ref().and_then(Value::as_str)
                && let Some(at) = rendered.rfind(text.trim())
            {
                rendered.truncate(at + text.trim().len());
            }
        }
        Ok(rendered)
    }
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

fn strftime_now(format: &str) -> Result<String, Error> {
    jiff::fmt::strtime::format(format, &jiff::Zoned::now())
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
}

/// Python's `json.dumps(value, ensure_ascii=False)`: models are trained on its spacing, and minijinja's own filter
/// escapes for HTML.
#[expect(clippy::needless_pass_by_value, reason = "minijinja hands keyword arguments over by value")]
fn to_json(value: &Value, options: minijinja::value::Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // `ensure_ascii`, `sort_keys` and `separators` may be given; their usual values are what we do anyway.
    for ignored in ["ensure_ascii", "sort_keys", "separators"] {
        options.get::<Option<Value>>(ignored)?;
    }
    options.assert_all_used()?;
    let spaces = indent.map(|indent| " ".repeat(indent.min(16)));
    let written = match &spaces {
        Some(spaces) => write_json(value, PrettyFormatter::with_indent(spaces.as_bytes())),
        None => write_json(value, PythonFormatter),
    };
    written
        .map(Value::from_safe_string)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

fn write_json(value: &Value, formatter: impl Formatter) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))?;
    String::from_utf8(bytes).map_err(serde::ser::Error::custom)
}

struct PythonFormatter;

impl Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    fn render(template: Option<&str>, input: &ChatInput) -> Result<String, Error> {
        let template = template.map(str::to_owned);
        ChatTemplate::new(template, "<s>".to_owned(), "</s>".to_owned()).unwrap().render(input)
    }

    fn hello() -> ChatInput {
        ChatInput { messages: vec![value(r#"{"role":"user","content":"Hi"}"#)], ..ChatInput::default() }
    }

    #[test]
    fn chatml_is_the_default() {
        assert_eq!(
            render(None, &hello()).unwrap(),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn tools_come_in_their_order_with_pythons_spacing() {
        let template =
            "{% if tools %}{{ tools | tojson }}{% endif %}{{ bos_token }}{{ messages[0].content.strip() }}";
        let tools = r#"[{"type":"function","function":{"name":"z<&","a":[1,2.5,null,true]}}]"#;
        let input = ChatInput { tools: Some(value(tools)), ..hello() };
        assert_eq!(
            render(Some(template), &input).unwrap(),
            r#"[{"type": "function", "function": {"name": "z<&", "a": [1, 2.5, null, true]}}]<s>Hi"#
        );
        assert_eq!(render(Some(template), &hello()).unwrap(), "<s>Hi");
    }

    #[test]
    fn blocks_are_trimmed_and_switches_reach_the_template() {
        let template = "{% if enable_thinking %}\n  think\n{% endif %}\n{%- for m in messages %}{{ m['role'] }}{% endfor %}";
        let input = ChatInput { extra: Some(value(r#"{"enable_thinking":true}"#)), ..hello() };
        assert_eq!(render(Some(template), &input).unwrap(), "  think\nuser");
    }

    #[test]
    fn a_template_can_refuse() {
        let error = render(Some("{{ raise_exception('roles must alternate') }}"), &hello()).unwrap_err();
        assert_eq!(error.detail(), Some("roles must alternate"));
    }

    #[test]
    fn the_date_is_available() {
        let year = render(Some("{{ strftime_now('%Y') }}"), &hello()).unwrap();
        assert!(year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()), "{year}");
    }

    #[test]
    fn the_last_message_can_be_continued() {
        let mut input = hello();
        input.messages.push(value(r#"{"role":"assistant","content":"Sure,"}"#));
        input.continue_last = true;
        assert!(render(None, &input).unwrap().ends_with("<|im_start|>assistant\nSure,"));
    }
}
