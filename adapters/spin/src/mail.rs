//! `chassis:platform/mail`, which nothing of Spin's could be made into.

use crate::bindings::mail::Error;

/// The answer to every message: to try again would change nothing.
pub fn refusal() -> Error {
    Error::Permanent("Spin sends no mail; run the component that sends it under Chassis".to_owned())
}
