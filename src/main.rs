//! The `equipoise` command.

use std::process::ExitCode;

/// Tasks are allocated with an alignment that glibc's allocator serves slowly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    equipoise::cli::run()
}
