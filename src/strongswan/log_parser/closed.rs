//! The line with which charon closes a CHILD_SA. It has the last counters: those of the events of a rekeying lack what
//! the old SA carries until the peer has confirmed its end.

use crate::ipsec::InOut;

/// A CHILD_SA that charon closes.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed {
    /// The name of its configuration.
    pub name: String,
    /// The inbound SPI, in hexadecimal digits.
    pub spi: String,
    /// The bytes that it has carried.
    pub bytes: InOut<u64>,
}

/// The SA that the line closes; IKEv1 and IKEv2 have the same words.
pub fn of(text: &str) -> Option<Closed> {
    let (sa, rest) = text.strip_prefix("closing CHILD_SA ")?.split_once(" with SPIs ")?;
    let (name, _) = sa.rsplit_once('{')?;
    let (spi, rest) = rest.split_once("_i (")?;
    let (inbound, rest) = rest.split_once(" bytes")?;
    let (outbound, _) = rest.split_once("_o (")?.1.split_once(" bytes")?;
    let bytes = InOut { inbound: inbound.parse().ok()?, outbound: outbound.parse().ok()? };
    Some(Closed { name: name.into(), spi: spi.into(), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_counters_are_read() {
        let line = "closing CHILD_SA net-1{21} with SPIs 4af94a49_i (4032 bytes) bc22dc6a_o (4116 bytes) and TS \
                    10.2.0.0/24 === 10.1.0.0/24";
        let bytes = InOut { inbound: 4032, outbound: 4116 };
        assert_eq!(of(line), Some(Closed { name: "net-1".into(), spi: "4af94a49".into(), bytes }));
        let expired = "closing expired CHILD_SA net-1{21} with SPIs 4af94a49_i bc22dc6a_o and TS a === b";
        assert_eq!(of(expired), None);
        assert_eq!(of("closing CHILD_SA net-1{21} with SPIs 4af94a49_i (many bytes) bc22dc6a_o (4 bytes)"), None);
    }
}
