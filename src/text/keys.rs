//! Configuration keys as data, one row a key. The reader, the reference page and the JSON schema
//! are derived from the rows; the `section!` macro declares them.

mod form;

use std::borrow::Cow;

pub use form::{
    Form, Number, Plain, Text, ValueKind, Word, boolean, duration, number, size, text, word, words,
};

/// One key, whatever the type of its value.
pub trait Row: Sync {
    /// The key as written in the file.
    fn name(&self) -> &'static str;
    /// What its value may be.
    fn shape(&self) -> Shape;
    /// What applies when it is missing.
    fn absent(&self) -> Absent;
    /// Its documentation.
    fn doc(&self) -> &'static str;
    /// Whether changing it needs a restart.
    fn restart(&self) -> bool;
}

/// The shape of a key's value.
#[derive(Clone, Copy)]
pub enum Shape {
    /// A scalar.
    Value(ValueKind),
    /// A list of scalars.
    Values(ValueKind, Many),
    /// A mapping.
    Mapping(&'static dyn Keys),
    /// A list of mappings.
    Mappings(&'static dyn Keys, Many),
    /// Mappings keyed by names of this form.
    Named(&'static Text, &'static dyn Keys, Many),
    /// Scalars keyed by names of this form.
    NamedValues(&'static Text, ValueKind),
}

/// Bounds on the number of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Many {
    /// Any number; an empty value stands for none.
    Any,
    /// At least one.
    Some,
    /// At most this many.
    UpTo(usize),
}

/// What applies when a key is missing.
#[derive(Clone, Debug)]
pub enum Absent {
    /// It is required; an example of its value.
    Required(&'static str),
    /// A default value.
    Value(Cow<'static, str>),
    /// A default described in words.
    Words(&'static str),
    /// Defaults of the profiles `internal` and `edge` of listeners, and of backends.
    Profiles([&'static str; 3]),
    /// Nothing; the key is optional.
    Nothing,
}

impl Absent {
    /// A default value, as written in the file.
    pub const fn value(text: &'static str) -> Absent {
        Absent::Value(Cow::Borrowed(text))
    }
}

/// The keys of one mapping.
pub struct Section {
    /// Its path: `services.*.endpoints[]`.
    pub path: &'static str,
    /// A shorthand for the mapping.
    pub short: Short,
    /// A mapping whose keys are allowed here too.
    pub also: Option<&'static dyn Keys>,
    /// Its own keys.
    pub own: &'static [&'static dyn Row],
}

/// A shorthand that may stand in place of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// Nothing.
    No,
    /// The value of this key.
    Key(&'static str),
    /// This keyword.
    Word(&'static str),
}

impl Section {
    /// All its keys, inherited ones included.
    pub fn rows(&self) -> impl Iterator<Item = &'static dyn Row> {
        let also = self.also.map_or(&[][..], |also| also.section().own);
        self.own.iter().chain(also).copied()
    }

    /// The key that a scalar in place of the mapping sets.
    pub fn short_key(&self) -> Option<&'static str> {
        match self.short {
            Short::Key(key) => Some(key),
            Short::No | Short::Word(_) => None,
        }
    }
}

/// A type with one field for each key of a mapping.
pub trait Keys: Sync {
    /// The keys as data.
    fn section(&self) -> &'static Section;
}

/// A key with a scalar value that is optional, or whose default is computed elsewhere.
pub struct Key<T: 'static> {
    name: &'static str,
    restart: bool,
    /// The form of its value.
    pub form: Form<T>,
    absent: Absent,
    doc: &'static str,
}

/// A key with a scalar value and a default.
pub struct Setting<T: 'static> {
    name: &'static str,
    restart: bool,
    /// The form of its value.
    pub form: Form<T>,
    /// The default.
    pub default: T,
    doc: &'static str,
}

/// A key with a list of scalars.
pub struct List<T: 'static> {
    name: &'static str,
    restart: bool,
    /// The form of each item.
    pub form: Form<T>,
    many: Many,
    absent: Absent,
    doc: &'static str,
}

/// A key with a mapping, or several.
pub struct Part {
    name: &'static str,
    restart: bool,
    shape: Shape,
    absent: Absent,
    doc: &'static str,
}

impl<T> Key<T> {
    /// A row.
    pub const fn new(
        (name, restart): (&'static str, bool),
        form: Form<T>,
        absent: Absent,
        doc: &'static str,
    ) -> Key<T> {
        Key { name, restart, form, absent, doc }
    }
}

impl<T> Setting<T> {
    /// A row.
    pub const fn new(
        (name, restart): (&'static str, bool),
        form: Form<T>,
        default: T,
        doc: &'static str,
    ) -> Setting<T> {
        Setting { name, restart, form, default, doc }
    }
}

impl<T> List<T> {
    /// A row.
    pub const fn new(
        (name, restart): (&'static str, bool),
        form: Form<T>,
        many: Many,
        absent: Absent,
        doc: &'static str,
    ) -> List<T> {
        List { name, restart, form, many, absent, doc }
    }
}

impl Part {
    /// A row.
    pub const fn new(
        (name, restart): (&'static str, bool),
        shape: Shape,
        absent: Absent,
        doc: &'static str,
    ) -> Part {
        Part { name, restart, shape, absent, doc }
    }
}

/// Implements [`Row`] for a type of key.
macro_rules! row {
    ($type:ty, [$($generics:tt)*], |$row:ident| $shape:expr, $absent:expr) => {
        impl $($generics)* Row for $type {
            fn name(&self) -> &'static str {
                self.name
            }

            fn shape(&self) -> Shape {
                let $row = self;
                $shape
            }

            fn absent(&self) -> Absent {
                let $row = self;
                $absent
            }

            fn doc(&self) -> &'static str {
                self.doc
            }

            fn restart(&self) -> bool {
                self.restart
            }
        }
    };
}

row!(Key<T>, [<T>], |row| Shape::Value(row.form.kind), row.absent.clone());
row!(
    Setting<T>, [<T: Sync>], |row| Shape::Value(row.form.kind),
    Absent::Value(row.form.show(&row.default).into())
);
row!(List<T>, [<T>], |row| Shape::Values(row.form.kind, row.many), row.absent.clone());
row!(Part, [], |row| row.shape, row.absent.clone());

/// Declares the keys of a mapping as a static with a type of its own: one row a key, each
/// `[restart] name: Type = form, what applies when missing, "documentation";`.
macro_rules! section {
    (
        $(#[$doc:meta])*
        $vis:vis static $keys:ident: $type:ident = $path:literal
            $(, short $short:expr)? $(, also $also:expr)?;
        $( $([$restart:ident])? $key:ident: $row:ty = $($arg:expr),+; )*
    ) => {
        $(#[$doc])*
        $vis struct $type {
            $( $vis $key: $row, )*
        }

        $(#[$doc])*
        $vis static $keys: $type = $type {
            $( $key: <$row>::new(
                $crate::text::keys::section!(@name $key $($restart)?), $($arg),+
            ), )*
        };

        impl $crate::text::keys::Keys for $type {
            fn section(&self) -> &'static $crate::text::keys::Section {
                static SECTION: $crate::text::keys::Section = $crate::text::keys::Section {
                    path: $path,
                    short: $crate::text::keys::section!(@or $crate::text::keys::Short::No, $($short)?),
                    also: $crate::text::keys::section!(@or None, $(Some($also))?),
                    own: &[$(&$keys.$key),*],
                };
                &SECTION
            }
        }
    };
    (@name $key:ident) => { ($crate::text::keys::unraw(stringify!($key)), false) };
    (@name $key:ident restart) => { ($crate::text::keys::unraw(stringify!($key)), true) };
    (@or $without:expr,) => { $without };
    (@or $without:expr, $with:expr) => { $with };
}

pub(crate) use section;

/// Strips the `r#` of keys that are Rust keywords, such as `r#match`.
pub(crate) const fn unraw(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', rest @ ..] => match str::from_utf8(rest) {
            Ok(plain) => plain,
            Err(_) => name,
        },
        _ => name,
    }
}
