//! The SQL capability: what every backend promises, and what the embedded backend adds to it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has failed"
)]

mod components;
mod confinement;
mod contract;
mod durability;
#[path = "../../../../tests/sql_escapes.rs"]
mod escapes;
mod groups;
mod migrations;
mod patterns;
mod priority;
mod room;
mod support;
mod waiting;

use crate::support::Sqlite;

/// One test per promise and backend.
macro_rules! promises {
    ($factory:ident: $($promise:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() {
                contract::$promise(&$factory::default()).await;
            }
        )+
    };
}

mod embedded {
    use super::*;

    promises!(Sqlite:
        a_batch_is_kept_whole_or_not_at_all,
        a_guard_that_is_not_met_keeps_nothing,
        one_of_many_claims_wins,
        write_skew_does_not_happen,
        money_is_neither_made_nor_lost,
        a_query_sees_every_batch_answered_before_it,
        an_accepted_batch_is_kept_although_nobody_waits,
        answers_are_bounded,
        requests_are_bounded,
        values_come_back_as_they_were_stored,
        parameters_are_checked,
        a_text_is_one_statement,
        a_query_does_not_write,
        violations_are_named,
        affected_counts_changed_rows_only,
        an_event_is_published_with_its_data_or_not_at_all,
        the_outbox_rings_and_keeps_order,
        a_full_queue_answers_busy,
        what_is_taken_from_the_outbox_is_bounded_in_bytes,
    );
}
