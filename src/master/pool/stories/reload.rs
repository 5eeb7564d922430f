//! A reload: the next generation is tested, then promoted and rolled out.

use super::fixture::*;

const FOUR: Wanted = Wanted {
    workers: 4,
    ..WANTED
};

#[test]
fn a_reload_reads_the_configuration_and_tries_one_worker() {
    let mut pool = Pool::serving(WANTED);

    pool.order(Order::Reload);
    assert_eq!(
        pool.actions,
        [
            accepted(1),
            Action::Announce(Announcement::Reloading),
            Action::ReadConfig,
        ]
    );
    pool.on(Event::ConfigRead(WANTED));
    assert_eq!(
        pool.actions,
        [
            Action::StartForkServer(generation(2)),
            Action::Report(Report::ReloadBegan(generation(2), BY)),
        ]
    );
    pool.on(Event::ForkServerReady(generation(2)));

    assert_eq!(pool.actions, [spawn(2, 3)]);
}

#[test]
fn the_first_ready_worker_promotes_the_generation_and_replaces_one_of_the_old() {
    let pool = Pool::promoted(WANTED);

    assert_eq!(
        pool.commands(),
        [
            Action::AdoptConfig,
            Action::StopForkServer(generation(1)),
            Action::Lend(worker(3)),
            retire(1),
            spawn(2, 4),
        ]
    );
    assert_eq!(pool.arbiter.summary().generation, generation(2));
    assert_eq!(pool.arbiter.summary().phase, Phase::Reloading);
    assert_eq!(pool.arbiter.summary().ready, 2);
}

#[test]
fn a_reload_is_done_when_all_workers_are_new_and_the_old_are_asked_to_leave() {
    let mut pool = Pool::rolling();

    pool.serves(4);

    assert_eq!(
        pool.commands(),
        [
            Action::Lend(worker(4)),
            retire(2),
            finished(1, Ok(2)),
            Action::Announce(Announcement::Ready),
        ]
    );
    assert_eq!(
        pool.reports().last(),
        Some(&Report::ReloadDone(generation(2)))
    );
}

#[test]
fn a_rollout_runs_as_many_extra_workers_as_the_surge_allows() {
    let wanted = Wanted {
        workers: 4,
        surge: 2,
        ..WANTED
    };
    let mut pool = Pool::testing(wanted);

    pool.serves(5);
    assert_eq!(pool.commands()[3..], [retire(1), spawn(2, 6), spawn(2, 7)]);
    pool.serves(7);
    assert_eq!(pool.commands()[1..], [retire(2), spawn(2, 8)]);
    pool.serves(6);
    assert_eq!(pool.commands()[1..], [retire(3)]);
    pool.serves(8);

    assert_eq!(pool.commands()[1..2], [retire(4)]);
}

#[test]
fn a_surge_beyond_the_processors_does_not_boot_more_workers_at_a_time() {
    let wanted = Wanted {
        workers: 4,
        surge: 3,
        processors: 2,
        ..WANTED
    };
    let mut pool = Pool::serving(wanted);
    pool.order(Order::Reload);
    pool.on(Event::ConfigRead(wanted));
    pool.on(Event::ForkServerReady(generation(2)));

    pool.serves(5);
    assert_eq!(pool.commands()[3..], [retire(1), spawn(2, 6), spawn(2, 7)]);
    pool.serves(6);

    assert_eq!(pool.commands()[1..], [retire(2), spawn(2, 8)]);
}

#[test]
fn a_lower_count_takes_effect_at_once_and_a_higher_one_before_any_retires() {
    let mut pool = Pool::serving(Wanted {
        workers: 3,
        ..WANTED
    });
    pool.order(Order::Reload);
    pool.on(Event::ConfigRead(ONE));
    pool.on(Event::ForkServerReady(generation(2)));
    pool.serves(4);
    assert_eq!(pool.commands()[3..6], [retire(1), retire(2), retire(3)]);

    pool.order(Order::Reload);
    pool.on(Event::ConfigRead(WANTED));
    pool.on(Event::ForkServerReady(generation(3)));
    pool.serves(5);

    assert_eq!(pool.commands()[3..], [spawn(3, 6)]);
}

#[test]
fn a_refused_configuration_changes_nothing() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::Reload);

    pool.on(Event::ConfigRefused("workers: not 0".to_owned()));

    let reason = Reason::Config("workers: not 0".to_owned());
    assert_eq!(
        pool.actions,
        [
            Action::Report(Report::ReloadFailed(reason.clone())),
            finished(1, Err(reason)),
            Action::Announce(Announcement::Ready),
        ]
    );
}

#[test]
fn broken_code_costs_the_old_generation_nothing() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::Reload);
    pool.on(Event::ConfigRead(Wanted {
        workers: 9,
        ..WANTED
    }));
    pool.on(Event::ForkServerReady(generation(2)));

    pool.refuses(3);

    assert_eq!(
        pool.commands(),
        [
            Action::StopForkServer(generation(2)),
            Action::DropConfig,
            finished(1, Err(Reason::Load(failure(3)))),
            Action::Announce(Announcement::Ready),
        ]
    );
    let summary = pool.arbiter.summary();
    assert_eq!((summary.ready, summary.wanted), (2, 2));
}

#[test]
fn a_first_worker_that_dies_costs_the_old_generation_nothing() {
    let mut pool = Pool::testing(WANTED);

    pool.dies(3);

    assert!(pool.actions.contains(&finished(1, Err(died()))));
    assert_eq!(pool.arbiter.summary().ready, 2);
}

#[test]
fn a_first_worker_that_loads_too_long_dumps_its_stacks_and_fails_the_reload() {
    let mut pool = Pool::testing(WITHOUT_TIMEOUT);
    pool.on(Event::WorkerStarted(worker(3)));

    pool.after(60 * SECOND);

    assert!(pool.actions.contains(&Action::Abort(worker(3))));
    let reason = Reason::Late(60 * SECOND);
    assert!(pool.actions.contains(&finished(1, Err(reason))));
}

#[test]
fn a_fork_server_that_cannot_start_fails_the_reload() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::Reload);
    pool.on(Event::ConfigRead(WANTED));

    pool.on(server_gone(2));

    let reason = Reason::ForkServerDied("killed by signal 9".to_owned());
    assert!(pool.actions.contains(&finished(1, Err(reason))));
    assert!(pool.actions.contains(&Action::DropConfig));
}

#[test]
fn a_probe_that_is_forked_after_the_failure_is_asked_to_leave() {
    let mut pool = Pool::testing(WANTED);
    pool.on(server_gone(2));

    pool.on(Event::WorkerStarted(worker(3)));
    assert_eq!(pool.actions, [Action::Quit(worker(3))]);

    assert_eq!(pool.on(Event::WorkerReady(worker(3))), []);
}

#[test]
fn orders_given_during_a_reload_share_the_next_one() {
    let mut pool = Pool::serving(ONE);
    pool.order(Order::Reload);

    assert_eq!(pool.order(Order::Reload), [accepted(2)]);
    assert_eq!(pool.order(Order::Reload), [accepted(2)]);
    pool.on(Event::ConfigRefused("no".to_owned()));

    assert_eq!(
        pool.commands(),
        [
            finished(1, Err(Reason::Config("no".to_owned()))),
            Action::Announce(Announcement::Ready),
            Action::Announce(Announcement::Reloading),
            Action::ReadConfig,
        ]
    );
    pool.on(Event::ConfigRefused("no".to_owned()));
    assert!(
        pool.commands()
            .contains(&finished(2, Err(Reason::Config("no".to_owned()))))
    );
    assert_eq!(pool.order(Order::Reload)[0], accepted(3));
}

#[test]
fn a_reload_that_had_to_wait_belongs_to_who_ordered_it() {
    let mut pool = Pool::serving(ONE);
    let by = Requester::Control { pid: 77 };
    pool.order(Order::Reload);
    pool.on(Event::Ordered(Order::Reload, by));
    pool.on(Event::Ordered(
        Order::OneWorkerMore,
        Requester::Signal("SIGTTIN"),
    ));

    pool.on(Event::ConfigRefused("no".to_owned()));
    pool.on(Event::ConfigRead(WANTED));

    assert_eq!(pool.reports(), [Report::ReloadBegan(generation(2), by)]);
}

#[test]
fn a_probe_whose_order_did_not_get_through_is_ordered_again() {
    let mut pool = Pool::testing(WITHOUT_TIMEOUT);

    assert_eq!(pool.on(Event::SpawnDeferred(worker(3))), []);
    pool.until_deadline();

    assert_eq!(pool.actions, [spawn(2, 4)]);
}

#[test]
fn new_workers_that_die_before_their_first_request_end_the_reload_too() {
    let mut pool = Pool::rolling();
    pool.serves(4);
    pool.order(Order::Reload);
    pool.on(Event::ConfigRead(Wanted {
        workers: 3,
        ..WANTED
    }));
    pool.on(Event::ForkServerReady(generation(3)));

    let failed = (5..50).any(|id| {
        pool.serves(id);
        pool.dies(id);
        pool.reload_is_over()
    });

    assert!(failed);
}

/// Of four workers three are old. The new one (5) crashes in a request each half
/// second, and the next is ready by then.
#[test]
fn crashes_in_requests_do_not_fail_a_reload() {
    let mut pool = Pool::promoted(FOUR);
    for id in 5..20 {
        pool.crashes(id);
        assert!(!pool.reload_is_over(), "worker {id}");
        pool.now += 500 * MS;
        pool.serves(id + 1);
    }

    // There never are four new ones at a time, but no old one is left.
    pool.dies(2);
    pool.dies(3);
    assert!(!pool.reload_is_over());
    pool.dies(4);

    assert!(pool.actions.contains(&finished(1, Ok(2))));
}

#[test]
fn a_reload_in_which_no_old_worker_can_be_replaced_for_a_minute_fails() {
    let mut pool = Pool::promoted(FOUR);
    let began = pool.now;
    for id in 5..500 {
        pool.crashes(id);
        if pool.reload_is_over() {
            break;
        }
        pool.now += 500 * MS;
        pool.serves(id + 1);
    }

    assert_eq!(pool.now - began, 60 * SECOND);
    let reason = Reason::GaveUp {
        failures: 121,
        last: Box::new(died()),
    };
    assert!(pool.actions.contains(&finished(1, Err(reason))));
}

#[test]
fn timeouts_do_not_fail_a_reload() {
    let mut pool = Pool::promoted(Wanted {
        timeout: Some(SECOND),
        ..WANTED
    });

    for id in 3..20 {
        for _ in 0..3 {
            pool.after(500 * MS);
        }
        pool.is_silent(id, 1500 * MS);
        assert!(pool.actions.contains(&Action::Abort(worker(id))));
        assert!(!pool.reload_is_over(), "worker {id}");
        pool.dies(id);
        pool.serves(id + 1);
    }
}

#[test]
fn an_order_given_during_the_start_waits_for_its_end() {
    let mut pool = Pool::starting(ONE);

    assert_eq!(pool.order(Order::Reload), [accepted(1)]);
    pool.on(Event::ForkServerReady(generation(1)));
    pool.serves(1);

    assert_eq!(
        pool.commands()[1..],
        [
            Action::Announce(Announcement::Ready),
            Action::Announce(Announcement::Reloading),
            Action::ReadConfig,
        ]
    );
}

#[test]
fn a_new_worker_that_fails_is_tried_again_while_the_old_ones_serve() {
    let mut pool = Pool::rolling();
    pool.after(SECOND);

    pool.refuses(4);
    assert_eq!(
        pool.reports(),
        [
            Report::WorkerFailed(worker(4), Reason::Load(failure(3))),
            Report::RespawnDelayed(SECOND),
        ]
    );
    assert_eq!(pool.commands(), []);
    assert_eq!(pool.until_deadline(), SECOND);
    assert_eq!(pool.commands(), [spawn(2, 5)]);
    pool.serves(5);

    assert!(pool.actions.contains(&finished(1, Ok(2))));
}

#[test]
fn five_failures_end_the_reload_but_workers_are_still_tried() {
    let mut pool = Pool::rolling();
    for id in 4..8 {
        pool.refuses(id);
        assert!(pool.commands().is_empty());
        pool.dies(id);
        pool.after(10 * SECOND);
        assert_eq!(pool.commands(), [spawn(2, id + 1)]);
    }

    pool.refuses(8);
    let reason = Reason::GaveUp {
        failures: 5,
        last: Box::new(Reason::Load(failure(3))),
    };
    assert_eq!(
        pool.commands(),
        [
            finished(1, Err(reason)),
            Action::Announce(Announcement::Ready),
        ]
    );
    assert_eq!(pool.arbiter.summary().ready, 2);
    pool.dies(8);
    pool.after(10 * SECOND);
    assert_eq!(pool.commands(), [spawn(2, 9)]);
    pool.serves(9);

    assert_eq!(pool.commands(), [Action::Lend(worker(9)), retire(2)]);
}

#[test]
fn better_code_can_be_loaded_while_the_rest_is_tried() {
    let mut pool = Pool::rolling();
    for id in 4..9 {
        pool.refuses(id);
        pool.dies(id);
        pool.after(10 * SECOND);
    }

    pool.order(Order::Reload);
    pool.on(Event::ConfigRead(WANTED));
    pool.on(Event::ForkServerReady(generation(3)));
    pool.serves(10);

    assert!(pool.actions.contains(&retire(2)));
    assert!(pool.actions.contains(&spawn(3, 11)));
    pool.serves(11);
    assert!(pool.actions.contains(&retire(3)));
    assert!(pool.actions.contains(&finished(2, Ok(3))));
}

#[test]
fn an_old_worker_that_dies_during_a_rollout_is_replaced_by_a_new_one() {
    let mut pool = Pool::rolling();

    pool.dies(2);
    assert_eq!(pool.commands(), []);
    pool.serves(4);

    assert!(pool.actions.contains(&finished(1, Ok(2))));
}

#[test]
fn an_old_worker_that_cannot_be_forked_does_not_fail_the_reload() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::OneWorkerMore);
    pool.order(Order::Reload);
    pool.on(Event::ConfigRead(WANTED));
    pool.on(Event::ForkServerReady(generation(2)));
    pool.serves(4);

    pool.on(Event::ForkFailed(worker(3), "no memory".to_owned()));

    assert_eq!(pool.actions, []);
}

#[test]
fn what_a_program_makes_of_the_configuration_holds_for_its_generation() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::Reload);
    pool.on(Event::ConfigRead(WANTED));

    // Of another generation than the one that is tested.
    pool.on(Event::ConfigSettled(generation(1), WANTED));
    pool.on(Event::ConfigSettled(generation(2), FOUR));
    pool.on(Event::ForkServerReady(generation(2)));
    pool.serves(3);

    assert_eq!(pool.arbiter.summary().wanted, 4);
}

#[test]
fn a_generation_whose_program_cannot_be_used_fails_and_the_old_one_serves() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::Reload);
    pool.on(Event::ConfigRead(WANTED));

    pool.on(Event::ConfigRejected(generation(2), "workers".to_owned()));

    let reason = Reason::Config("workers".to_owned());
    assert_eq!(
        pool.commands(),
        [
            Action::StopForkServer(generation(2)),
            Action::DropConfig,
            Action::ReloadFinished(ReloadId(1), Err(reason)),
            Action::Announce(Announcement::Ready),
        ]
    );
    assert_eq!(pool.arbiter.summary().generation, generation(1));
}
