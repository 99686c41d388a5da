//! Any token file: what it lists are well-formed tokens, what is wrong is told with its place, and no
//! digest is told.
#![no_main]

use equipoise::access::{Grants, Tokens, token_name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Tokens::parse(text) {
        Ok(tokens) => {
            assert!(tokens.iter().count() <= 1000);
            for token in tokens.iter() {
                token_name(&token.name).expect("a name is one");
                let again = Grants::parse(&token.grants.to_string());
                assert_eq!(again.as_ref(), Ok(&token.grants), "what is shown can be written");
            }
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in &errors {
                let line = text.lines().nth(error.line - 1).expect("the line is there");
                assert!(error.column >= 1 && error.column <= line.chars().count() + 1, "{error}");
                // Whoever put a token where its digest belongs does not find it in a log.
                let digest = line.split('#').next().and_then(|line| line.split_whitespace().nth(2));
                let secret = digest.filter(|digest| digest.len() > 80);
                assert!(secret.is_none_or(|secret| !error.message.contains(secret)), "{error}");
            }
        }
    }
});
