//! What a route asks of a request beyond its host and path: method, headers, query parameters.
//!
//! A header that stands in the request more than once counts as one, its values joined with `,`
//! in order (RFC 9110, section 5.3; gRPC does the same), those of `cookie` with `; ` (RFC 9113,
//! section 8.2.3). Of a query parameter that is given more than once the first counts.

use super::RouteQuery;
use super::pattern::{self, Pattern};

/// What a route asks beyond host and path. All of it has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conditions {
    /// The method is this.
    pub method: Option<Box<str>>,
    /// Header fields, or metadata of gRPC, by name in lower case; each name once, in order.
    pub headers: Box<[FieldMatch]>,
    /// Query parameters; each name once, in order.
    pub query: Box<[FieldMatch]>,
}

/// Whether a method is asked for, how many headers and how many parameters.
pub(super) type Rank = (bool, usize, usize);

/// What is asked of one header or query parameter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldMatch {
    /// Its name.
    pub name: Box<str>,
    /// What its value is to be.
    pub value: ValueMatch,
}

/// What a value is to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ValueMatch {
    /// This.
    Exact(Box<str>),
    /// Something that begins so.
    Prefix(Box<str>),
    /// Something that matches this as a whole.
    Regex(Pattern),
    /// Whatever, but there.
    Present,
    /// Not there.
    Absent,
}

/// The header fields of a request, as routes ask for them.
pub trait Fields {
    /// Shows `see` every value of the field `name`, which is in lower case, in order.
    fn values(&self, name: &str, see: &mut dyn FnMut(&[u8]));
}

/// No fields.
impl Fields for () {
    fn values(&self, _: &str, _: &mut dyn FnMut(&[u8])) {}
}

/// Names in lower case, and values.
impl<N: AsRef<str>, V: AsRef<[u8]>> Fields for Vec<(N, V)> {
    fn values(&self, name: &str, see: &mut dyn FnMut(&[u8])) {
        for (_, value) in self.iter().filter(|(other, _)| other.as_ref() == name) {
            see(value.as_ref());
        }
    }
}

/// A condition that a request does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet<'t> {
    /// The path does not match this.
    Path(&'t Pattern),
    /// The method is another.
    Method(&'t str),
    /// Of a header.
    Header(&'t FieldMatch),
    /// Of a query parameter.
    Query(&'t FieldMatch),
}

impl Conditions {
    /// How specific they are: of two routes for the same host and path the greater one goes
    /// first.
    pub(super) fn rank(&self) -> Rank {
        (self.method.is_some(), self.headers.len(), self.query.len())
    }

    /// The first of them that does not hold.
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

    /// Whether the condition holds; `check` has read the value, if there is one.
    fn holds(&self, check: Option<Check<'_>>) -> bool {
        match check {
            Some(check) => check.holds(),
            None => self.value == ValueMatch::Absent,
        }
    }
}

/// The comparison of a value that comes in pieces.
enum Check<'m> {
    /// It is to go on so, and to end there.
    Exact(&'m [u8]),
    /// It is to go on so.
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

/// The bytes of a name or value in a query, `%XX` and `+` resolved. A `%` that is followed by
/// something else stands for itself.
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
