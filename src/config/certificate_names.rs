//! Which of a listener's certificates are never shown.

use std::collections::HashMap;

use super::report::{Problems, Severity};
use super::server_tls::Placed;

/// Refuses certificates of which every name is an earlier one's with a key of the same kind, as they
/// would never be shown, and warns of those with some such names or none.
pub fn check_names(all: &[Placed], problems: &Problems) {
    let mut owners: HashMap<(&str, u8), usize> = HashMap::new();
    let default = all.first().map(|(first, _)| first);
    for (index, (certificate, span)) in all.iter().enumerate() {
        let kind = u8::from(certificate.key.key.algorithm());
        let names: Vec<&str> = match &*certificate.names {
            [] => vec![""],
            names => names.iter().map(|name| &**name).collect(),
        };
        let nameless = certificate.names.is_empty();
        if nameless && default.is_some_and(|default| !default.names.is_empty()) {
            let message =
                "this certificate is never shown: clients ask for a DNS name, and it has none";
            let help = "put it first, as the one for clients that ask for no name, or remove it";
            problems.warn(*span, message, help);
            continue;
        }
        let taken: Vec<(&str, usize)> = names
            .iter()
            .filter_map(|name| Some((*name, *owners.get(&(*name, kind))?)))
            .filter(|(_, owner)| *owner != index)
            .collect();
        if let Some((name, owner)) = taken.first()
            && let Some((_, earlier)) = all.get(*owner)
        {
            if taken.len() == names.len() {
                let message = match nameless {
                    true => {
                        "another certificate without a DNS name is shown before this one".into()
                    }
                    false => {
                        format!("every name of this certificate is an earlier one's: `{name}`")
                    }
                };
                problems.error_again(*span, message, *earlier);
            } else {
                let message = format!("for `{name}` an earlier certificate is shown, not this one");
                let help = "leave the name out of one of the two";
                problems.beside(Severity::Warning, *span, message, help, *earlier);
            }
        }
        for name in names {
            owners.entry((name, kind)).or_insert(index);
        }
    }
}
