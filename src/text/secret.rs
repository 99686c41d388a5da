//! Secrets: never printed, wiped when dropped.

use std::fmt::{self, Debug, Formatter};

use zeroize::Zeroizing;

/// A secret text, such as a token or a password. `Debug` says `[secret]`, there is no `Display`, and
/// its memory is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes it over: whoever has made the text keeps no copy.
    pub fn new(text: String) -> SecretText {
        SecretText(Zeroizing::new(text))
    }

    /// The text, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Debug for SecretText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_not_printed() {
        let secret = SecretText::new("hunter2".into());
        assert_eq!(format!("{secret:?} {:?}", Some(secret.clone())), "[secret] Some([secret])");
        assert_eq!(secret.reveal(), "hunter2");
    }
}
