//! What a listener does with requests that a router and a backend may read differently.

use super::{Paths, Underscores};

/// A listener's settings for such requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ambiguity {
    /// Paths that are not in normal form.
    pub paths: Paths,
    /// Fields with underscores in their names.
    pub underscores: Underscores,
}

impl Ambiguity {
    /// For strangers: nothing passes that a backend may take for something else.
    pub const fn edge() -> Ambiguity {
        Ambiguity { paths: Paths::Normalise, underscores: Underscores::Refuse }
    }

    /// For trusted clients: everything passes as it comes.
    pub const fn internal() -> Ambiguity {
        Ambiguity { paths: Paths::AsIs, underscores: Underscores::Pass }
    }
}
