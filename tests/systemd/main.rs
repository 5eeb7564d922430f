//! Tests under real systemds. For each, what was built is installed into a lab of
//! its own, with the systemd of Debian 12 or Debian 13 as PID 1: see the script
//! `lab`.
//!
//! Needs root and mmdebstrap, and makes a release build of its own: see the script
//! `build`; for the tests of an upgrade, one of a higher version: see `build-next`.
//! `tests/run` provides all.
#![allow(clippy::unwrap_used, reason = "a failed assumption ends the test")]

mod accounts;
mod control;
mod control_groups;
mod failures;
mod generator;
mod journal;
mod lab;
mod lifetime;
mod memory;
mod metrics;
mod output;
mod packages;
mod reloads;
mod rpm;
mod sandbox;
mod site;
mod store;
mod units;
mod upgrades;
mod user;

#[expect(dead_code, reason = "shared with the stories")]
#[path = "../harness/client.rs"]
mod client;
#[path = "../harness/exchange.rs"]
mod exchange;
#[expect(dead_code, reason = "shared with the stories")]
#[path = "../harness/traffic.rs"]
mod traffic;
#[path = "../harness/wait.rs"]
mod wait;

/// Makes each function a test under each systemd, in the module that is named, on
/// what the function of `Lab` boots.
macro_rules! stories {
    (
        $debian_12:ident $debian_13:ident $boot:ident;
        $($module:ident: $($story:ident)+;)+
    ) => {
        mod $debian_12 {
            $($(#[test]
            fn $story() {
                crate::$module::$story(&crate::lab::Lab::$boot("bookworm"));
            })+)+
        }

        mod $debian_13 {
            $($(#[test]
            fn $story() {
                crate::$module::$story(&crate::lab::Lab::$boot("trixie"));
            })+)+
        }
    };
}

stories! {
    debian_12_bare debian_13_bare boot_bare;
    packages:
        an_upgrade_under_load_loses_no_request_and_a_purge_leaves_nothing
        a_purge_of_a_package_that_was_never_used_leaves_nothing
        a_purge_goes_into_no_folder_that_the_administrator_has_linked
        a_site_that_does_not_start_again_does_not_fail_the_upgrade;
    rpm:
        an_upgrade_of_the_rpm_loses_no_request_and_an_erasure_leaves_nothing
        an_rpm_with_a_site_that_does_not_start_again_is_installed;
}

stories! {
    debian_12 debian_13 boot;
    lifetime:
        the_first_request_starts_the_service
        the_service_is_ready_only_when_the_application_is_loaded
        a_running_request_is_answered_before_the_service_stops
        a_drain_may_take_longer_than_the_unit_allows_for_a_stop
        a_daemon_reload_cuts_off_neither_a_start_nor_a_reload_nor_a_stop
        two_sites_live_side_by_side
        a_port_is_a_drop_in
        an_idle_site_exits_and_the_next_request_starts_it_again
        requests_around_the_moment_of_an_idle_exit_are_answered
        flask_runs_from_a_virtual_environment
        a_script_that_starts_the_server_itself_is_a_site
        a_hello_takes_little_memory;
    accounts:
        a_hostile_site_cannot_reach_its_neighbour
        every_account_may_connect_to_a_site_unless_told_otherwise
        a_name_that_makes_no_account_is_refused_with_the_reason
        the_longest_name_has_an_account
        an_account_that_exists_runs_a_site_of_any_name
        data_stays_readable_when_the_account_changes;
    control:
        the_account_of_the_metrics_gets_figures_and_nobody_else_anything
        a_path_under_way_is_for_root_and_the_site_only;
    metrics:
        all_sites_are_scraped_and_the_service_comes_and_goes
        the_service_sees_nothing_but_what_it_needs;
    sandbox:
        a_site_has_a_home_and_caches
        a_site_has_the_directories_that_systemd_names
        user_namespaces_are_a_drop_in
        a_file_of_variables_reaches_settings_and_the_application
        a_drop_in_moves_the_bytecode
        a_file_is_given_to_the_accounts_own_groups_only
        an_account_that_exists_makes_setgid_directories
        secrets_of_root_reach_the_application
        a_configuration_for_one_group_is_read_at_every_reload;
    generator:
        one_file_says_everything_about_a_site
        values_reach_systemd_as_they_are_written
        a_broken_file_leaves_the_others_alone_and_is_reported
        a_file_that_others_can_write_changes_no_unit
        a_mistake_in_the_file_starts_the_site_in_no_other_account
        units_that_are_older_than_the_file_are_reported
        a_site_of_any_name_has_an_account;
    reloads:
        ten_reloads_under_load_lose_no_request
        a_reload_onto_broken_code_fails_and_the_old_code_answers
        a_reload_onto_a_broken_configuration_fails_and_says_where
        a_reload_that_fails_with_a_very_long_message_ends
        silent_clients_of_the_control_socket_do_not_keep_a_reload_out
        a_hangup_of_all_processes_is_a_reload;
    upgrades:
        another_version_takes_over_under_the_same_pid_and_no_request_is_lost
        usr2_five_times_under_load_loses_no_request
        a_program_that_cannot_take_over_leaves_the_service_as_it_is;
    failures:
        a_killed_worker_is_replaced_and_costs_only_its_own_requests
        a_killed_fork_server_is_replaced_and_costs_no_request
        a_killed_master_comes_back_and_the_socket_never_refuses
        a_frozen_master_is_restarted_by_the_watchdog
        a_stopped_pool_logs_its_stacks_and_is_restarted_by_the_watchdog
        a_busy_pool_is_left_alone_by_the_watchdog
        a_frozen_master_is_stopped
        a_master_that_hangs_at_the_start_is_restarted
        a_master_that_hangs_at_the_start_during_a_daemon_reload_is_restarted
        a_site_that_cannot_start_keeps_its_socket
        a_site_that_cannot_start_is_restarted_after_pauses_that_grow
        a_stopped_journald_delays_no_request;
    control_groups:
        each_worker_has_a_control_group_of_its_own
        control_groups_are_made_in_any_account
        a_worker_that_cannot_move_into_its_control_group_says_so
        without_control_groups_a_site_serves_all_the_same;
    memory:
        a_worker_that_grows_too_large_is_replaced
        memory_pressure_is_watched_where_systemd_announces_it;
    journal:
        what_the_application_writes_is_in_the_journal
        a_configuration_may_print_much_while_it_runs
        records_for_syslog_reach_the_journal_by_its_own_socket
        everything_about_a_worker_is_found_by_its_pid
        the_records_about_a_request_have_its_id
        what_is_written_for_a_request_has_its_id
        a_request_is_an_entry_with_fields
        records_of_logging_keep_what_they_know_in_the_journal
        a_namespace_of_the_journal_has_all_records
        the_events_of_the_master_have_fields
        the_status_says_why_a_start_failed
        the_status_of_a_failed_start_has_the_beginning_of_a_very_long_message
        the_status_is_one_line
        every_mistake_of_the_configuration_is_an_entry_of_its_own
        a_start_that_fails_for_another_reason_is_not_an_error_of_the_configuration;
    output:
        no_line_of_a_burst_is_lost
        what_the_application_writes_keeps_its_form
        what_a_child_writes_after_its_worker_has_left_is_kept
        a_journald_that_is_restarted_misses_nothing
        a_stopped_journald_blocks_no_request
        a_stopped_journald_blocks_no_application_that_logs
        a_journal_that_is_gone_stops_no_request
        the_service_stops_although_journald_does_not_read
        the_last_words_of_a_start_that_fails_are_those_of_the_unit;
    store:
        listeners_of_its_own_survive_restarts_under_load
        listeners_of_its_own_survive_a_crash
        listeners_of_its_own_are_closed_when_they_are_not_wanted;
    units:
        the_units_pass_systemd_analyze_verify
        the_exposure_of_the_service_is_at_most_1_5
        the_catalog_is_accepted;
    user:
        a_site_of_a_user_is_run_by_the_systemd_of_that_user
        the_units_of_users_pass_systemd_analyze_verify;
}
