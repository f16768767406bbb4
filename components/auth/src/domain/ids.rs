//! The ids of this component's things.

use chassis_values::typed_id;

typed_id! {
    /// A user.
    pub struct UserId = "usr";
}

typed_id! {
    /// A session: one log-in and the family of its refresh tokens.
    pub struct SessionId = "ses";
}

typed_id! {
    /// An access token, as its claim `jti`.
    pub struct TokenId = "tok";
}

typed_id! {
    /// An entry of the audit.
    pub struct AuditId = "aud";
}
