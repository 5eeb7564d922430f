//! Stopping: every process is asked to leave, and killed when it does not.

use super::fixture::*;

#[test]
fn workers_finish_first_then_the_fork_server_leaves_then_the_master() {
    let mut pool = Pool::serving(WANTED);

    pool.order(Order::Stop);
    assert_eq!(
        pool.actions,
        [
            Action::Report(Report::Stopping(BY, Some(WANTED.graceful_timeout))),
            Action::Announce(Announcement::Stopping),
            retire(1),
            retire(2),
        ]
    );
    pool.dies(2);
    assert_eq!(pool.commands(), []);
    pool.dies(1);
    assert_eq!(pool.commands(), [Action::StopForkServer(generation(1))]);
    pool.on(server_gone(1));

    assert_eq!(pool.actions, [Action::Exit(0)]);
    assert_eq!(pool.order(Order::Reload), []);
}

#[test]
fn a_worker_that_does_not_leave_in_time_is_killed_once() {
    let mut pool = Pool::serving(Wanted {
        workers: 1,
        ..WITHOUT_TIMEOUT
    });
    pool.order(Order::Stop);

    assert_eq!(pool.until_deadline(), WANTED.graceful_timeout);
    assert_eq!(
        pool.actions,
        [
            Action::Kill(worker(1)),
            Action::Report(Report::WorkerKilled(worker(1))),
        ]
    );
    assert_eq!(pool.after(SECOND), []);

    assert_eq!(pool.until_deadline(), 9 * SECOND);
    assert_eq!(pool.actions, [Action::Kill(worker(1))]);
}

#[test]
fn a_quick_stop_does_not_wait_for_requests() {
    let mut pool = Pool::serving(ONE);

    pool.order(Order::StopNow);
    assert_eq!(pool.commands()[1..], [Action::Quit(worker(1))]);
    pool.after(2 * SECOND);

    assert_eq!(pool.commands(), [Action::Kill(worker(1))]);
}

#[test]
fn a_quick_stop_hurries_a_graceful_one_and_not_the_other_way() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::Stop);

    pool.order(Order::StopNow);
    assert_eq!(
        pool.actions,
        [Action::Quit(worker(1)), Action::Quit(worker(2))]
    );

    assert_eq!(pool.order(Order::Stop), []);
    assert_eq!(pool.order(Order::StopNow), []);
}

#[test]
fn a_fork_server_that_does_not_exit_is_killed() {
    let mut pool = Pool::stopping_its_fork_server();

    assert_eq!(pool.until_deadline(), 2 * SECOND);

    assert_eq!(pool.actions, [Action::KillForkServer(generation(1))]);
}

#[test]
fn a_killed_worker_that_hangs_in_the_kernel_does_not_hold_up_the_stop() {
    let mut pool = Pool::serving(Wanted {
        workers: 1,
        ..WITHOUT_TIMEOUT
    });
    pool.order(Order::Stop);
    pool.until_deadline();
    assert_eq!(pool.until_deadline(), 10 * SECOND);
    assert_eq!(pool.actions, [Action::Kill(worker(1))]);

    assert_eq!(pool.until_deadline(), 10 * SECOND);

    assert_eq!(
        pool.actions,
        [
            Action::Kill(worker(1)),
            Action::Report(Report::WorkerLeftBehind(worker(1))),
            Action::StopForkServer(generation(1)),
        ]
    );
    assert_eq!(pool.on(server_gone(1)), [Action::Exit(0)]);
}

#[test]
fn a_killed_fork_server_that_hangs_in_the_kernel_does_not_hold_up_the_stop() {
    let mut pool = Pool::stopping_its_fork_server();
    assert_eq!(pool.until_deadline(), 2 * SECOND);
    assert_eq!(pool.until_deadline(), 10 * SECOND);

    assert_eq!(pool.until_deadline(), 10 * SECOND);

    assert_eq!(
        pool.actions,
        [
            Action::KillForkServer(generation(1)),
            Action::Report(Report::ForkServerLeftBehind(generation(1))),
            Action::Exit(0),
        ]
    );
}

#[test]
fn a_killed_worker_is_waited_for_while_the_service_runs() {
    let mut pool = Pool::serving(WITHOUT_TIMEOUT);
    pool.order(Order::OneWorkerFewer);
    assert_eq!(pool.until_deadline(), WANTED.graceful_timeout);
    for _ in 0..10 {
        assert_eq!(pool.until_deadline(), 10 * SECOND);
        assert_eq!(pool.actions, [Action::Kill(worker(1))]);
    }

    pool.order(Order::Stop);

    let left = Report::WorkerLeftBehind(worker(1));
    assert_eq!(pool.reports()[1..], [left]);
}

#[test]
fn reloads_that_are_not_finished_have_failed() {
    let mut pool = Pool::rolling();
    pool.order(Order::Reload);

    pool.order(Order::Stop);

    assert_eq!(
        pool.commands()[..3],
        [
            Action::Announce(Announcement::Stopping),
            finished(1, Err(Reason::Stopping)),
            finished(2, Err(Reason::Stopping)),
        ]
    );
    assert_eq!(
        pool.order(Order::Reload),
        [accepted(3), finished(3, Err(Reason::Stopping))]
    );
}

#[test]
fn a_configuration_that_was_read_too_late_is_dropped() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::Reload);
    pool.order(Order::Stop);

    assert_eq!(pool.on(Event::ConfigRead(WANTED)), [Action::DropConfig]);
}

#[test]
fn what_dies_while_stopping_is_not_replaced() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::Stop);

    pool.on(server_gone(1));
    pool.dies(1);

    assert_eq!(pool.commands(), []);
}

#[test]
fn a_worker_that_is_forked_late_is_asked_to_leave() {
    let mut pool = Pool::starting(ONE);
    pool.on(Event::ForkServerReady(generation(1)));
    pool.order(Order::Stop);

    pool.on(Event::WorkerStarted(worker(1)));

    assert_eq!(pool.actions, [Action::Quit(worker(1))]);
}

#[test]
fn a_worker_that_is_loading_has_the_graceful_timeout_to_leave() {
    let mut pool = Pool::starting(ONE);
    pool.on(Event::ForkServerReady(generation(1)));
    pool.on(Event::WorkerStarted(worker(1)));

    pool.order(Order::Stop);
    assert_eq!(pool.commands()[1..], [Action::Quit(worker(1))]);
    assert_eq!(pool.until_deadline(), WANTED.graceful_timeout);

    assert_eq!(pool.commands(), [Action::Kill(worker(1))]);
}

#[test]
fn a_quick_stop_hurries_a_worker_that_is_loading_and_was_asked_to_leave() {
    let mut pool = Pool::starting(ONE);
    pool.on(Event::ForkServerReady(generation(1)));
    pool.on(Event::WorkerStarted(worker(1)));
    pool.order(Order::Stop);

    assert_eq!(pool.order(Order::StopNow), []);
    assert_eq!(pool.until_deadline(), 2 * SECOND);

    assert_eq!(pool.commands(), [Action::Kill(worker(1))]);
}
