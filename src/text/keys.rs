//! The keys of the configuration as data: one row a key. The reader, the reference page and the
//! schema for editors go by the rows alone; `section!` writes them down.

mod form;

use std::borrow::Cow;

pub use form::{
    Form, Kind, Number, Plain, Text, Word, boolean, duration, number, size, text, word, words,
};

/// One key, whatever its type.
pub trait Row: Sync {
    /// How it is written.
    fn name(&self) -> &'static str;
    /// What may stand under it.
    fn shape(&self) -> Shape;
    /// What holds without it.
    fn absent(&self) -> Absent;
    /// What it means.
    fn means(&self) -> &'static str;
    /// Whether its change waits for a restart.
    fn restart(&self) -> bool;
}

/// What may stand under a key.
#[derive(Clone, Copy)]
pub enum Shape {
    /// One value.
    Value(Kind),
    /// A list of so many values.
    Values(Kind, Many),
    /// A mapping.
    Mapping(&'static dyn Keys),
    /// A list of so many mappings.
    Mappings(&'static dyn Keys, Many),
    /// Mappings under names of this form, so many.
    Named(&'static Text, &'static dyn Keys, Many),
    /// Values under names of this form.
    NamedValues(&'static Text, Kind),
}

/// How many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Many {
    /// Any number; none may be written as no value at all.
    Any,
    /// One at least.
    Some,
    /// So many at most.
    UpTo(usize),
}

/// What holds where a key is not there.
#[derive(Clone, Debug)]
pub enum Absent {
    /// It has to be there: how to write it.
    Required(&'static str),
    /// This value.
    Value(Cow<'static, str>),
    /// What is said here in words.
    Words(&'static str),
    /// These values, for the profiles `internal` and `edge` of listeners, and for backends.
    Profiles([&'static str; 3]),
    /// Nothing.
    Nothing,
}

impl Absent {
    /// The value that is taken, in the words of the configuration.
    pub const fn value(text: &'static str) -> Absent {
        Absent::Value(Cow::Borrowed(text))
    }
}

/// The keys of one mapping.
pub struct Section {
    /// Where it stands: `services.*.endpoints[]`.
    pub path: &'static str,
    /// What may stand instead of the mapping.
    pub short: Short,
    /// A mapping whose keys may stand here too.
    pub also: Option<&'static dyn Keys>,
    /// Its own keys.
    pub own: &'static [&'static dyn Row],
}

/// What may stand in place of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// Nothing.
    No,
    /// The value of this key.
    Key(&'static str),
    /// This word.
    Word(&'static str),
}

impl Section {
    /// All its keys.
    pub fn rows(&self) -> impl Iterator<Item = &'static dyn Row> {
        let also = self.also.map_or(&[][..], |also| also.section().own);
        self.own.iter().chain(also).copied()
    }

    /// The key that one value in place of the mapping is meant for.
    pub fn short_key(&self) -> Option<&'static str> {
        match self.short {
            Short::Key(key) => Some(key),
            Short::No | Short::Word(_) => None,
        }
    }
}

/// A mapping's keys, each under its name.
pub trait Keys: Sync {
    /// All of them, as data.
    fn section(&self) -> &'static Section;
}

/// A key with one value, which may be missing, or has its default elsewhere.
pub struct Key<T: 'static> {
    name: &'static str,
    restart: bool,
    /// How it is written.
    pub form: Form<T>,
    absent: Absent,
    means: &'static str,
}

/// A key with one value, and with a default.
pub struct Setting<T: 'static> {
    name: &'static str,
    restart: bool,
    /// How it is written.
    pub form: Form<T>,
    /// What holds without it.
    pub default: T,
    means: &'static str,
}

/// A key with a list of values.
pub struct List<T: 'static> {
    name: &'static str,
    restart: bool,
    /// How each is written.
    pub form: Form<T>,
    many: Many,
    absent: Absent,
    means: &'static str,
}

/// A key with mappings.
pub struct Part {
    name: &'static str,
    restart: bool,
    shape: Shape,
    absent: Absent,
    means: &'static str,
}

impl<T> Key<T> {
    /// A row.
    pub const fn new(
        (name, restart): (&'static str, bool),
        form: Form<T>,
        absent: Absent,
        means: &'static str,
    ) -> Key<T> {
        Key { name, restart, form, absent, means }
    }
}

impl<T> Setting<T> {
    /// A row.
    pub const fn new(
        (name, restart): (&'static str, bool),
        form: Form<T>,
        default: T,
        means: &'static str,
    ) -> Setting<T> {
        Setting { name, restart, form, default, means }
    }
}

impl<T> List<T> {
    /// A row.
    pub const fn new(
        (name, restart): (&'static str, bool),
        form: Form<T>,
        many: Many,
        absent: Absent,
        means: &'static str,
    ) -> List<T> {
        List { name, restart, form, many, absent, means }
    }
}

impl Part {
    /// A row.
    pub const fn new(
        (name, restart): (&'static str, bool),
        shape: Shape,
        absent: Absent,
        means: &'static str,
    ) -> Part {
        Part { name, restart, shape, absent, means }
    }
}

/// What the rows of every type have in common.
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

            fn means(&self) -> &'static str {
                self.means
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

/// The keys of a mapping, as a static of a type of its own: one row a key, each
/// `[restart] name: Type = form, what holds without it, "what it means";`.
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

/// A key that is a word of Rust too is written `r#match` there.
pub(crate) const fn unraw(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', rest @ ..] => match str::from_utf8(rest) {
            Ok(plain) => plain,
            Err(_) => name,
        },
        _ => name,
    }
}
