//! Whether a credential lives as long as a machine needs it, and no longer.

use jiff::{SignedDuration, Timestamp};

use crate::cli::bootstrap::{Credential, Ends};
use crate::cli::flag::FlagError;
use crate::cli::words::duration;

/// What speaks against handing this credential to machines that have this long to join. One that expired is refused.
pub(super) fn check(
    credential: &Credential,
    now: Timestamp,
    window: SignedDuration,
) -> Result<Vec<String>, FlagError> {
    let name = credential.name();
    let window_words = duration(window);
    let warning = match credential.ends() {
        Ends::At(end) if end <= now => {
            let message = format!("{name} expired at {end}; no machine can join with it");
            return Err(FlagError::new("--bootstrap-kubeconfig", message));
        }
        Ends::At(end) => {
            let left = end.duration_since(now);
            if left > window {
                format!(
                    "{name} is valid until {end}, which is {} from now, and a machine has {window_words} to join: whoever \
                     reads this user-data can ask with it all that time",
                    duration(left)
                )
            } else if left < half(window) {
                format!(
                    "{name} is valid until {end}, which is {} from now: no machine that boots later can join",
                    duration(left)
                )
            } else {
                return Ok(Vec::new());
            }
        }
        Ends::Never => format!(
            "{name} never expires, and a machine has {window_words} to join: whoever reads this user-data can ask with it \
             for ever; make a credential with rollcall-approver bootstrap-kubeconfig"
        ),
        Ends::Unknown => match credential {
            Credential::BootstrapToken { id, .. } => format!(
                "{name} does not say until when it is valid; its Secret does: kubectl -n kube-system get secret \
                 bootstrap-token-{id} -o jsonpath='{{.data.expiration}}' | base64 -d"
            ),
            Credential::Certificate { .. } | Credential::Token { .. } => {
                format!(
                    "{name} does not say until when it is valid; a machine has {window_words} to join"
                )
            }
        },
    };
    Ok(vec![warning])
}

/// One that was made a while ago for one join window is as it should be; one that has less than this left is old.
fn half(window: SignedDuration) -> SignedDuration {
    window.checked_div(2).unwrap_or(window)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    const WINDOW: SignedDuration = SignedDuration::from_hours(2);

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    /// What is said of a token that ends this many minutes from now.
    fn said_of(minutes: i64) -> Result<String, String> {
        let end = now()
            .checked_add(SignedDuration::from_mins(minutes))
            .unwrap();
        let end = end.as_second();
        let claims = URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{end}}}"));
        said(&format!("e30.{claims}.c2ln"))
    }

    fn said(token: &str) -> Result<String, String> {
        let credential = Credential::of_token(token.to_owned());
        check(&credential, now(), WINDOW)
            .map(|warnings| warnings.join("\n"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_credential_that_outlives_the_join_window_or_ends_within_it_is_told() {
        for minutes in [60, 119, 120] {
            assert_eq!(said_of(minutes), Ok(String::new()));
        }
        let long = said_of(60 * 24).unwrap();
        assert!(
            long.contains("24h from now, and a machine has 2h to join"),
            "{long}"
        );
        let short = said_of(30).unwrap();
        assert!(
            short.contains("30m from now: no machine that boots later can join"),
            "{short}"
        );
        let never = said(&format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode("{}"))).unwrap();
        assert!(never.contains("never expires"), "{never}");
    }

    #[test]
    fn a_credential_that_expired_is_refused() {
        let refusal = said_of(0).unwrap_err();
        assert!(
            refusal
                .starts_with("--bootstrap-kubeconfig: the token expired at 2026-11-24T12:00:00Z")
        );
    }

    #[test]
    fn what_cannot_be_known_offline_is_said() {
        let token = said("abcdef.0123456789abcdef").unwrap();
        assert!(
            token.contains("kubectl -n kube-system get secret bootstrap-token-abcdef"),
            "{token}"
        );
        assert!(!token.contains("0123456789abcdef"), "{token}");
        let opaque = said("sha256~abc").unwrap();
        assert!(
            opaque.contains("does not say until when") && !opaque.contains("sha256~abc"),
            "{opaque}"
        );
    }
}
