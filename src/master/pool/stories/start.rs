//! The first start: the fork server, one worker, then the others; and what a failure
//! of each of them means.

use super::fixture::*;

/// Two processors for eight workers.
const EIGHT: Wanted = Wanted {
    workers: 8,
    processors: 2,
    timeout: None,
    ..WANTED
};

/// A pool whose first worker serves and whose next two (2 and 3) are ordered.
fn filling() -> Pool {
    let mut pool = Pool::starting(EIGHT);
    pool.on(Event::ForkServerReady(generation(1)));
    pool.serves(1);
    assert_eq!(pool.commands()[1..], [spawn(1, 2), spawn(1, 3)]);
    pool
}

#[test]
fn the_fork_server_comes_first_and_then_one_worker_alone() {
    let mut pool = Pool::starting(WANTED);
    assert_eq!(pool.actions, [Action::StartForkServer(generation(1))]);

    pool.on(Event::ForkServerReady(generation(1)));

    assert_eq!(pool.actions, [spawn(1, 1)]);
}

#[test]
fn the_first_worker_is_lent_the_listeners_as_soon_as_it_is_ready() {
    let mut pool = Pool::starting(WANTED);
    pool.on(Event::ForkServerReady(generation(1)));

    assert_eq!(pool.on(Event::WorkerStarted(worker(1))), []);
    pool.on(Event::WorkerReady(worker(1)));

    assert_eq!(pool.commands(), [Action::Lend(worker(1)), spawn(1, 2)]);
}

#[test]
fn the_others_follow_as_many_at_a_time_as_there_are_processors() {
    let mut pool = filling();

    assert_eq!(pool.on(Event::WorkerStarted(worker(3))), []);
    assert_eq!(pool.on(Event::WorkerStarted(worker(2))), []);
    for id in 3..=7 {
        pool.serves(id);
        assert_eq!(
            pool.commands(),
            [Action::Lend(worker(id)), spawn(1, id + 1)]
        );
    }
    pool.serves(8);
    assert_eq!(pool.commands(), [Action::Lend(worker(8))]);
    pool.serves(2);

    assert_eq!(
        pool.commands(),
        [
            Action::Lend(worker(2)),
            Action::Announce(Announcement::Ready)
        ]
    );
}

#[test]
fn with_preload_the_others_follow_all_at_once() {
    let mut pool = Pool::starting(Wanted {
        preload: true,
        ..EIGHT
    });
    pool.on(Event::ForkServerReady(generation(1)));
    assert_eq!(pool.commands(), [spawn(1, 1)]);

    pool.serves(1);

    let others: Vec<Action> = (2..=8).map(|id| spawn(1, id)).collect();
    assert_eq!(pool.commands()[1..], others);
}

#[test]
fn a_processor_count_of_zero_is_one() {
    let mut pool = Pool::starting(Wanted {
        processors: 0,
        ..EIGHT
    });
    pool.on(Event::ForkServerReady(generation(1)));

    pool.serves(1);

    assert_eq!(pool.commands()[1..], [spawn(1, 2)]);
}

#[test]
fn while_the_others_boot_only_they_are_waited_for() {
    let mut pool = Pool::starting(Wanted {
        boot_timeout: None,
        ..EIGHT
    });
    pool.on(Event::ForkServerReady(generation(1)));
    pool.serves(1);
    pool.on(Event::WorkerStarted(worker(2)));
    pool.on(Event::WorkerStarted(worker(3)));

    assert_eq!(pool.arbiter.deadline(), None);
    assert_eq!(pool.after(1000 * SECOND), []);
}

#[test]
fn a_worker_that_fails_is_followed_by_the_next_after_the_pause() {
    let mut pool = filling();

    pool.refuses(2);
    assert_eq!(pool.commands(), [Action::Announce(Announcement::Ready)]);
    pool.dies(2);
    assert_eq!(pool.commands(), []);
    assert_eq!(pool.until_deadline(), SECOND);

    assert_eq!(pool.commands(), [spawn(1, 4)]);
}

#[test]
fn a_worker_that_gets_ready_ends_the_pause_after_another_failed() {
    let mut pool = filling();
    pool.refuses(2);

    pool.serves(3);

    assert_eq!(
        pool.commands(),
        [Action::Lend(worker(3)), spawn(1, 4), spawn(1, 5)]
    );
}

#[test]
fn the_successor_of_a_worker_that_served_does_not_wait_for_the_others() {
    let mut pool = filling();

    for id in 1..20 {
        let last = if id == 1 { 1 } else { id + 2 };
        pool.crashes(last);
        assert_eq!(pool.commands(), [spawn(1, id + 3)]);
        // The two others are still booting, and nothing is ordered beside them.
        pool.serves(id + 3);
        let ordered = |action: &Action| matches!(action, Action::Spawn { .. });
        assert!(!pool.actions.iter().any(ordered), "{:?}", pool.actions);
    }
}

#[test]
fn an_order_for_the_first_worker_that_did_not_get_through_is_given_again_alone() {
    let mut pool = Pool::starting(WANTED);
    pool.on(Event::ForkServerReady(generation(1)));
    assert_eq!(pool.on(Event::SpawnDeferred(worker(1))), []);

    assert_eq!(pool.until_deadline(), 50 * MS);

    assert_eq!(pool.actions, [spawn(1, 2)]);
}

#[test]
fn a_stop_orders_no_more_workers() {
    let mut pool = filling();
    pool.on(Event::WorkerStarted(worker(2)));
    pool.order(Order::Stop);
    assert_eq!(
        pool.commands()[1..],
        [
            Action::Retire {
                worker: worker(1),
                within: EIGHT.graceful_timeout,
            },
            Action::Quit(worker(2)),
        ]
    );

    // Forked in answer to the order before.
    pool.on(Event::WorkerStarted(worker(3)));
    assert_eq!(pool.actions, [Action::Quit(worker(3))]);
    pool.dies(1);
    pool.dies(2);
    pool.dies(3);

    assert_eq!(pool.commands(), [Action::StopForkServer(generation(1))]);
}

#[test]
fn the_service_is_ready_when_all_wanted_workers_are() {
    let mut pool = Pool::starting(WANTED);
    pool.on(Event::ForkServerReady(generation(1)));
    pool.serves(1);

    pool.serves(2);

    assert_eq!(
        pool.actions,
        [
            Action::Lend(worker(2)),
            Action::Report(Report::WorkerServes(worker(2), generation(1))),
            Action::Report(Report::Serving(generation(1), 2)),
            Action::Announce(Announcement::Ready),
        ]
    );
}

#[test]
fn one_worker_is_enough_when_another_fails() {
    let mut pool = Pool::starting(WANTED);
    pool.on(Event::ForkServerReady(generation(1)));
    pool.serves(1);

    pool.refuses(2);

    assert_eq!(
        pool.reports(),
        [
            Report::WorkerFailed(worker(2), Reason::Load(failure(3))),
            Report::RespawnDelayed(SECOND),
            Report::Serving(generation(1), 1),
        ]
    );
    assert_eq!(pool.commands(), [Action::Announce(Announcement::Ready)]);
}

#[test]
fn a_service_without_a_worker_is_not_ready() {
    let mut pool = Pool::starting(WANTED);
    pool.on(Event::ForkServerReady(generation(1)));
    pool.serves(1);

    assert_eq!(pool.dies(1)[1..], [spawn(1, 3)]);
    pool.serves(3);

    assert!(
        pool.actions
            .contains(&Action::Announce(Announcement::Ready))
    );
}

#[test]
fn an_application_that_cannot_be_loaded_ends_the_service_with_its_status() {
    let mut pool = Pool::starting(WANTED);
    pool.on(Event::ForkServerReady(generation(1)));
    pool.on(Event::WorkerStarted(worker(1)));

    pool.on(Event::WorkerRefused(worker(1), failure(4)));
    assert_eq!(
        pool.actions,
        [
            Action::Report(Report::StartFailed(Reason::Load(failure(4)))),
            Action::Announce(Announcement::Stopping),
        ]
    );
    pool.dies(1);
    assert_eq!(pool.commands(), [Action::StopForkServer(generation(1))]);
    pool.on(server_gone(1));

    assert_eq!(pool.actions, [Action::Exit(4)]);
    assert_eq!(pool.arbiter.deadline(), None);
}

#[test]
fn a_preloaded_application_that_cannot_be_loaded_ends_the_service_with_its_status() {
    let mut pool = Pool::starting(WANTED);

    pool.on(Event::ForkServerRefused(generation(1), failure(4)));
    assert_eq!(
        pool.reports(),
        [Report::StartFailed(Reason::Load(failure(4)))]
    );
    pool.on(server_gone(1));

    assert_eq!(pool.actions, [Action::Exit(4)]);
}

#[test]
fn a_worker_that_dies_before_anything_served_ends_the_service() {
    let mut pool = Pool::starting(ONE);
    pool.on(Event::ForkServerReady(generation(1)));
    pool.on(Event::WorkerStarted(worker(1)));

    pool.dies(1);
    assert_eq!(pool.reports(), [Report::StartFailed(died())]);
    pool.on(server_gone(1));

    assert_eq!(pool.actions, [Action::Exit(3)]);
}

#[test]
fn a_fork_server_that_dies_before_anything_served_ends_the_service() {
    let mut pool = Pool::starting(WANTED);

    pool.on(server_gone(1));

    let reason = Reason::ForkServerDied("killed by signal 9".to_owned());
    assert_eq!(pool.reports(), [Report::StartFailed(reason)]);
    assert_eq!(pool.actions.last(), Some(&Action::Exit(3)));
}

#[test]
fn no_process_for_the_first_worker_is_a_failure_of_the_operating_system() {
    let mut pool = Pool::starting(ONE);
    pool.on(Event::ForkServerReady(generation(1)));

    pool.on(Event::ForkFailed(worker(1), "no memory".to_owned()));
    pool.on(server_gone(1));

    assert_eq!(pool.actions, [Action::Exit(71)]);
}

#[test]
fn an_application_that_loads_too_long_dumps_its_stacks_and_ends_the_service() {
    let mut pool = Pool::starting(ONE);
    pool.on(Event::ForkServerReady(generation(1)));
    pool.on(Event::WorkerStarted(worker(1)));

    assert_eq!(pool.until_deadline(), 60 * SECOND);
    assert_eq!(
        pool.reports(),
        [Report::StartFailed(Reason::Late(60 * SECOND))]
    );
    assert!(pool.actions.contains(&Action::Abort(worker(1))));
    assert_eq!(pool.until_deadline(), 2 * SECOND);

    assert_eq!(pool.commands(), [Action::Kill(worker(1))]);
}

#[test]
fn a_fork_server_that_loads_too_long_dumps_its_stacks_too() {
    let mut pool = Pool::starting(WANTED);

    assert_eq!(pool.until_deadline(), 60 * SECOND);
    assert_eq!(
        pool.commands(),
        [
            Action::AbortForkServer(generation(1)),
            Action::Announce(Announcement::Stopping),
        ]
    );
    assert_eq!(pool.until_deadline(), 2 * SECOND);

    assert_eq!(pool.actions, [Action::KillForkServer(generation(1))]);
}

#[test]
fn without_a_limit_loading_is_waited_for() {
    let mut pool = Pool::starting(Wanted {
        boot_timeout: None,
        ..WANTED
    });

    assert_eq!(pool.arbiter.deadline(), None);
    pool.on(Event::ForkServerReady(generation(1)));
    pool.on(Event::WorkerStarted(worker(1)));

    assert_eq!(pool.arbiter.deadline(), None);
}
