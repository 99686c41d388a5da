//! The token that a request carries.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The scheme of tokens, in any case.
const SCHEME: &str = "bearer ";

/// `authorization` that is not one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`authorization` has to be one `Bearer` and a token")]
pub struct BadBearer;

/// The token of a request, if it has one.
///
/// # Errors
/// It has several, or something else.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, BadBearer> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let token = value.to_str().ok().and_then(|value| {
        let (given, token) = value.split_at_checked(SCHEME.len())?;
        given.eq_ignore_ascii_case(SCHEME).then(|| token.trim())
    });
    match (token, values.next()) {
        (Some(token), None) if !token.is_empty() => Ok(Some(token)),
        _ => Err(BadBearer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_of_its_kind() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(|token| token.map(str::to_owned))
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["Bearer a"]), Ok(Some("a".into())));
        assert_eq!(of(&["bearer  a "]), Ok(Some("a".into())));
        for wrong in
            [&["Basic a"][..], &["Bearer"], &["Bearer "], &["Bearer a", "Bearer a"], &["é"]]
        {
            assert_eq!(of(wrong), Err(BadBearer), "{wrong:?}");
        }
    }
}
