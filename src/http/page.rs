//! `GET /`: one page for a browser that shows what runs, over TCP only. It is one answer without another request: style
//! and script are in it, and the policy names them by their digests, so that nothing else runs. It has no data; its
//! script asks the native API, with the credentials that its reader types in.

use super::{auth::Origin, paths::no_such_path, state::Shared};
use axum::{
    Extension,
    extract::State,
    http::{
        HeaderName, Uri,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
            X_FRAME_OPTIONS,
        },
    },
    response::{IntoResponse, Response},
};
use data_encoding::BASE64;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// The files as they are written.
const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The page, and its policy.
static PAGE: LazyLock<(String, String)> = LazyLock::new(|| {
    let text = HTML.replacen("/*STYLE*/", STYLE, 1).replacen("/*SCRIPT*/", SCRIPT, 1);
    let digest = |text: &str| BASE64.encode(&Sha256::digest(text.as_bytes()));
    // The only picture is the icon, which is in the page too.
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digest(STYLE),
        digest(SCRIPT)
    );
    (text, policy)
});

/// The handler. The Unix socket has no page: no browser reads there.
pub async fn page(State(api): Shared, Extension(origin): Extension<Origin>, uri: Uri) -> Response {
    match origin {
        Origin::Network(..) if api.page => whole(),
        _ => no_such_path(uri).await.into_response(),
    }
}

fn whole() -> Response {
    let (text, policy) = &*PAGE;
    let headers: [(HeaderName, &str); 6] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, policy),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, text.as_str()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Together, uncompressed. Written by hand and read by people: it must not grow into an application.
    const MOST: usize = 16 * 1024;

    #[test]
    fn the_files_are_small_and_ask_nobody_else() {
        let size = HTML.len() + STYLE.len() + SCRIPT.len();
        assert!(size <= MOST, "{size} bytes are more than {MOST}");
        for text in [HTML, STYLE, SCRIPT] {
            assert!(!text.contains("innerHTML") && !text.contains("eval("), "names are text, whatever they contain");
            for word in ["https:", "@import", "url(", "document.cookie", "localStorage"] {
                assert!(!text.contains(word), "{word}");
            }
        }
        assert!(PAGE.0.contains(STYLE) && PAGE.0.contains(SCRIPT), "all of it is in the page");
    }
}
