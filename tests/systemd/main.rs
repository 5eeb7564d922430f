//! What rgunicorn promises under systemd, told to real ones: the built files
//! are installed into a lab that has Debian 12's or Debian 13's systemd as its
//! PID 1 (see the script `lab`), a lab for each story.
//!
//! Needs root and `cargo build --release`; `tests/run` sees to both.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops right there"
)]

mod failures;
mod journal;
mod lab;
mod lifetime;
mod output;
mod reloads;
mod units;

#[expect(dead_code, reason = "shared with the stories")]
#[path = "../harness/client.rs"]
mod client;
#[path = "../harness/traffic.rs"]
mod traffic;
#[path = "../harness/wait.rs"]
mod wait;

/// Makes each story a test under each systemd.
macro_rules! stories {
    ($($room:ident: $($story:ident)+;)+) => {
        mod debian_12 {
            $($(#[test]
            fn $story() {
                crate::$room::$story(&crate::lab::Lab::boot("bookworm"));
            })+)+
        }

        mod debian_13 {
            $($(#[test]
            fn $story() {
                crate::$room::$story(&crate::lab::Lab::boot("trixie"));
            })+)+
        }
    };
}

stories! {
    lifetime:
        the_first_request_starts_the_service
        the_service_is_ready_only_when_the_application_is_loaded
        a_running_request_is_answered_before_the_service_stops
        two_sites_live_side_by_side
        a_port_is_a_drop_in
        a_site_runs_in_an_account_of_its_own
        flask_runs_from_a_virtual_environment
        a_hello_takes_little_memory;
    reloads:
        ten_reloads_under_load_lose_no_request
        a_reload_onto_broken_code_fails_and_the_old_code_answers
        a_reload_onto_a_broken_configuration_fails_and_says_where
        silent_clients_of_the_control_socket_do_not_keep_a_reload_out;
    failures:
        a_killed_worker_is_replaced_and_costs_only_its_own_requests
        a_killed_fork_server_is_replaced_and_costs_no_request
        a_killed_master_comes_back_and_the_socket_never_refuses
        a_frozen_master_is_restarted_by_the_watchdog
        a_site_that_cannot_start_keeps_its_socket
        a_stopped_journald_stops_nobody;
    journal:
        what_the_application_says_is_in_the_journal
        the_master_tells_its_story_with_fields
        the_status_is_one_line_for_an_operator
        every_mistake_of_the_configuration_is_an_entry_of_its_own;
    output:
        no_line_of_a_burst_is_lost
        what_the_application_writes_keeps_its_form
        a_journald_that_is_restarted_misses_nothing
        a_journald_that_does_not_read_stops_no_request
        a_journal_that_is_gone_stops_no_request
        the_service_stops_although_journald_does_not_read;
    units:
        the_units_verify_clean
        the_service_is_hardly_exposed
        the_catalog_is_understood;
}
