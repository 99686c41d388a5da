//! Best-effort reading of a file that is not valid YAML.

use super::plan::LogFormat;

/// The log format that it seems to ask for: its errors should be readable by whatever reads the
/// log.
pub fn log_format(text: &str) -> LogFormat {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("log:"));
    let head = lines.next().unwrap_or_default().trim_start_matches("log:");
    let is_inside = |line: &&str| line.is_empty() || line.starts_with([' ', '\t', '#']);
    let section = std::iter::once(head).chain(lines.take_while(is_inside));
    let words = section.flat_map(|line| {
        let line = line.split(" #").next().unwrap_or_default();
        line.split([' ', '\t', '{', '}', ',', ':', '"', '\'']).filter(|word| !word.is_empty())
    });
    match words.skip_while(|word| *word != "format").nth(1) {
        Some("json") => LogFormat::Json,
        _ => LogFormat::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_format_is_found_in_invalid_yaml() {
        for text in [
            "log: { format: json }\nlisteners: [",
            "listeners: [ }\nlog:\n  level: warn\n\n  # for the collector\n  format: \"json\" # one\n",
            "log: {level: info,format: json}",
        ] {
            assert_eq!(log_format(text), LogFormat::Json, "{text}");
        }
        for text in [
            "",
            "log: { format: text }",
            "log:\n  level: info\nother:\n  format: json\n",
            "# log: { format: json }\n",
            "log:\n  level: info # format: json\n",
        ] {
            assert_eq!(log_format(text), LogFormat::Text, "{text}");
        }
    }
}
