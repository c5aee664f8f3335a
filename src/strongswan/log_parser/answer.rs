//! The lines that show in which version of IKE the peer answers an initiation.

/// The version (1 or 2) in which the peer answered the first packet, and whether it speaks that version. A refusal may
/// mean that it speaks only the other one. Neither is authenticated.
#[must_use]
pub fn of(text: &str) -> Option<(u8, bool)> {
    let message = text.strip_prefix("parsed ")?;
    let refuses = ["[ N(NO_PROP)", "[ N(INVAL_MAJOR)"].iter().any(|refusal| message.contains(refusal));
    if message.starts_with("IKE_SA_INIT response ") {
        Some((2, !refuses))
    } else if message.starts_with("ID_PROT response ") {
        Some((1, true))
    } else {
        (message.starts_with("INFORMATIONAL_V1 request ") && refuses).then_some((1, false))
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn who_refuses_the_first_packet_may_not_speak_the_version() {
        for (text, answer) in [
            ("parsed IKE_SA_INIT response 0 [ SA KE No N(NATD_S_IP) ]", Some((2, true))),
            ("parsed IKE_SA_INIT response 0 [ N(INVAL_KE) ]", Some((2, true))),
            ("parsed IKE_SA_INIT response 0 [ N(COOKIE) ]", Some((2, true))),
            ("parsed IKE_SA_INIT response 0 [ N(NO_PROP) ]", Some((2, false))),
            ("parsed IKE_SA_INIT response 0 [ N(INVAL_MAJOR) ]", Some((2, false))),
            ("parsed ID_PROT response 0 [ SA V V V ]", Some((1, true))),
            ("parsed INFORMATIONAL_V1 request 2342 [ N(NO_PROP) ]", Some((1, false))),
            ("parsed INFORMATIONAL_V1 request 2342 [ HASH N(DPD) ]", None),
            ("parsed IKE_SA_INIT request 0 [ SA KE No ]", None),
            ("generating ID_PROT request 0 [ SA V V ]", None),
        ] {
            assert_eq!(of(text), answer, "{text}");
        }
    }
}
