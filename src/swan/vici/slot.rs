//! A socket of the client: connected when it is needed, and anew when it was lost.

use super::link::{Failure, Link};
use crate::swan::packet::Packet;
use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::sync::Mutex;

/// A socket that is connected when it is needed, and the streams that are registered on it.
#[derive(Default)]
pub struct Slot {
    connected: Mutex<Option<(Link, Vec<&'static str>)>>,
    /// How often it was connected.
    pub lives: AtomicU64,
}

impl Slot {
    /// The connected socket, on which `stream` is registered.
    pub async fn link(&self, path: &Path, deadline: Duration, stream: Option<&'static str>) -> Result<Link, Failure> {
        let mut slot = self.connected.lock().await;
        // Taken out until all is done: a socket on which a caller gave up half-way through a registration is closed,
        // since charon sends every event as often as it was registered.
        let (link, mut streams) = if let Some(connected) = slot.take().filter(|(link, _)| !link.is_closed()) {
            connected
        } else {
            let link = Link::connect(path, deadline).await?.0;
            self.lives.fetch_add(1, Ordering::Relaxed);
            (link, Vec::new())
        };
        if let Some(name) = stream.filter(|name| !streams.contains(name)) {
            // A streaming command sends nothing unless its event was registered first.
            link.call(&Packet::Register(name.into()), None).await?;
            streams.push(name);
        }
        *slot = Some((link.clone(), streams));
        Ok(link)
    }
}
