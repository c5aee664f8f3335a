//! The `cygnet` program: see `cli.rs`.

mod cli;

use std::alloc::System;
use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory when it is freed. A key passes through buffers of many libraries (HTTP, JSON, TLS) that do not wipe
/// their memory.
#[global_allocator]
static WIPING: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> std::process::ExitCode {
    cli::run()
}
