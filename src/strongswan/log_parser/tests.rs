//! Every line that names a cause, after the lines that charon says before it. The lab's tests see them from real charons,
//! where often both ends' words lead to the same cause; here each stands alone.

use super::{IkeSaTrace, TraceEvent};
use crate::ipsec::reason::Code;

/// The lines of an IKEv2 SA that this side began, up to the answer to its first packet.
const OURS: [&str; 2] = ["initiating IKE_SA a[1] to 192.0.2.2", "generating IKE_SA_INIT request 0 [ SA KE No ]"];
/// The same up to its authentication.
const PROVEN: [&str; 3] = [
    "initiating IKE_SA a[1] to 192.0.2.2",
    "establishing CHILD_SA c-0{2} reqid 1",
    "generating IKE_AUTH request 1 [ IDi AUTH SA TSi TSr ]",
];
/// One that the peer began.
const THEIRS: [&str; 2] = ["192.0.2.2 is initiating an IKE_SA", "parsed IKE_SA_INIT request 0 [ SA KE No ]"];
/// An IKEv1 SA that this side began, and one that the peer began.
const OURS_V1: [&str; 1] = ["initiating Main Mode IKE_SA a[1] to 192.0.2.2"];
const THEIRS_V1: [&str; 1] = ["parsed ID_PROT request 0 [ SA V V ]"];
/// An IKE_SA that this side began, up to its establishment.
const UP: [&str; 2] = [
    "initiating IKE_SA a[1] to 192.0.2.2",
    "IKE_SA a[1] established between 192.0.2.1[192.0.2.1]...192.0.2.2[192.0.2.2]",
];

/// The code, the child and the details that `line` leads to, after `before`.
pub(super) fn told(before: &[&str], line: &str) -> Option<(Code, Option<String>, String)> {
    let mut trace = IkeSaTrace::default();
    for line in before {
        let news = trace.hear(line);
        assert!(
            !matches!(news, Some(TraceEvent::FailureCause(_) | TraceEvent::RekeyFailed(..))),
            "nothing is wrong yet: {line}"
        );
    }
    match trace.hear(line) {
        Some(TraceEvent::FailureCause(cause) | TraceEvent::RekeyFailed(_, cause)) => {
            Some((cause.code, cause.child, cause.details))
        }
        Some(TraceEvent::Established | TraceEvent::Rekeyed(_)) | None => None,
    }
}

#[track_caller]
pub(super) fn assert_told(before: &[&str], line: &str, code: Code, words: &str) {
    let (found, _, details) = told(before, line).unwrap_or_else(|| panic!("nothing is told by: {line}"));
    assert_eq!(found, code, "{line}: {details}");
    assert!(details.contains(words), "{line}: {details}");
}

#[test]
fn proposals() {
    let offers = ["received proposals: IKE:3DES_CBC", "configured proposals: IKE:AES_CBC_256"];
    let with = |before: &[&'static str]| [before, &offers].concat();
    let both = "offers IKE:3DES_CBC; wanted here: IKE:AES_CBC_256";
    assert_told(&with(&THEIRS), "received proposals unacceptable", Code::NoProposalIke, both);
    assert_told(&with(&THEIRS_V1), "no proposal found", Code::NoProposalIke, both);
    assert_told(&with(&UP), "no acceptable proposal found", Code::NoProposalChild, both);
    let sends = "no matching proposal found, sending NO_PROPOSAL_CHOSEN";
    assert_told(&with(&UP), sends, Code::NoProposalChild, both);
    assert_told(&OURS, "received NO_PROPOSAL_CHOSEN notify error", Code::NoProposalIke, "none of our IKE proposals");
    assert_told(&OURS_V1, "received NO_PROPOSAL_CHOSEN error notify", Code::NoProposalIke, "IKE proposals");
    assert_told(&UP, "received NO_PROPOSAL_CHOSEN error notify", Code::NoProposalChild, "for the traffic");
    let child = "received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built";
    assert_told(&PROVEN, child, Code::NoProposalChild, "for the traffic");
    let group = "requested DH group MODP_1024 not acceptable, giving up";
    assert_told(&OURS, group, Code::NoProposalIke, "MODP_1024");
    let version = "no IKE config found for 192.0.2.1...192.0.2.2, sending NO_PROPOSAL_CHOSEN";
    assert_told(&THEIRS_V1, version, Code::IkeVersionMismatch, "IKEv1 (192.0.2.1...192.0.2.2)");
    assert_eq!(told(&[], version), None, "without a packet there is no version");
}

#[test]
fn selectors() {
    let wants = "traffic selectors 10.1.0.0/16 === 10.9.0.0/16 unacceptable";
    assert_told(&UP, wants, Code::TsMismatch, "asks for 10.1.0.0/16 === 10.9.0.0/16 (our");
    let wants = "no matching CHILD_SA config found for 10.1.0.0/16 === 10.9.0.0/16";
    assert_told(&UP, wants, Code::TsMismatch, "asks for 10.1.0.0/16 === 10.9.0.0/16 (our");
    let refused = "received TS_UNACCEPTABLE notify, no CHILD_SA built";
    assert_told(&PROVEN, refused, Code::TsMismatch, "does not accept our networks (TS_UNACCEPTABLE)");
    assert_told(&PROVEN, "no acceptable traffic selectors found", Code::TsMismatch, "does not accept our networks");
    let v1 = [&OURS_V1[..], &["IKE_SA a[1] established between 192.0.2.1...192.0.2.2"]].concat();
    let refused = "received INVALID_ID_INFORMATION error notify";
    assert_told(&v1, refused, Code::TsMismatch, "(INVALID_ID_INFORMATION)");
    assert_told(&OURS_V1, refused, Code::IdMismatch, "INVALID_ID_INFORMATION");
}

#[test]
fn proofs() {
    let mismatch = "tried 1 shared key for '192.0.2.1' - '192.0.2.2', but MAC mismatched";
    assert_told(&THEIRS, mismatch, Code::AuthFailed, "the pre-shared keys differ (charon: tried 1");
    let several = "tried 2 shared keys for '192.0.2.1' - '192.0.2.2', but MAC mismatched";
    assert_told(&THEIRS, several, Code::KeyAmbiguous, "tried 2 shared keys");
    let none = "no shared key found for '192.0.2.1' - 'gw'";
    assert_told(&OURS, none, Code::NoSharedKey, "no pre-shared key for '192.0.2.1' - 'gw'");
    assert_told(
        &THEIRS_V1,
        "calculated HASH does not match HASH payload",
        Code::AuthFailed,
        "the pre-shared keys differ (",
    );
    assert_eq!(told(&OURS, "could not decrypt payloads"), None, "under IKEv2 it says nothing of the key");
    for refusal in ["notify error", "error notify"] {
        let line = format!("received AUTHENTICATION_FAILED {refusal}");
        assert_told(&PROVEN, &line, Code::PeerRefusedAuth, "keys differ, or the peer expects another identity");
    }
    let malformed = "received PAYLOAD_MALFORMED error notify";
    assert_told(&OURS_V1, malformed, Code::PeerRefusedAuth, "the pre-shared keys differ: the peer cannot decrypt");
    assert_told(&UP, malformed, Code::Unknown, "PAYLOAD_MALFORMED");
}

#[test]
fn identities() {
    let looks = "looking for peer configs matching 192.0.2.1[%any]...192.0.2.2[gw]";
    let looked = [&THEIRS[..], &[looks]].concat();
    for line in ["no matching peer config found", "no peer config found", "no alternative config found"] {
        assert_told(&looked, line, Code::IdMismatch, "the ends 192.0.2.1[%any]...192.0.2.2[gw]");
    }
    let v1 = "looking for pre-shared key peer configs matching 192.0.2.1...192.0.2.2[gw]";
    assert_told(&[&THEIRS_V1[..], &[v1]].concat(), "no peer config found", Code::IdMismatch, "192.0.2.2[gw]");
    assert_told(&OURS_V1, "IDir 'a' does not match to 'b'", Code::IdMismatch, "'a' does not match to 'b'");
    assert_told(&PROVEN, "constraint check failed: identity 'b' required", Code::IdMismatch, "'b' required");
    assert_told(&PROVEN, "constraint check failed: EAP required", Code::AuthFailed, "EAP required");
}

/// libreswan and iked ask for the identity that they expect here.
#[test]
fn the_identities_that_the_peer_asks_for() {
    let mut trace = IkeSaTrace::default();
    let looks = "looking for peer configs matching 192.0.2.1[somebody.example]...192.0.2.2[192.0.2.2]";
    THEIRS.iter().chain([&looks]).for_each(|line| assert_eq!(trace.hear(line), None, "{line}"));
    let Some(TraceEvent::FailureCause(cause)) = trace.hear("no matching peer config found") else {
        panic!("nothing is told")
    };
    assert_eq!((cause.peer_id.as_deref(), cause.asked_id.as_deref()), (Some("192.0.2.2"), Some("somebody.example")));
}

#[test]
fn certificates() {
    for line in [
        "no issuer certificate found for \"CN=a\"",
        "subject certificate invalid (valid from a to b)",
        "certificate was revoked on a, reason: unspecified",
        "no private key found for 'CN=a'",
        "no trusted RSA public key found for 'CN=a'",
    ] {
        assert_told(&THEIRS, line, Code::CertInvalid, &format!("(charon: {line})"));
    }
    // What follows from it is no other cause.
    let mut trace = IkeSaTrace::default();
    trace.hear("certificate was revoked on a, reason: unspecified");
    match trace.hear("no matching peer config found") {
        Some(TraceEvent::FailureCause(cause)) => assert_eq!(
            (cause.code, cause.details.as_str()),
            (
                Code::CertInvalid,
                "the certificate is revoked (charon: certificate was revoked on a, reason: unspecified); no matching \
                 peer config found"
            )
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn silence_and_ends() {
    let given_up = "giving up after 5 retransmits";
    assert_told(&OURS, given_up, Code::PeerUnreachable, "192.0.2.2 does not answer: it has not answered at all");
    assert_told(&PROVEN, given_up, Code::PeerUnreachable, "IKE_SA_INIT, but not IKE_AUTH");
    assert_eq!(told(&OURS, "retransmit 1 of request with message ID 0"), None, "it may be slow");
    assert_told(&OURS, "retransmit 2 of request with message ID 0", Code::PeerUnreachable, "does not answer");
    assert_eq!(told(&OURS_V1, "sending retransmit 1 of request message ID 0, seq 1"), None, "it may be slow");
    let again = "sending retransmit 2 of request message ID 0, seq 1";
    assert_told(&OURS_V1, again, Code::PeerUnreachable, "answered at all");
    assert_eq!(told(&UP, "retransmit 1 of request with message ID 4"), None, "one packet may be lost");
    assert_told(&UP, given_up, Code::DpdTimeout, "fell silent");
    assert_told(&UP, "DPD check timed out, enforcing DPD action", Code::DpdTimeout, "DPD");
    assert_told(&UP, "received DELETE for IKE_SA a[1]", Code::PeerDeleted, "the IKE SA");
    assert_told(&UP, "received DELETE for ESP CHILD_SA with SPI 01020304", Code::PeerDeleted, "the CHILD_SA");
    let theirs = [&THEIRS_V1[..], &["IKE_SA a[1] established between 192.0.2.1...192.0.2.2"]].concat();
    assert_told(&theirs, "received DELETE for IKE_SA a[1]", Code::PeerRefusedAuth, "right after the authentication");
    // Under IKEv2 the child comes with the authentication: who accepted that, and closes, does not refuse.
    let carried = "CHILD_SA c-0{1} established with SPIs 4c208094_i e7b568b5_o and TS 10.1.0.0/24 === 10.2.0.0/24";
    let carried = [&theirs[..], &[carried]].concat();
    assert_told(&carried, "received DELETE for IKE_SA a[1]", Code::PeerDeleted, "the peer closed the IKE SA");
}

/// The lines of charon 5.9.8 and 6.1.0.
#[test]
fn what_is_large_and_not_answered() {
    let sent = [
        "initiating IKE_SA a[1] to 192.0.2.2",
        "parsed IKE_SA_INIT response 0 [ SA KE No ]",
        "generating IKE_AUTH request 1 [ IDi CERT AUTH SA TSi TSr ]",
        "splitting IKE message (1621 bytes) into 2 fragments",
        "generating IKE_AUTH request 1 [ EF(1/2) ]",
        "generating IKE_AUTH request 1 [ EF(2/2) ]",
    ];
    let again = "retransmit 2 of request with message ID 1";
    let lost = "answered what is small, but not IKE_AUTH (1621 bytes in 2 packets): are large packets lost";
    assert_told(&sent, again, Code::PeerUnreachable, lost);
    assert_eq!(unanswered(&sent, again), Some((1621, 2)));
    // The further key exchange of ML-KEM has a step of its own.
    let kem = sent.map(|line| line.replace("IKE_AUTH", "IKE_INTERMEDIATE"));
    let kem: Vec<_> = kem.iter().map(String::as_str).collect();
    assert_told(&kem, again, Code::PeerUnreachable, "not IKE_INTERMEDIATE (1621 bytes");
    assert_told(&kem[..3], again, Code::PeerUnreachable, "but not IKE_INTERMEDIATE, the further key exchange");
    // What was answered is not lost, and of a first message nobody knows that smaller ones arrive.
    let part = [&sent[..], &["parsed IKE_AUTH response 1 [ EF(2/2) ]"]].concat();
    assert_eq!(unanswered(&part, again), Some((1621, 2)), "the other part of the answer is lost");
    let answered = [&part[..], &["parsed IKE_AUTH response 1 [ IDr CERT AUTH SA TSi TSr ]"]].concat();
    assert_eq!(unanswered(&answered, again), None);
    let next = [&sent[..], &["generating INFORMATIONAL request 2 [ ]"]].concat();
    assert_eq!(unanswered(&next, again), None);
    let first = [OURS[0], OURS[1], sent[3]];
    assert_told(&first, again, Code::PeerUnreachable, "it has not answered at all");
    assert_eq!(unanswered(&first, again), None);
    // The third exchange of main mode, with a certificate.
    let v1 = [
        OURS_V1[0],
        "parsed ID_PROT response 0 [ SA V ]",
        "parsed ID_PROT response 0 [ KE No ]",
        "generating ID_PROT request 0 [ ID CERT SIG ]",
        sent[3],
    ];
    let again = "sending retransmit 2 of request message ID 0, seq 3";
    assert_told(&v1, again, Code::PeerUnreachable, "but not ID_PROT (1621 bytes");
    assert_eq!(unanswered(&v1, again), Some((1621, 2)));
    // A tunnel that is up, whose rekeying is lost.
    let rekeying = [&UP[..], &["generating CREATE_CHILD_SA request 4 [ SA No KE ]"], &sent[3..4]].concat();
    assert_eq!(unanswered(&rekeying, "giving up after 5 retransmits"), Some((1621, 2)));
}

/// The size and the packets of what is not answered.
fn unanswered(before: &[&str], line: &str) -> Option<(u32, u32)> {
    let mut trace = IkeSaTrace::default();
    for line in before {
        trace.hear(line);
    }
    match trace.hear(line) {
        Some(TraceEvent::FailureCause(cause)) => cause.unanswered.map(|sent| (sent.bytes, sent.packets)),
        _ => None,
    }
}

#[test]
fn this_gateway() {
    let lacks = "algorithm CAMELLIA_CBC not supported by kernel!";
    assert_told(&PROVEN, lacks, Code::AlgorithmUnsupported, "CAMELLIA_CBC");
    assert_told(&OURS, "configured DH group ECP_521 not supported", Code::AlgorithmUnsupported, "ECP_521");
    let kernel = "unable to install inbound and outbound IPsec SA (SAD) in kernel";
    assert_told(&PROVEN, kernel, Code::AlgorithmUnsupported, "kernel refuses the SA");
    assert_told(&PROVEN, "unable to install IPsec policies (SPD) in kernel", Code::Unknown, "on this gateway");
    assert_told(&OURS, "error writing to socket: Network is unreachable", Code::Unknown, "Network is unreachable");
    assert_told(
        &PROVEN,
        "received INTERNAL_ADDRESS_FAILURE notify error",
        Code::RemoteAccess,
        "INTERNAL_ADDRESS_FAILURE",
    );
}

#[test]
fn whose_it_is() {
    let refused = "received TS_UNACCEPTABLE notify, no CHILD_SA built";
    assert_eq!(told(&PROVEN, refused).and_then(|(_, child, _)| child).as_deref(), Some("c-0"));
    let (_, child, _) = told(&PROVEN, "received AUTHENTICATION_FAILED notify error").expect("a cause");
    assert_eq!(child, None, "no child can come up without it");
    let asked = [&PROVEN[..], &["parsed CREATE_CHILD_SA request 5 [ SA No TSi TSr ]"]].concat();
    let wants = "traffic selectors 10.1.0.0/16 === 10.9.0.0/16 unacceptable";
    assert_eq!(
        told(&asked, wants).and_then(|(_, child, _)| child),
        None,
        "the peer does not say which child it asks for"
    );
    assert_eq!(told(&[], "sending packet: from 192.0.2.1[500] to 192.0.2.2[500] (100 bytes)"), None);
    let mut trace = IkeSaTrace::default();
    assert_eq!(trace.hear(UP[1]), Some(TraceEvent::Established));
}
