//! Conditions beyond host and path: method, headers, query parameters.
//!
//! A header that occurs more than once is matched as one value, joined with `,` in order (RFC 9110,
//! section 5.3; gRPC does the same), `cookie` with `; ` (RFC 9113, section 8.2.3). Of a repeated
//! query parameter the first value counts.

use super::RouteQuery;
use super::pattern::{self, Pattern};

/// Conditions beyond host and path; all must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conditions {
    /// The HTTP method.
    pub method: Option<Box<str>>,
    /// Header fields (gRPC metadata), by lower-case name; each name once, in order.
    pub headers: Box<[FieldMatch]>,
    /// Query parameters; each name once, in order.
    pub query: Box<[FieldMatch]>,
}

/// Specificity: whether there is a method, number of headers, number of parameters.
pub(super) type Rank = (bool, usize, usize);

/// A condition on one header or query parameter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldMatch {
    /// Its name.
    pub name: Box<str>,
    /// The condition on its value.
    pub value: ValueMatch,
}

/// A condition on a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ValueMatch {
    /// Equal to this.
    Exact(Box<str>),
    /// Begins with this.
    Prefix(Box<str>),
    /// The whole value matches this regular expression.
    Regex(Pattern),
    /// Present, with any value.
    Present,
    /// Absent.
    Absent,
}

/// Access to the header fields of a request.
pub trait Fields {
    /// Calls `see` with every value of the field `name` (lower case), in order.
    fn values(&self, name: &str, see: &mut dyn FnMut(&[u8]));
}

/// No fields.
impl Fields for () {
    fn values(&self, _: &str, _: &mut dyn FnMut(&[u8])) {}
}

/// A list of lower-case names and values.
impl<N: AsRef<str>, V: AsRef<[u8]>> Fields for Vec<(N, V)> {
    fn values(&self, name: &str, see: &mut dyn FnMut(&[u8])) {
        for (_, value) in self.iter().filter(|(other, _)| other.as_ref() == name) {
            see(value.as_ref());
        }
    }
}

/// The condition that a request does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet<'t> {
    /// The regular expression of the path.
    Path(&'t Pattern),
    /// The method.
    Method(&'t str),
    /// A header.
    Header(&'t FieldMatch),
    /// A query parameter.
    Query(&'t FieldMatch),
}

impl Conditions {
    /// Their specificity: of two routes with the same host and path, the greater one takes
    /// precedence.
    pub(super) fn rank(&self) -> Rank {
        (self.method.is_some(), self.headers.len(), self.query.len())
    }

    /// The first condition that does not hold.
    pub(super) fn unmet(&self, query: &RouteQuery<'_>) -> Option<Unmet<'_>> {
        if let Some(method) = self.method.as_deref()
            && method.as_bytes() != query.method
        {
            return Some(Unmet::Method(method));
        }
        let unmet = self.headers.iter().find(|asked| !asked.holds_for_header(query.fields));
        if let Some(asked) = unmet {
            return Some(Unmet::Header(asked));
        }
        let unmet = self.query.iter().find(|asked| !asked.holds_for_parameter(query.path));
        unmet.map(Unmet::Query)
    }
}

impl FieldMatch {
    fn holds_for_header(&self, fields: &dyn Fields) -> bool {
        let separator: &[u8] = if &*self.name == "cookie" { b"; " } else { b"," };
        let mut check = None;
        fields.values(&self.name, &mut |value| match &mut check {
            None => check = Some(Check::new(&self.value).fed(value)),
            Some(check) => {
                check.feed(separator);
                check.feed(value);
            }
        });
        self.holds(check)
    }

    fn holds_for_parameter(&self, path: &[u8]) -> bool {
        let query = path.iter().position(|b| *b == b'?').and_then(|at| path.get(at + 1..));
        let pairs = query.unwrap_or_default().split(|b| *b == b'&').map(|pair| {
            let mut parts = pair.splitn(2, |b| *b == b'=');
            (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
        });
        let found = pairs.filter(|(name, value)| !(name.is_empty() && value.is_empty()));
        let mut found = found.filter(|(name, _)| decoded(name).eq(self.name.bytes()));
        self.holds(found.next().map(|(_, value)| {
            let mut check = Check::new(&self.value);
            decoded(value).for_each(|byte| check.feed(&[byte]));
            check
        }))
    }

    /// Whether the condition holds; `check` has consumed the value, if there is one.
    fn holds(&self, check: Option<Check<'_>>) -> bool {
        match check {
            Some(check) => check.holds(),
            None => self.value == ValueMatch::Absent,
        }
    }
}

/// An incremental comparison, for values that come in pieces.
enum Check<'m> {
    /// The rest must equal this.
    Exact(&'m [u8]),
    /// The rest must begin with this.
    Prefix(&'m [u8]),
    Regex(&'m Pattern, pattern::State),
    Known(bool),
}

impl<'m> Check<'m> {
    fn new(value: &'m ValueMatch) -> Check<'m> {
        match value {
            ValueMatch::Exact(text) => Check::Exact(text.as_bytes()),
            ValueMatch::Prefix(text) => Check::Prefix(text.as_bytes()),
            ValueMatch::Regex(pattern) => Check::Regex(pattern, pattern.start()),
            ValueMatch::Present => Check::Known(true),
            ValueMatch::Absent => Check::Known(false),
        }
    }

    fn fed(mut self, piece: &[u8]) -> Check<'m> {
        self.feed(piece);
        self
    }

    fn feed(&mut self, piece: &[u8]) {
        *self = match *self {
            Check::Exact(left) => match left.strip_prefix(piece) {
                Some(left) => Check::Exact(left),
                None => Check::Known(false),
            },
            Check::Prefix(left) if piece.starts_with(left) => Check::Known(true),
            Check::Prefix(left) => match left.strip_prefix(piece) {
                Some(left) => Check::Prefix(left),
                None => Check::Known(false),
            },
            Check::Regex(pattern, state) => Check::Regex(pattern, pattern.step(state, piece)),
            Check::Known(known) => Check::Known(known),
        }
    }

    fn holds(self) -> bool {
        match self {
            Check::Exact(left) | Check::Prefix(left) => left.is_empty(),
            Check::Regex(pattern, state) => pattern.accepts(state),
            Check::Known(known) => known,
        }
    }
}

/// Percent-decodes a name or value of a query, with `+` as a space. An invalid escape is kept as it
/// is.
fn decoded(raw: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        rest = after;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        match (first, after) {
            (b'%', &[high, low, ref after @ ..]) => match (digit(high), digit(low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    Some((high * 16 + low) as u8)
                }
                _ => Some(b'%'),
            },
            (b'+', _) => Some(b' '),
            (byte, _) => Some(byte),
        }
    })
}
