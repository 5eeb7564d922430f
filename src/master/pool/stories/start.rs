//! The first start: all or nothing.

use super::fixture::*;

#[test]
fn the_fork_server_comes_first_and_then_all_workers() {
    let mut pool = Pool::starting(WANTED);
    assert_eq!(pool.actions, [Action::StartForkServer(generation(1))]);

    pool.on(Event::ForkServerReady(generation(1)));

    assert_eq!(pool.actions, [spawn(1, 1), spawn(1, 2)]);
}

#[test]
fn a_worker_is_lent_the_listeners_when_it_is_ready() {
    let mut pool = Pool::starting(WANTED);
    pool.on(Event::ForkServerReady(generation(1)));

    assert_eq!(pool.on(Event::WorkerStarted(worker(1))), []);
    pool.on(Event::WorkerReady(worker(1)));

    assert_eq!(pool.commands(), [Action::Lend(worker(1))]);
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
    pool.on(Event::WorkerStarted(worker(2)));

    pool.on(Event::WorkerRefused(worker(1), failure(4)));
    assert_eq!(
        pool.actions,
        [
            Action::Report(Report::StartFailed(Reason::Load(failure(4)))),
            Action::Announce(Announcement::Stopping),
            Action::Quit(worker(2)),
        ]
    );
    assert_eq!(pool.on(Event::WorkerRefused(worker(2), failure(4))), []);
    pool.dies(1);
    pool.dies(2);
    assert_eq!(pool.commands(), [Action::StopForkServer(generation(1))]);
    pool.on(server_gone(1));

    assert_eq!(pool.actions, [Action::Exit(4)]);
    assert_eq!(pool.arbiter.deadline(), None);
}

#[test]
fn a_preloaded_application_that_cannot_be_loaded_does_too() {
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
fn an_application_that_loads_too_long_says_where_it_is_and_ends_the_service() {
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
fn a_fork_server_that_loads_too_long_says_where_it_is_too() {
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
    pool.on(Event::WorkerStarted(worker(2)));

    assert_eq!(pool.arbiter.deadline(), None);
}
