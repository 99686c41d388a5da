//! What the process gives up before it does anything: it starts no other program with more rights
//! than it has itself, and leaves no image of its memory, which has keys and passwords, behind.

use std::io;

use rlimit::Resource;

/// A core dump of this many bytes is none: the kernel writes no file that small, and, unlike with 0,
/// does not hand the image to a collector either (`core(5)`, a pipe in `core_pattern`).
const NO_CORE: u64 = 1;

/// Gives up both, for this thread and all that it starts later. Returns what could not be.
pub fn harden() -> Vec<String> {
    let privileges = rustix::thread::set_no_new_privs(true).map_err(io::Error::from);
    let core = Resource::CORE.get().and_then(|(_, hard)| {
        // The hard limit stays, so that an operator may have one by `prlimit`.
        Resource::CORE.set(NO_CORE.min(hard), hard)
    });
    let failed = |what: &str, result: io::Result<()>| {
        result.err().map(|error| format!("cannot {what}: {error}"))
    };
    [failed("set no_new_privs", privileges), failed("turn core dumps off", core)]
        .into_iter()
        .flatten()
        .collect()
}
