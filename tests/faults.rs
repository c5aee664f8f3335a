//! Disks and systems that fail under `cygnet serve`: full, read-only, broken, taken away, out of descriptors. For each
//! write call: it fails with 503 and a reason that names the operation and the file, the old connection lives on in
//! store, conf.d and (a fake) charon with the same bytes, other calls are served, and when the fault is gone the same
//! call succeeds. Faults are real (a small tmpfs, `chattr +i`) or put in by strace, and then seen in its output.

#[path = "faults/calls.rs"]
mod calls;
#[path = "faults/injected.rs"]
mod injected;
#[path = "faults/places.rs"]
mod places;
