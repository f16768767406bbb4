//! Every promise for every backend: the tests are in the modules that this one names.

use crate::bench::{Factory, Sqlite, policy};
use crate::{delivery, letters, waiting};

macro_rules! contract {
    ($($module:ident: $($promise:ident)*;)*) => {
        mod sqlite {
            use super::*;
            $($(
                #[tokio::test]
                async fn $promise() {
                    $module::$promise(Sqlite::open(policy()).await).await;
                }
            )*)*
        }
    };
}

contract! {
    delivery:
        an_event_reaches_every_queue_that_subscribes
        an_event_arrives_as_it_was_published
        an_id_that_is_known_is_ignored
        a_deduplication_key_holds_for_its_window_and_its_source
        a_delayed_event_waits
        the_highest_priority_goes_first_and_the_lowest_does_not_starve
        a_subject_is_delivered_in_order_and_one_at_a_time
        a_subject_waits_for_the_retry_of_its_first
        a_delayed_event_takes_its_place_when_it_is_due
        what_is_acknowledged_is_gone
        a_retry_comes_after_its_pause_until_the_attempts_are_used_up
        the_pause_that_a_handler_asks_for_is_kept
        a_failure_of_the_host_uses_up_no_attempt
        the_age_ends_the_failures_of_the_host
        a_lease_that_is_not_renewed_passes_on_and_is_fenced
        a_renewed_lease_holds
        a_lease_is_completed_once
        a_full_queue_refuses_its_publishers_and_keeps_what_it_has;
    letters:
        a_rejected_event_is_a_dead_letter_at_once
        dead_letters_are_listed_by_queue_and_page
        a_replayed_letter_starts_anew
        a_replayed_letter_takes_the_last_place_of_its_subject
        dead_letters_are_kept_for_their_time
        a_delayed_event_can_be_taken_back
        a_key_is_free_after_its_event_was_taken_back
        a_bad_page_is_refused;
    waiting:
        a_publish_wakes_who_waits
        what_is_due_is_not_waited_for
        a_passed_delay_wakes_who_waits
        a_passed_pause_wakes_who_waits
        a_replay_wakes_who_waits
        an_acknowledgement_wakes_who_waits_for_the_subject
        nothing_wakes_who_waits_for_another_queue
        the_status_counts_every_state
        the_oldest_is_measured_from_when_it_was_due;
}
