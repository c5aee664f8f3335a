//! Has charon begin negotiations: all that wait for the socket in one exchange.

use super::{Vici, failed, obeyed, pool::Lent, socket::Failure};
use crate::{
    error::Result,
    strongswan::{packet::Packet, section::Section},
};
use std::time::Duration;
use tokio::time::Instant;

impl Vici {
    /// Starts negotiating `child` of `ike` and returns at once how long charon took to begin; waiting would hold one of
    /// charon's few threads (facts 2.4).
    ///
    /// # Errors
    /// When charon refuses it or does not answer.
    pub async fn initiate(&self, ike: &str, child: &str) -> Result<Duration> {
        let body = Section::new().with("child", child).with("ike", ike).with("timeout", "-1");
        let mut answered = self.attempts.add(Packet::Request("initiate".into(), body));
        let outcome = loop {
            tokio::select! {
                biased;
                // Without an answer, the one who asked for it has left.
                outcome = &mut answered => break outcome.unwrap_or(Err(Failure::Lost)),
                lent = self.lent(&self.pools.attempts, "initiate") => match lent {
                    Ok(lent) => self.begin_next(lent).await,
                    Err(failure) => break Err(failure),
                },
            }
        };
        let (took, answer) = outcome.map_err(|failure| failed("initiate", child, failure))?;
        obeyed("initiate", child, &answer).map(|()| took)
    }

    /// Has charon begin those that wait.
    async fn begin_next(&self, mut lent: Lent<'_>) {
        let (requests, answers) = self.attempts.take();
        let mut sent = lent.socket.send(&requests).await;
        for answer in answers {
            let begun = Instant::now();
            let outcome = self.timed("initiate", async {
                sent.clone()?;
                lent.socket.answer(|_| true, |_, _| false).await
            });
            let outcome = outcome.await;
            // No answer comes behind one that is missing.
            sent = sent.and(
                outcome
                    .as_ref()
                    .map(drop)
                    .or_else(|failure| if failure.spares_the_socket() { Ok(()) } else { Err(failure.clone()) }),
            );
            // Who left needs no answer.
            let _ = answer.send(outcome.map(|section| (begun.elapsed(), section)));
        }
        // Each was told what became of it.
        let _ = lent.returned(sent);
    }
}
