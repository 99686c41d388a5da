//! Scripted scenarios: a gateway, a client and a backend, frame by frame, in virtual time. Promises
//! about time are checked to the millisecond here.

mod deadlines;
mod draining;
mod ejection;
#[path = "../it/support/frames.rs"]
#[allow(dead_code)] // not every scenario uses all of them
mod frames;
mod frozen;
mod guards;
mod keepalive;
mod load;
mod netty;
mod pools;
mod retries;
mod slow;
mod slow_start;
mod stage;
mod zones;

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use equipoise::upstream::Resolver;
use tokio::runtime::{Builder, LocalOptions};
use tokio::time::{sleep, timeout};

use self::stage::Stage;
use super::life::words;

/// A scenario.
type Play = fn(Resolver) -> Pin<Box<dyn Future<Output = ()>>>;

/// Limit of any wait, in virtual time.
const PATIENCE: Duration = Duration::from_secs(60);

macro_rules! scenarios {
    ($($file:ident: $($name:ident)*;)*) => {
        /// All scenarios by name.
        const ALL: &[(&str, Play)] = &[
            $($((
                concat!(stringify!($file), "::", stringify!($name)),
                |resolver| Box::pin(async { $file::$name(Stage::new(resolver)).await }),
            ),)*)*
        ];
    };
}

scenarios! {
    deadlines:
        status_and_reset_come_when_the_time_is_up
        a_stream_ends_with_trailers_when_the_time_is_up
        what_finds_no_connection_in_time_is_never_sent;
    draining:
        what_is_removed_is_cut_off_when_its_time_is_up
        idle_connections_of_what_is_removed_are_closed_at_once;
    ejection:
        three_seconds_after_a_hiccup_a_backend_has_its_share_again
        a_hiccup_under_round_robin_ejects_nobody
        who_returns_has_its_share_within_a_second
        an_outlier_by_success_ratio_is_out_within_two_seconds
        a_slow_backend_is_out_most_of_the_time_where_nothing_else_avoids_it
        a_trial_is_one_request_at_a_time;
    frozen:
        a_frozen_backend_gets_nothing_more_and_is_back_with_its_first_word
        one_that_stays_frozen_is_lost_and_comes_back
        over_http1_three_calls_tell
        who_is_slow_is_never_suspected
        where_all_are_frozen_all_serve;
    guards:
        every_cancellation_is_told_at_once
        a_thousand_streams_are_given_up_at_once
        the_end_of_a_connection_tells_of_all_that_was_on_it
        a_flood_takes_nothing_from_others
        only_who_gives_up_much_waits
        what_has_not_left_is_never_sent;
    keepalive:
        a_silent_stream_is_asked_after_as_seldom_as_servers_permit
        backends_that_permit_it_are_asked_at_each_interval
        nobody_is_asked_who_owes_nothing
        calls_end_with_a_connection_that_is_dead
        who_says_too_many_gets_half_as_many;
    pools:
        waiting_for_room_has_an_end
        who_waits_for_a_backend_goes_on_when_it_is_back
        who_asks_has_it_tried_at_once
        what_is_kept_outlasts_the_idle_timeout
        whoever_is_idle_or_old_is_told_to_go_for_that;
    retries:
        a_backend_says_when_to_come_again_and_that_nobody_may
        pauses_are_drawn_from_all_up_to_their_bound
        a_head_is_held_back_for_as_long_as_the_route_says
        where_all_fail_the_load_is_a_fifth_more_and_soon_calm
        p95_needs_a_hundred_calls_of_the_last_thirty_seconds
        who_has_failed_is_asked_again_where_the_others_lack_the_method
        what_fails_after_its_head_does_not_end_the_other
        who_loses_is_told_at_once
        a_backend_that_is_frozen_is_found_by_hedges
        a_black_hole_fails_nothing_where_attempts_have_a_limit;
    slow:
        who_reads_slowly_is_waited_for_to_the_last_byte;
    slow_start:
        a_newcomer_in_five_gets_its_share_evenly_under_each_policy
        with_much_in_flight_it_is_no_faster
        only_keys_of_the_newcomer_move
        who_is_back_from_an_ejection_starts_after_its_trial
        who_was_away_for_long_starts_and_for_a_moment_does_not
        where_all_come_back_all_have_their_share;
    zones:
        in_calm_nothing_leaves_under_any_policy
        what_near_ones_cannot_do_leaves_and_the_rest_stays
        where_all_are_slow_nothing_is_won_by_leaving
        who_is_lost_is_made_up_for_at_once
        the_same_keys_leave_and_come_home;
}

/// Runs the scenarios with `part` in their names; returns the failures.
pub fn play(part: &str, resolver: &Resolver) -> Vec<String> {
    let chosen: Vec<_> = ALL.iter().filter(|(name, _)| name.contains(part)).collect();
    let failed = chosen.iter().filter_map(|(name, scenario)| {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build_local(LocalOptions::default())
            .unwrap();
        let run = || runtime.block_on(scenario(resolver.clone()));
        let panic = std::panic::catch_unwind(AssertUnwindSafe(run)).err()?;
        Some(format!("scenario {name}: {}", words(&*panic)))
    });
    let failed: Vec<_> = failed.collect();
    println!("scenarios: {} of {} failed", failed.len(), chosen.len());
    failed
}

/// Awaits `future`, which must not hang.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = timeout(PATIENCE, future).await;
    result.unwrap_or_else(|_| panic!("still waiting: {what}"))
}

/// Waits until `check` holds.
async fn eventually(what: &str, check: impl Fn() -> bool) {
    let holds = async {
        while !check() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    soon(what, holds).await;
}
