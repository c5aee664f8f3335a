//! A kill at every file system call, and at every message to charon, of each write call, and of a start that has
//! something to repair. Then the agent is started again, and must have exactly the old or exactly the new connection,
//! the same in its store, in conf.d and in (a fake) charon, which lives on; a call that was answered is the one that is
//! there; nothing half lies about.

#[path = "crash/calls.rs"]
mod calls;
#[path = "crash/kills.rs"]
mod kills;
#[path = "crash/starts.rs"]
mod starts;
#[path = "crash/together.rs"]
mod together;
