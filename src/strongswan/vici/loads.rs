//! What is loaded into charon, and unloaded.

use super::{Asker, Vici, failed, obeyed};
use crate::{
    error::Result,
    strongswan::{packet::Packet, refused::or_absent, requests::Request, section::Section},
};
use tokio::time::Instant;

impl Vici {
    /// Sends charon a request of a plan; see [`crate::strongswan::requests::load`].
    ///
    /// # Errors
    /// When charon refuses it or does not answer.
    pub async fn load(&self, request: &Request) -> Result<()> {
        self.load_for(Asker::Reconciler, request).await
    }

    /// The same, on the sockets of `asker`: a writer waits for nothing that the reconciler loads.
    ///
    /// # Errors
    /// When charon refuses it or does not answer.
    pub async fn load_for(&self, asker: Asker, request: &Request) -> Result<()> {
        let (command, object) = (request.command, request.object());
        let pool = if asker == Asker::Writer { &self.pools.writes } else { &self.pools.commands };
        obeyed(command, object, &self.call(pool, command, object, request.body.clone()).await?)
    }

    /// Sends charon requests of the reconciler that belong together, one behind the other without a wait for the answers:
    /// of thousands of connections, the waits are half of the time. charon obeys them in their order, and each whatever
    /// came of those before.
    ///
    /// # Errors
    /// As [`Vici::load`], of the first that failed.
    pub async fn load_together(&self, requests: &[Request]) -> Result<()> {
        let Some(first) = requests.first() else { return Ok(()) };
        let on = |request: &Request, cause| failed(request.command, request.object(), cause);
        let mut lent = self.lent(&self.pools.commands, first.command).await.map_err(|cause| on(first, cause))?;
        let begun = Instant::now();
        let packet = |request: &Request| Packet::Request(request.command.into(), request.body.clone());
        let packets: Vec<_> = requests.iter().map(packet).collect();
        lent.socket.send(&packets).await.map_err(|cause| on(first, cause))?;
        let mut outcome = Ok(());
        for request in requests {
            let answer = lent.socket.answer(|_| true, |_, _| false).await;
            self.trips.record(request.command, begun.elapsed(), &answer);
            let obeyed = match answer {
                Ok(answer) => obeyed(request.command, request.object(), &answer),
                Err(cause) if cause.spares_the_socket() => Err(on(request, cause)),
                Err(cause) => return Err(on(request, cause)),
            };
            outcome = outcome.and(obeyed);
        }
        lent.give_back();
        outcome
    }

    /// Unloads a secret; a missing one is no error.
    ///
    /// # Errors
    /// When charon refuses it or does not answer.
    pub async fn unload_shared(&self, id: &str) -> Result<()> {
        self.command("unload-shared", id, Section::new().with("id", id)).await
    }

    /// Unloads a private key; a missing one is no error.
    ///
    /// # Errors
    /// When charon refuses it or does not answer.
    pub async fn unload_key(&self, id: &str) -> Result<()> {
        or_absent(self.command("unload-key", id, Section::new().with("id", id)).await)
    }

    /// Unloads a connection; its SAs stay.
    ///
    /// # Errors
    /// When charon does not know it or does not answer.
    pub async fn unload_connection(&self, name: &str) -> Result<()> {
        self.command("unload-conn", name, Section::new().with("name", name)).await
    }
}
