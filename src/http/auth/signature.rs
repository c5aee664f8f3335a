//! Requests that are signed with an access key (contract 1.10).

use super::{
    accounts::Accounts,
    caller::{Caller, Who},
};
use crate::http::{error::Failure, zone};
use axum::http::{HeaderMap, Method, StatusCode, header::DATE};
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use jiff::{Timestamp, civil, tz::TimeZone};
use sha1::Sha1;

/// How far a client's clock may be off, in seconds.
const SKEW: i64 = 15 * 60;

/// Checks `Authorization: ZStack id:signature`, of which `value` is what stands behind the scheme.
///
/// # Errors
/// The contract's texts, 400 or 403.
pub fn check(
    value: &str,
    headers: &HeaderMap,
    method: &Method,
    path: &str,
    accounts: &Accounts,
    now: Timestamp,
) -> Result<Caller, Failure> {
    let forbidden = |text: String| Err(Failure::Text(StatusCode::FORBIDDEN, text));
    let date = headers.get(DATE).and_then(|date| date.to_str().ok());
    let date = date.ok_or_else(|| Failure::bad_request("'Date' must be incuded in request header"))?;
    let time = parse_date(date)
        .ok_or_else(|| Failure::bad_request("'Date' format error, correct format is 'EEE, dd MMM yyyy HH:mm:ss z'"))?;
    if !is_near(time, now, &zone::local()) {
        return forbidden("requestTimeTooSkewed".into());
    }
    let (id, signature) = value
        .trim()
        .split_once(':')
        .ok_or_else(|| Failure::bad_request("accessKey format is 'ZStack AccessKeyId:Signature'"))?;
    let Some((key, account)) = accounts.key(id) else {
        let shown: String = id.chars().take(64).collect();
        return forbidden(format!("access key id: {shown} does not existed or disabled"));
    };
    let text = format!("{method}\n{date}\n{path}");
    let given = BASE64.decode(signature.trim().as_bytes()).unwrap_or_default();
    let signed =
        Hmac::<Sha1>::new_from_slice(key.secret.as_bytes()).map(|mac| mac.chain_update(text).verify_slice(&given));
    match signed {
        // Compared in constant time.
        Ok(Ok(())) => Ok(Caller { who: Who::AccessKey(id.into()), role: account.role }),
        _ => forbidden("wrong accessKey signature".into()),
    }
}

/// The wall clock in `EEE, dd MMM yyyy HH:mm:ss z`; the zone is a name that says little (`CST`).
fn parse_date(text: &str) -> Option<civil::DateTime> {
    let (clock, zone) = text.trim().rsplit_once(' ')?;
    let named = !zone.is_empty() && zone.bytes().all(|b| b.is_ascii_graphic());
    civil::DateTime::strptime("%a, %d %b %Y %H:%M:%S", clock).ok().filter(|_| named)
}

/// Whether the clock is ours, in our own zone (as the real server compares it) or in UTC.
fn is_near(clock: civil::DateTime, now: Timestamp, local: &TimeZone) -> bool {
    [local, &TimeZone::UTC].into_iter().any(|zone| {
        let ours = now.to_zoned(zone.clone()).datetime();
        ours.duration_since(clock).as_secs().abs() <= SKEW
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_wall_clocks_with_any_zone() {
        for text in
            ["Tue, 14 Nov 2017 22:20:57 UTC", "Tue, 14 Nov 2017 22:20:57 Etc/UTC", "Tue, 14 Nov 2017 22:20:57 CST"]
        {
            assert_eq!(parse_date(text), Some(civil::datetime(2017, 11, 14, 22, 20, 57, 0)), "{text}");
        }
        for text in [
            "",
            "Tue, 14 Nov 2017 22:20:57",
            "2017-11-14 22:20:57 UTC",
            "14 Nov 2017 22:20:57 UTC",
            "Tue, 99 Nov 2017 22:20:57 UTC",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn a_quarter_of_an_hour_is_near() {
        let now: Timestamp = "2017-11-14T22:20:57Z".parse().expect("a time");
        let east = TimeZone::fixed(jiff::tz::offset(8));
        let at = |hour, minute| civil::datetime(2017, 11, 14, hour, minute, 57, 0);
        assert!(is_near(at(22, 5), now, &TimeZone::UTC) && is_near(at(22, 35), now, &TimeZone::UTC));
        assert!(!is_near(at(22, 4), now, &TimeZone::UTC) && !is_near(at(22, 36), now, &TimeZone::UTC));
        assert!(is_near(civil::datetime(2017, 11, 15, 6, 20, 57, 0), now, &east), "the local wall clock");
        assert!(is_near(at(22, 20), now, &east), "and UTC");
    }
}
