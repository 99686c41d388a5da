//! `${VAR}` and `${VAR:-default}`: put into values once the YAML is understood, so that what a
//! variable holds is never structure and never a key, and is not told to anybody.

use std::env::VarError;

/// Bytes that a value may have with its variables put in.
const MAX_VALUE: usize = 64 << 10;
/// Bytes of a variable's name.
const MAX_NAME: usize = 256;
/// What is shorter is hidden only where it stands alone: `1` is in many numbers.
const DISTINCT: usize = 4;
/// As much of a hidden value in a text, and the text is not shown.
const TELLING: usize = 5;

const HELP_FORM: &str = "write ${NAME} or ${NAME:-default}, where a name has letters, digits and `_`; `$${` stands \
                         for `${` itself";

/// Where variables are looked up.
pub type Environment<'a> = &'a dyn Fn(&str) -> Result<String, VarError>;

/// Looks a variable up in the environment of this process.
pub fn environment(name: &str) -> Result<String, VarError> {
    std::env::var(name)
}

/// Why variables could not be put into a value.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub help: String,
}

/// A value into which variables were put.
#[derive(Debug, PartialEq, Eq)]
pub struct Expanded {
    /// What it is now.
    pub text: String,
    /// What is to be hidden, and what is shown instead.
    pub hidden: Vec<Hidden>,
}

/// The value of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    value: Box<str>,
    /// The variable as it stands in the file.
    shown: Box<str>,
}

/// `text` with its variables put in; nothing if there is nothing to do.
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
            let shown = format!("${{{inside}}}").into();
            done.hidden.push(Hidden { value: value.into(), shown });
        }
        rest = after;
    }
    done.text += rest;
    Ok(Some(done))
}

/// What stands for `inside` of the braces, and whether the file does not have it.
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
        // As in a shell, an empty variable has the default too.
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

impl Hidden {
    /// `text` with the variable as it stands in the file in place of its value.
    pub fn veil(&self, text: &str) -> String {
        if self.value.is_empty() {
            return text.replace("``", &format!("`{}`", self.shown));
        }
        let escaped = self.value.escape_debug().to_string();
        let text = replace(text, &self.value, &self.shown);
        replace(&text, &escaped, &self.shown)
    }

    /// Whether `text` tells much of the value.
    fn is_told_by(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        let value = self.value.to_ascii_lowercase();
        let mut parts = value.as_bytes().windows(TELLING);
        parts.any(|part| text.as_bytes().windows(TELLING).any(|shown| shown == part))
    }

    /// Whether no word of ours is likely to be the same by chance.
    pub fn is_distinct(&self) -> bool {
        self.value.len() >= DISTINCT
    }
}

/// A message about a value, without what its variables hold.
pub fn veil(message: &str, hidden: &[Hidden]) -> String {
    let veiled = hidden.iter().fold(message.to_owned(), |text, hidden| hidden.veil(&text));
    let shown = hidden.iter().fold(veiled.clone(), |text, hidden| text.replace(&*hidden.shown, ""));
    // Such as a part of it, which is not found as a whole.
    if hidden.iter().any(|hidden| hidden.is_told_by(&shown)) {
        let names: Vec<String> =
            hidden.iter().map(|hidden| format!("`{}`", hidden.shown)).collect();
        return format!(
            "what {} stands for cannot be used here: see what it holds",
            names.join(" and ")
        );
    }
    veiled
}

/// Whatever the case of the letters. Short values count where they stand alone.
fn replace(text: &str, value: &str, shown: &str) -> String {
    let (lower, value) = (text.to_ascii_lowercase(), value.to_ascii_lowercase());
    let joins = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    for (at, found) in lower.match_indices(&value).filter(|(_, found)| !found.is_empty()) {
        let end = at + found.len();
        let before = lower.get(..at).and_then(|before| before.chars().next_back());
        let after = lower.get(end..).and_then(|after| after.chars().next());
        if found.len() < DISTINCT && (joins(before) || joins(after)) {
            continue;
        }
        out += text.get(from..at).unwrap_or_default();
        out += shown;
        from = end;
    }
    out + text.get(from..).unwrap_or_default()
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
    fn what_is_no_variable_is_refused() {
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

    #[test]
    fn no_message_tells_what_a_variable_holds() {
        let hidden = |value: &str| [Hidden { value: value.into(), shown: "${X}".into() }];
        for (value, message, shown) in [
            ("abc", "`abc` is not a number", "`${X}` is not a number"),
            ("Secret", "`http://secret/SECRET`", "`http://${X}/${X}`"),
            ("1", "`1` is out of range: write 10 to 21", "`${X}` is out of range: write 10 to 21"),
            ("a\nb", "`a\\nb` is not a name", "`${X}` is not a name"),
            (
                "/secret",
                "write it as `secret`",
                "what `${X}` stands for cannot be used here: see what it holds",
            ),
        ] {
            assert_eq!(veil(message, &hidden(value)), shown);
        }
    }
}
