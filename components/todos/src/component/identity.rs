//! The typed call `chassis:auth/identity`: who holds a token.

use chassis_kit::{Identity, VerifyError};
use jiff::Timestamp;

use self::bindings::chassis::auth::identity as provider;

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/auth",
        world: "consumer",
        generate_all,
    });
}

/// Ask whose token this is. The provider's clock may be another: what was not looked at before `now` counts as looked at then.
pub(super) async fn verify(token: &str, now: Timestamp) -> Result<Identity, VerifyError> {
    let identity = provider::verify(token.to_owned()).await?;
    let seconds = i64::try_from(identity.expires_at).ok();
    let expires_at = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let milliseconds = i64::try_from(identity.checked_at).ok();
    let checked_at = milliseconds.and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok());
    Ok(Identity {
        user_id: identity.user_id,
        session_id: identity.session_id,
        email: identity.email,
        roles: identity.roles,
        expires_at: expires_at.ok_or_else(|| VerifyError::Fault("it expires beyond the end of time".into()))?,
        checked_at: checked_at.map_or(now, |checked_at| checked_at.min(now)),
    })
}

impl From<provider::Error> for VerifyError {
    fn from(error: provider::Error) -> Self {
        match error {
            provider::Error::Invalid => Self::Invalid,
            provider::Error::Expired => Self::Expired,
            provider::Error::Revoked => Self::Revoked,
            // Whatever keeps the provider from knowing, a later try may succeed.
            provider::Error::Internal => Self::Unavailable("the provider failed".into()),
            provider::Error::Unavailable(failure) => Self::Unavailable(reason(failure).into()),
        }
    }
}

fn reason(failure: provider::CallFailure) -> &'static str {
    match failure {
        provider::CallFailure::Missing => "nothing provides it",
        provider::CallFailure::Trapped => "the provider failed in the middle of the call",
        provider::CallFailure::Deadline => "the time was up",
        provider::CallFailure::TooDeep => "calls are nested too deeply",
        provider::CallFailure::Overloaded => "the provider takes no more calls now",
    }
}
