//! The closed table of problem types. `docs/problems.md` describes each, and the gateway serves the descriptions. Types
//! that the gateway has too (`not-found` and others) have the same status and title there.

use axum::http::StatusCode;

macro_rules! problem_types {
    ($($(#[doc = $meaning:literal])+ $name:ident = $status:ident, $slug:literal, $title:literal;)+) => {
        /// What kind of problem it is. Programs tell problems apart by its URI, `/problems/<slug>`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemType {
            $($(#[doc = $meaning])+ $name,)+
        }

        impl ProblemType {
            /// All of them; where several have one status, the general one first.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The last part of its URI.
            pub const fn slug(self) -> &'static str {
                match self {
                    $(Self::$name => $slug,)+
                }
            }

            /// Its URI, relative to the gateway.
            pub const fn uri(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("/problems/", $slug),)+
                }
            }

            /// Its title, the same for all problems of this type.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)+
                }
            }

            /// What it means, for a problem that has nothing more to say.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($meaning),+).trim_ascii(),)+
                }
            }

            /// Its status.
            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$name => StatusCode::$status,)+
                }
            }
        }
    };
}

problem_types! {
    /// A header, the path or the query string is not as documented.
    InvalidRequest = BAD_REQUEST, "invalid-request", "Invalid request";
    /// The body is not JSON.
    InvalidJson = BAD_REQUEST, "invalid-json", "Malformed JSON";
    /// The cursor was not given out by this listing.
    InvalidCursor = BAD_REQUEST, "invalid-cursor", "Invalid cursor";
    /// Nobody is logged in, or the credentials are not accepted.
    Unauthorized = UNAUTHORIZED, "unauthorized", "Authentication needed";
    /// Who is logged in may not do this.
    Forbidden = FORBIDDEN, "forbidden", "Not permitted";
    /// There is no such thing, or it belongs to somebody else.
    NotFound = NOT_FOUND, "not-found", "Not found";
    /// The path exists, but not with this method.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed";
    /// It contradicts what exists.
    Conflict = CONFLICT, "conflict", "Conflict";
    /// There is as much of it as there may be.
    LimitReached = CONFLICT, "limit-reached", "Limit reached";
    /// A request with the same idempotency key is being worked on.
    IdempotencyInFlight = CONFLICT, "idempotency-in-flight", "The same request is in progress";
    /// It was changed since the entity tag was given out.
    PreconditionFailed = PRECONDITION_FAILED, "precondition-failed", "Changed in the meantime";
    /// The body is larger than is accepted here.
    TooLarge = PAYLOAD_TOO_LARGE, "body-too-large", "Request body too large";
    /// The body is of a type that is not accepted here.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Unsupported media type";
    /// The body is JSON, but does not hold what is asked for.
    Validation = UNPROCESSABLE_ENTITY, "validation", "Invalid body";
    /// The idempotency key was used for another body.
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY, "idempotency-key-reused", "Idempotency key used for another request";
    /// An `If-Match` header is needed.
    PreconditionRequired = PRECONDITION_REQUIRED, "precondition-required", "If-Match needed";
    /// So many were asked for that the next has to wait.
    RateLimited = TOO_MANY_REQUESTS, "rate-limited", "Too many requests";
    /// The service failed.
    Internal = INTERNAL_SERVER_ERROR, "internal", "Internal error";
    /// There is too much to do now.
    Overloaded = SERVICE_UNAVAILABLE, "overloaded", "Overloaded";
    /// A part that this request needs does not answer.
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "Part of the service unavailable";
    /// It is not known whether the request was carried out.
    OutcomeUnknown = SERVICE_UNAVAILABLE, "outcome-unknown", "Outcome unknown";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_type_is_described() {
        let described = include_str!("../../../../docs/problems.md");
        for kind in ProblemType::ALL {
            let heading = format!("\n## {}\n\n**{}: {}.** ", kind.slug(), kind.status().as_u16(), kind.title());
            assert!(described.contains(&heading), "docs/problems.md does not say:{heading}");
        }
    }

    #[test]
    fn slugs_are_unique() {
        let unique: HashSet<_> = ProblemType::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(unique.len(), ProblemType::ALL.len());
    }
}
