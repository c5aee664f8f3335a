//! Tests with charon 5.9.8's log lines about peers that run other programs (libreswan, openiked, racoon) or have other
//! settings.

use super::{
    IkeSaTrace, Subject, TraceEvent,
    tests::{assert_told, told},
};
use crate::ipsec::reason::Code;

/// An IKEv2 SA that this side began, up to its authentication.
const PROVEN: [&str; 3] = [
    "initiating IKE_SA a[1] to 192.0.2.2",
    "establishing CHILD_SA c-0{2} reqid 1",
    "generating IKE_AUTH request 1 [ IDi IDr AUTH SA TSi TSr ]",
];
/// An IKEv1 SA that this side began, up to its proof.
const PROVEN_V1: [&str; 6] = [
    "initiating Main Mode IKE_SA a[1] to 192.0.2.2",
    "generating ID_PROT request 0 [ SA V V V V V ]",
    "parsed ID_PROT response 0 [ SA V V V V ]",
    "generating ID_PROT request 0 [ KE No NAT-D NAT-D ]",
    "parsed ID_PROT response 0 [ KE No NAT-D NAT-D ]",
    "generating ID_PROT request 0 [ ID HASH N(INITIAL_CONTACT) ]",
];
/// One that the peer began, up to its proof.
const PROVES_V1: [&str; 4] = [
    "parsed ID_PROT request 0 [ SA V V V V V ]",
    "192.0.2.2 is initiating a Main Mode IKE_SA",
    "parsed ID_PROT request 0 [ KE No NAT-D NAT-D ]",
    "generating ID_PROT response 0 [ KE No NAT-D NAT-D ]",
];
const UP: &str = "IKE_SA a[1] established between 192.0.2.1[192.0.2.1]...192.0.2.2[192.0.2.2]";
const CARRIES: &str = "CHILD_SA c-0{1} established with SPIs 4c208094_i e7b568b5_o and TS 10.1.0.0/24 === 10.2.0.0/24";
/// A message that our key cannot decrypt.
const UNREADABLE: [&str; 3] =
    ["invalid HASH_V1 payload length, decryption failed?", "could not decrypt payloads", "message parsing failed"];

fn after<'a>(before: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [before, more].concat()
}

#[test]
fn a_lone_notify_in_place_of_the_peers_authentication() {
    for (short, code, words) in [
        ("NO_PROP", Code::NoProposalChild, "none of our proposals for the traffic (NO_PROPOSAL_CHOSEN)"),
        ("TS_UNACCEPT", Code::TsMismatch, "(TS_UNACCEPTABLE)"),
        ("INVAL_SEL", Code::TsMismatch, "(INVALID_SELECTORS)"),
        ("SINGLE_PAIR", Code::TsMismatch, "one pair of networks for each CHILD_SA"),
        ("FAIL_CP_REQ", Code::RemoteAccess, "assign an address"),
        ("INT_ADDR_FAIL", Code::RemoteAccess, "assign an address"),
        ("AUTH_FAILED", Code::PeerRefusedAuth, "the pre-shared keys differ, or"),
        ("NO_ADD_SAS", Code::Unknown, "takes no more CHILD_SAs"),
    ] {
        let answer = format!("parsed IKE_AUTH response 1 [ N({short}) ]");
        assert_told(&after(&PROVEN, &[&answer]), "IDr payload missing", code, words);
    }
    let (_, child, _) =
        told(&after(&PROVEN, &["parsed IKE_AUTH response 1 [ N(NO_PROP) ]"]), "IDr payload missing").expect("a cause");
    assert_eq!(child.as_deref(), Some("c-0"));
    assert_eq!(told(&PROVEN, "IDr payload missing"), None, "no notify, no cause");
    assert_eq!(told(&after(&PROVEN, &["parsed IKE_AUTH response 1 [ N(MOBIKE_SUP) ]"]), "IDr payload missing"), None);
    for (line, code, words) in [
        ("received SINGLE_PAIR_REQUIRED notify, no CHILD_SA built", Code::TsMismatch, "one pair of networks"),
        ("received FAILED_CP_REQUIRED notify, no CHILD_SA built", Code::RemoteAccess, "assign an address"),
        ("received INVALID_SYNTAX notify error", Code::Unknown, "the peer cannot read our message"),
        ("received INVALID_MAJOR_VERSION notify error", Code::IkeVersionMismatch, "does not speak this IKE version"),
    ] {
        assert_told(&PROVEN, line, code, words);
    }
}

#[test]
fn refused_in_main_mode() {
    for (line, code, words) in [
        ("received INVALID_ID_INFORMATION error notify", Code::IdMismatch, "the identity that we send"),
        ("received INVALID_HASH_INFORMATION error notify", Code::PeerRefusedAuth, "the pre-shared keys"),
        ("received INVALID_KE_PAYLOAD error notify", Code::PeerRefusedAuth, "no pre-shared key for this pair"),
        ("received INVALID_CERT_AUTHORITY error notify", Code::CertInvalid, "our certificate"),
        ("received ATTRIBUTES_NOT_SUPPORTED error notify", Code::NoProposalIke, "proposals for IKE"),
        ("received AUTHENTICATION_FAILED error notify", Code::PeerRefusedAuth, "aggressive mode or XAUTH"),
    ] {
        assert_told(&PROVEN_V1, line, code, words);
    }
    // The encryption key comes from the pre-shared key.
    let sealed = "parsed INFORMATIONAL_V1 request 1974326024 [ HASH N(AUTH_FAILED) ]";
    let line = "received AUTHENTICATION_FAILED error notify";
    let words = "the peer can read our proof and refuses it: it expects another identity of ours";
    assert_told(&after(&PROVEN_V1, &[sealed]), line, Code::PeerRefusedAuth, words);
}

#[test]
fn silence_at_main_modes_third_exchange_is_the_key_or_the_identity() {
    let words =
        "the pre-shared keys differ, or the peer expects another identity of ours: it answered two of main mode's";
    let again = "sending retransmit 2 of request message ID 0, seq 3";
    assert_told(&PROVEN_V1, again, Code::PeerRefusedAuth, words);
    assert_told(&PROVEN_V1, "giving up after 3 retransmits", Code::PeerRefusedAuth, words);
    assert_eq!(told(&PROVEN_V1, "sending retransmit 1 of request message ID 0, seq 3"), None, "it may be slow");
    assert_told(
        &PROVEN_V1[..4],
        again,
        Code::PeerUnreachable,
        "answered main mode's first message, but not the second",
    );
    assert_told(&PROVEN_V1[..2], again, Code::PeerUnreachable, "it has not answered at all");
}

#[test]
fn silence_in_quick_mode_is_the_networks_or_the_proposal() {
    let asked = after(
        &PROVEN_V1,
        &["parsed ID_PROT response 0 [ ID HASH ]", UP, "generating QUICK_MODE request 2217322467 [ HASH SA No ID ID ]"],
    );
    let words = "quick mode, the request for the CHILD_SA: its networks or its proposal";
    assert_told(&asked, "sending retransmit 2 of request message ID 2217322467, seq 4", Code::TsMismatch, words);
    assert_told(&asked, "giving up after 3 retransmits", Code::TsMismatch, words);
    assert_eq!(told(&asked, "sending retransmit 1 of request message ID 2217322467, seq 4"), None);
    // The tunnel carried traffic before, so the peer is gone.
    let carried = after(&asked, &["parsed QUICK_MODE response 2217322467 [ HASH SA No ID ID ]", CARRIES]);
    let rekeyed = after(&carried, &["generating QUICK_MODE request 5 [ HASH SA No ID ID ]"]);
    assert_told(&rekeyed, "giving up after 3 retransmits", Code::DpdTimeout, "fell silent");
}

/// charon logs that it begins again under the number of the IKE_SA that has ended.
#[test]
fn silence_of_a_peer_that_charon_calls_again() {
    let again = "sending retransmit 2 of request message ID 0, seq 3";
    let words = "it answered two of main mode's three exchanges";
    assert_told(&PROVEN_V1[2..], again, Code::PeerRefusedAuth, words);
    let failed = ["could not decrypt payloads", "INFORMATIONAL_V1 request with message ID 1 processing failed"];
    let words = "our key cannot decrypt its answer";
    assert_told(&after(&PROVEN_V1[2..], &failed), again, Code::PeerRefusedAuth, words);
}

/// A peer that began, and expects another identity of ours: charon takes the IKE_SA to be established.
#[test]
fn a_peer_that_begins_and_refuses_our_identity() {
    let proved =
        after(&PROVES_V1, &["parsed ID_PROT request 0 [ ID HASH ]", UP, "generating ID_PROT response 0 [ ID HASH ]"]);
    let failed = ["could not decrypt payloads", "INFORMATIONAL_V1 request with message ID 1 processing failed"];
    let refused = after(&proved, &failed);
    let (words, repeated) =
        ("it expects another identity of ours", "received retransmit of request with ID 0, retransmitting response");
    assert_told(&refused, repeated, Code::PeerRefusedAuth, words);
    let asked = after(&refused, &["generating QUICK_MODE request 5 [ HASH SA No ID ID ]"]);
    assert_told(&asked, "sending retransmit 2 of request message ID 5, seq 1", Code::PeerRefusedAuth, words);
    assert_eq!(told(&proved, repeated), None, "our answer was lost");
    // libreswan 5 has it so that we can read it.
    let readable = "received INVALID_ID_INFORMATION error notify";
    assert_told(&proved, readable, Code::IdMismatch, "the identity that we send");
    let asked = after(&proved, &["parsed QUICK_MODE request 5 [ HASH SA No ID ID ]"]);
    assert_told(&asked, readable, Code::TsMismatch, "networks");
}

#[test]
fn an_early_greeting_that_cannot_be_read_is_no_refusal() {
    let failed = "INFORMATIONAL_V1 request with message ID 198747856 processing failed";
    let greeted = after(&PROVEN_V1, &after(&UNREADABLE, &["ignore malformed INFORMATIONAL request", failed]));
    let up = after(&greeted, &["parsed ID_PROT response 0 [ ID HASH ]"]);
    assert_eq!(told(&up, UP), None, "it comes up");
    // A peer with another key sends this answer to each retransmitted proof.
    let words = "our key cannot decrypt its answer";
    let again = "sending retransmit 1 of request message ID 0, seq 3";
    assert_told(&greeted, again, Code::PeerRefusedAuth, words);
    assert_told(
        &greeted,
        again,
        Code::PeerRefusedAuth,
        "the pre-shared keys differ, or the peer expects another identity",
    );
    // The peer's next message must be its proof.
    let answers = "generating INFORMATIONAL_V1 request 2095197273 [ HASH N(PLD_MAL) ]";
    let unread = [&PROVES_V1[..], &UNREADABLE, &[answers]].concat();
    let failed = "ID_PROT request with message ID 0 processing failed";
    assert_told(&unread, failed, Code::AuthFailed, "the pre-shared keys differ (charon: could not decrypt payloads)");
    assert_eq!(told(&PROVES_V1, failed), None, "it failed for another cause");
}

#[test]
fn in_ikev1_charon_prints_the_initiators_side_first() {
    let quick = after(&PROVES_V1, &[UP, "parsed QUICK_MODE request 3204367943 [ HASH SA No ID ID ]"]);
    let line = "no matching CHILD_SA config found for 10.99.0.0/24 === 10.1.0.0/24";
    assert_told(&quick, line, Code::TsMismatch, "asks for 10.1.0.0/24 === 10.99.0.0/24 (our side === its side)");
}

#[test]
fn aggressive_mode_is_named() {
    let calls =
        ["parsed AGGRESSIVE request 0 [ SA KE No ID V V V V V ]", "192.0.2.2 is initiating a Aggressive Mode IKE_SA"];
    let words = "the peer calls in aggressive mode, which is never accepted here: main mode or IKEv2 is wanted";
    let disabled = "Aggressive Mode PSK disabled for security reasons";
    assert_told(&calls, disabled, Code::AggressiveMode, words);
    assert_told(&calls, disabled, Code::AggressiveMode, disabled);
    // It outranks every other fault of this peer.
    let offers = ["received proposals: IKE:3DES_CBC", "configured proposals: IKE:AES_CBC_256"];
    assert_told(&after(&calls, &offers), "no proposal found", Code::AggressiveMode, words);
    let none = "found 1 matching config, but none allows RSA signature authentication using Aggressive Mode";
    assert_told(&calls, none, Code::AggressiveMode, words);
    let version = "no IKE config found for 192.0.2.1...192.0.2.2, sending NO_PROPOSAL_CHOSEN";
    assert_told(&calls, version, Code::IkeVersionMismatch, "IKEv1, in aggressive mode");
}

#[test]
fn other_methods_of_authentication_are_named() {
    let looks = "looking for XAuthInitPSK peer configs matching 192.0.2.1...192.0.2.2[192.0.2.2]";
    for method in ["XAuthInitPSK", "XAuthRespPSK", "XauthRespRSA", "HybridInitRSA"] {
        let none = format!("found 1 matching config, but none allows {method} authentication using Main Mode");
        assert_told(&after(&PROVES_V1, &[looks]), &none, Code::RemoteAccess, "the peer wants XAUTH");
    }
    let asks = "parsed TRANSACTION request 3 [ HASH CPRQ(X_USER X_PWD) ]";
    let (code, _, details) = told(&after(&PROVEN_V1, &[UP]), asks).expect("a cause");
    assert!(code == Code::RemoteAccess && details.contains("XAUTH"), "{details}");
    assert_eq!(told(&after(&PROVEN_V1, &[UP]), "parsed TRANSACTION request 3 [ HASH CPRQ(ADDR) ]"), None);
    let eap = "peer requested EAP, config unacceptable";
    assert_told(&["192.0.2.2 is initiating an IKE_SA"], eap, Code::RemoteAccess, "EAP");
    let address = "configuration payload negotiation failed, no CHILD_SA built";
    assert_told(&["192.0.2.2 is initiating an IKE_SA"], address, Code::RemoteAccess, "an address from this gateway");
    let signature = "found 1 matching config, but none allows ECDSA-256 signature authentication using Main Mode";
    assert_told(&PROVES_V1, signature, Code::AuthFailed, "authenticates with ECDSA-256 signature");
    let constraint = "constraint requires pre-shared key authentication, but public key was used";
    assert_told(&["192.0.2.2 is initiating an IKE_SA"], constraint, Code::AuthFailed, "authenticates with public key");
    // The lines that follow are consequences.
    for (first, code) in [(eap, Code::RemoteAccess), (constraint, Code::AuthFailed)] {
        let mut trace = IkeSaTrace::default();
        trace.hear(first);
        match trace.hear("no alternative config found") {
            Some(TraceEvent::FailureCause(cause)) => {
                assert!(cause.code == code && cause.details.contains(first), "{cause:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_peer_that_closes_for_the_authentication() {
    let up =
        ["192.0.2.2 is initiating an IKE_SA", "parsed IKE_AUTH request 1 [ IDi IDr AUTH SA TSi TSr ]", UP, CARRIES];
    let closed = "received DELETE for IKE_SA a[1]";
    let refused = after(&up, &["parsed INFORMATIONAL request 2 [ N(AUTH_FAILED) ]"]);
    assert_told(
        &refused,
        closed,
        Code::PeerRefusedAuth,
        "the pre-shared keys differ, or the peer expects another identity",
    );
    assert_told(&after(&up, &["parsed INFORMATIONAL request 2 [ D ]"]), closed, Code::PeerDeleted, "closed the IKE SA");
}

#[test]
fn certificates_keep_their_causes() {
    let sent = ["received end entity cert \"CN=peer\"", "  using certificate \"CN=peer\""];
    for (line, words) in [
        ("no issuer certificate found for \"CN=peer\"", "issuer is unknown here"),
        ("subject certificate invalid (valid from a to b)", "expired, or not valid yet"),
        ("issuer certificate invalid (valid from a to b)", "CA is expired"),
        ("certificate was revoked on a, reason: key compromise", "revoked"),
        ("path length of 1 violates constraint of 0", "path length"),
        ("certificate 'CN=peer' does not match permitted name constraint '.allowed.example'", "name constraints"),
        ("certificate 'CN=peer' matches excluded name constraint '.bad.example'", "name constraints"),
        ("intermediate CA 'CN=sub' does not inherit permitted name constraint '.allowed.example'", "name constraints"),
        ("rejecting certificate without digitalSignature or nonRepudiation keyUsage flags", "key usage"),
        ("critical 'x' extension not supported", "critical extension"),
        ("policy 1.2.3 missing in issuing certificate 'CN=sub'", "policy"),
        ("constraint check failed: RULE_CRL_VALIDATION is FAILED, but requires at least GOOD", "could not be checked"),
    ] {
        let mut trace = IkeSaTrace::default();
        for line in sent {
            assert_eq!(trace.hear(line), None);
        }
        let mut last = trace.hear(line);
        for follows in [
            "signature validation failed, looking for another key",
            "no trusted RSA public key found for 'peer'",
            "no alternative config found",
        ] {
            last = trace.hear(follows).or(last);
            match &last {
                Some(TraceEvent::FailureCause(cause)) => assert!(
                    cause.code == Code::CertInvalid && cause.details.contains(words) && cause.details.contains(line),
                    "{follows}: {cause:?}"
                ),
                other => panic!("{line}: {other:?}"),
            }
        }
    }
    let untrusted = "no trusted ECDSA public key found for 'b.example'";
    assert_told(&sent[..1], untrusted, Code::CertInvalid, "\"CN=peer\" does not have the identity");
    assert_told(&[], untrusted, Code::CertInvalid, "has sent no certificate");
}

#[test]
fn rekeyings() {
    let up = [&PROVEN[..], &["parsed IKE_AUTH response 1 [ IDr AUTH SA TSi TSr ]", UP, CARRIES]].concat();
    let hear = |lines: &[&str]| {
        let mut trace = IkeSaTrace::default();
        up.iter().chain(lines).map(|line| trace.hear(line)).last().flatten()
    };
    let asks = [
        "establishing CHILD_SA c-0{2} reqid 1",
        "generating CREATE_CHILD_SA request 2 [ N(REKEY_SA) SA No KE TSi TSr ]",
    ];
    let child = Subject::Child(Some("c-0".into()));
    let refused =
        ["parsed CREATE_CHILD_SA response 2 [ N(NO_PROP) ]", "received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built"];
    match hear(&after(&asks, &refused)) {
        Some(TraceEvent::RekeyFailed(subject, cause)) => {
            assert_eq!((subject, cause.code), (child.clone(), Code::NoProposalChild));
        }
        other => panic!("{other:?}"),
    }
    let again = "CHILD_SA rekeying failed, trying again in 11 seconds";
    assert_eq!(hear(&[&asks[..], &refused, &[again]].concat()), None, "its cause was told");
    assert!(matches!(hear(&after(&asks, &[again])), Some(TraceEvent::RekeyFailed(..))));
    let busy = "parsed CREATE_CHILD_SA response 2 [ N(TEMP_FAIL) ]";
    assert_eq!(hear(&after(&asks, &[busy, again])), None, "both ends asked at once");
    let theirs = ["parsed CREATE_CHILD_SA request 0 [ N(REKEY_SA) SA No KE TSi TSr ]", "no acceptable proposal found"];
    assert!(matches!(hear(&theirs), Some(TraceEvent::RekeyFailed(Subject::Child(None), _))), "we refuse the peer's");
    let another = ["generating CREATE_CHILD_SA request 2 [ SA No KE TSi TSr ]", refused[1]];
    assert!(matches!(hear(&another), Some(TraceEvent::FailureCause(_))), "another CHILD_SA is not rekeyed");
    let made = "inbound CHILD_SA c-0{2} established with SPIs 80d4ddf7_i df36ab6b_o and TS 10.1.0.0/24 === 10.2.0.0/24";
    assert_eq!(hear(&after(&asks, &[made])), Some(TraceEvent::Rekeyed(child)));
    let ike = ["generating CREATE_CHILD_SA request 2 [ SA No KE ]", "received NO_PROPOSAL_CHOSEN notify error"];
    assert!(matches!(hear(&ike), Some(TraceEvent::RekeyFailed(Subject::Ike, _))));
    let ike = "IKE_SA a[2] rekeyed between 192.0.2.1[192.0.2.1]...192.0.2.2[192.0.2.2]";
    assert_eq!(hear(&[ike]), Some(TraceEvent::Rekeyed(Subject::Ike)));
}
