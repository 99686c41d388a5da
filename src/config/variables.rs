//! Expands `${VAR}` and `${VAR:-default}` in parsed YAML scalars, so that a value cannot inject
//! structure or keys. Values are redacted from messages.

use std::env::VarError;

use crate::text::Secret;

/// Maximum size of an expanded value.
const MAX_VALUE: usize = 64 << 10;
/// Maximum length of a variable's name.
const MAX_NAME: usize = 256;

const HELP_FORM: &str = "write ${NAME} or ${NAME:-default}, where a name has letters, digits and `_`; `$${` stands \
                         for `${` itself";

/// Looks up variables.
pub type Environment<'a> = &'a dyn Fn(&str) -> Result<String, VarError>;

/// Looks up a variable of this process's environment.
pub fn environment(name: &str) -> Result<String, VarError> {
    std::env::var(name)
}

/// Why a value could not be expanded.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// How to fix it.
    pub help: String,
}

/// An expanded value.
#[derive(Debug, PartialEq, Eq)]
pub struct Expanded {
    /// The value.
    pub text: String,
    /// What to redact, with replacements.
    pub hidden: Vec<Secret>,
}

/// Expands variables in `text`; `None` if there are none.
pub fn expand(text: &str, environment: Environment<'_>) -> Result<Option<Expanded>, Fault> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut done = Expanded { text: String::new(), hidden: Vec::new() };
    let mut rest = text;
    while let Some((before, inner)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            done.text += before;
            done.text += "${";
            rest = inner;
            continue;
        }
        done.text += before;
        let (inside, after) = inner.split_once('}').ok_or_else(|| Fault {
            message: "`${` is not closed".into(),
            help: HELP_FORM.into(),
        })?;
        let (value, secret) = look_up(inside, environment)?;
        done.text += &value;
        if done.text.len() > MAX_VALUE {
            return Err(Fault {
                message: format!("with its variables the value has more than {MAX_VALUE} bytes"),
                help: "put less into the variable".into(),
            });
        }
        if secret {
            let shown = format!("${{{inside}}}");
            done.hidden.push(Secret::new(value, shown));
        }
        rest = after;
    }
    done.text += rest;
    Ok(Some(done))
}

/// Expands `inside` of the braces; also returns whether the value comes from the environment.
fn look_up(inside: &str, environment: Environment<'_>) -> Result<(String, bool), Fault> {
    if inside.contains("${") {
        return Err(Fault {
            message: "a variable stands within another".into(),
            help: "a default is text as it stands: write one variable after the other".into(),
        });
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let is_name = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(letters)
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if !is_name {
        let name: String = name.chars().take(64).collect();
        return Err(Fault {
            message: format!("`{}` is not a variable's name", name.escape_debug()),
            help: HELP_FORM.into(),
        });
    }
    match (environment(name), default) {
        // As in a shell, `:-` applies to an empty variable too.
        (Ok(value), Some(default)) if value.is_empty() => Ok((default.into(), false)),
        (Ok(value), _) => Ok((value, true)),
        (Err(VarError::NotPresent), Some(default)) => Ok((default.into(), false)),
        (Err(VarError::NotPresent), None) => Err(Fault {
            message: format!("the environment has no variable `{name}`"),
            help: format!(
                "set it, or give it a default: ${{{name}:-default}}, or ${{{name}:-}} for nothing"
            ),
        }),
        (Err(VarError::NotUnicode(_)), _) => Err(Fault {
            message: format!("the variable `{name}` is not UTF-8"),
            help: "give it another value".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str) -> Result<String, VarError> {
        match name {
            "PORT" => Ok("8080".into()),
            "HOST" => Ok("orders.internal".into()),
            "EMPTY" => Ok(String::new()),
            "ODD" => Ok("a: [ ${PORT} ] # \n- b".into()),
            "LONG" => Ok("x".repeat(MAX_VALUE)),
            _ => Err(VarError::NotPresent),
        }
    }

    fn expanded(text: &str) -> String {
        expand(text, &known).unwrap().map_or_else(|| text.to_owned(), |done| done.text)
    }

    #[test]
    fn variables_are_put_in() {
        for (text, now) in [
            ("${HOST}:${PORT}", "orders.internal:8080"),
            ("${NONE:-a}${EMPTY:-b}${EMPTY}${PORT:-1}", "ab8080"),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b $ {x}", "a:-b $ {x"),
            ("$${PORT} $$${PORT} $PORT $ {PORT} $", "${PORT} $${PORT} $PORT $ {PORT} $"),
            ("${NONE:-$}${PORT}", "$8080"),
            ("${ODD}", "a: [ ${PORT} ] # \n- b"),
            ("^a$|b{2}", "^a$|b{2}"),
        ] {
            assert_eq!(expanded(text), now, "{text}");
        }
    }

    #[test]
    fn invalid_variables_are_refused() {
        for (text, says) in [
            ("${PORT", "not closed"),
            ("a ${", "not closed"),
            ("${}", "`` is not a variable's name"),
            ("${ PORT }", "` PORT ` is not"),
            ("${1A}", "`1A` is not"),
            ("${A-b}", "`A-b` is not"),
            ("${A:?b}", "`A:?b` is not"),
            ("${NONE:-${PORT}}", "within another"),
            ("${NONE}", "no variable `NONE`"),
            ("${LONG}x${PORT}", "more than 65536 bytes"),
        ] {
            let fault = expand(text, &known).unwrap_err();
            assert!(fault.message.contains(says), "{text}: {fault:?}");
            assert!(!fault.help.is_empty());
        }
    }
}
