//! `cygnet-fleet`: wishes for many gateways in etcd. A process of its own beside the agent, which knows nothing of it: the
//! follower calls the agent's API as any other caller does.

mod agent;
mod args;
mod board;
mod config;
mod etcd;
mod follow;
mod follower;
mod guards;
mod input;
#[path = "../cli/logging.rs"]
mod logging;
mod names;
mod plane;
mod publish;
mod read;
mod roll;
mod state;
mod stop;
mod vault;
mod wait;
mod write;

use self::{
    args::{Cli, Command},
    config::Config,
    stop::{Result, Stop},
    write::Plane,
};
use clap::Parser;
use nix::sys::{
    prctl,
    resource::{Resource, setrlimit},
};
use std::{alloc::System, process::ExitCode};
use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory when it is freed: keys pass through buffers of many libraries.
#[global_allocator]
static WIPING: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    let Cli { config, command } = Cli::parse();
    keep_memory_secret();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(Stop::failed).and_then(|runtime| {
        let done = runtime.block_on(run(&config, &command));
        // A name that is being resolved does not hold the end up.
        runtime.shutdown_background();
        done
    });
    match result {
        // Its place is the journal.
        Err(stop) if matches!(command, Command::Follow) => {
            logging::failure(&stop.text);
            ExitCode::from(stop.code as u8)
        }
        result => stop::end(result, command.is_json()),
    }
}

async fn run(config: &std::path::Path, command: &Command) -> Result<()> {
    match command {
        Command::Keygen => {
            let key = vault::new_key().map_err(Stop::failed)?;
            stop::print(&format!("{}\n", *key)).map(drop)
        }
        Command::Follow => {
            logging::start();
            follow::run(Config::read(config)?).await
        }
        command => ask(&mut Plane::new(Config::read(config)?).await?, command).await,
    }
}

/// The commands that a plane gives.
async fn ask(plane: &mut Plane, command: &Command) -> Result<()> {
    match command {
        Command::Put(args) => plane::put(plane, args).await,
        Command::Get(args) => read::get(plane, &plane::target(&args.target)?).await,
        Command::List(args) => read::list(plane, args.gateway.as_deref(), args.output.json).await,
        Command::Delete(args) => plane::delete(plane, args).await,
        Command::Apply(args) => roll::run(plane, args).await,
        Command::Status(args) => read::status(plane, args.target.as_deref(), args.output.json).await,
        Command::Watch(args) => read::watch(plane, args.gateway.as_deref(), args.output.json).await,
        Command::Reseal(output) => plane::reseal(plane, output.json).await,
        Command::Follow | Command::Keygen => Err(Stop::failed("this command asks no etcd")),
    }
}

/// Forbids core dumps, and access to memory by processes of the same user: keys are in memory.
fn keep_memory_secret() {
    for outcome in [prctl::set_dumpable(false), setrlimit(Resource::RLIMIT_CORE, 0, 0)] {
        if let Err(error) = outcome {
            stop::note(&format!("a core dump of this process would contain keys: {error}"));
        }
    }
}
