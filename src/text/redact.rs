//! Redaction: values of environment variables are substituted into the configuration, but never
//! shown.

/// A shorter value is redacted only as a whole word: `1` occurs in many numbers.
const DISTINCT_LENGTH: usize = 4;
/// A message that contains this many characters of a hidden value in a row is not shown at all.
const REVEALING_LENGTH: usize = 5;

/// A variable's value, to be redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    value: Box<str>,
    /// The variable as the file has it, such as `${TOKEN}`.
    shown: Box<str>,
}

impl Secret {
    /// Hides `value`, for which `shown` stands in the file.
    pub fn new(value: impl Into<Box<str>>, shown: impl Into<Box<str>>) -> Secret {
        Secret { value: value.into(), shown: shown.into() }
    }

    /// `text` with the value replaced by the variable.
    pub fn redact(&self, text: &str) -> String {
        if self.value.is_empty() {
            return text.replace("``", &format!("`{}`", self.shown));
        }
        let escaped = self.value.escape_debug().to_string();
        let text = replace(text, &self.value, &self.shown);
        replace(&text, &escaped, &self.shown)
    }

    /// Whether `text` reveals a good part of the value.
    fn is_revealed_by(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        let value = self.value.to_ascii_lowercase();
        let mut parts = value.as_bytes().windows(REVEALING_LENGTH);
        parts.any(|part| text.as_bytes().windows(REVEALING_LENGTH).any(|shown| shown == part))
    }

    /// Whether the value is unlikely to occur in our own messages by chance.
    pub fn is_distinct(&self) -> bool {
        self.value.len() >= DISTINCT_LENGTH
    }
}

/// `text` with all of `hidden` replaced by their variables.
pub fn redacted(text: String, hidden: &[Secret]) -> String {
    hidden.iter().fold(text, |text, hidden| hidden.redact(&text))
}

/// Redacts an error message about a value that contains variables.
pub fn redact(message: &str, hidden: &[Secret]) -> String {
    let redacted = redacted(message.to_owned(), hidden);
    let shown =
        hidden.iter().fold(redacted.clone(), |text, hidden| text.replace(&*hidden.shown, ""));
    // Such as a part of the value, which replacing does not find.
    if hidden.iter().any(|hidden| hidden.is_revealed_by(&shown)) {
        let names: Vec<String> =
            hidden.iter().map(|hidden| format!("`{}`", hidden.shown)).collect();
        return format!(
            "what {} stands for cannot be used here: see what it holds",
            names.join(" and ")
        );
    }
    redacted
}

/// Case-insensitive replacement. Short values match only as whole words.
fn replace(text: &str, value: &str, shown: &str) -> String {
    let (lower, value) = (text.to_ascii_lowercase(), value.to_ascii_lowercase());
    let joins = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    for (at, found) in lower.match_indices(&value).filter(|(_, found)| !found.is_empty()) {
        let end = at + found.len();
        let before = lower.get(..at).and_then(|before| before.chars().next_back());
        let after = lower.get(end..).and_then(|after| after.chars().next());
        if found.len() < DISTINCT_LENGTH && (joins(before) || joins(after)) {
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

    #[test]
    fn messages_redact_variables() {
        let hidden = |value: &str| [Secret::new(value, "${X}")];
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
            assert_eq!(redact(message, &hidden(value)), shown);
        }
    }
}
