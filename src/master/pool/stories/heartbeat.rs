//! Workers whose heartbeats stop.

use super::fixture::*;

#[test]
fn heartbeats_are_checked_every_second_while_workers_serve() {
    let mut pool = Pool::serving(WANTED);
    pool.until_deadline();

    assert_eq!(pool.until_deadline(), SECOND);
    assert_eq!(pool.until_deadline(), SECOND);
    assert_eq!(pool.arbiter.with_heartbeat().count(), 2);
}

#[test]
fn without_a_timeout_they_are_not_checked() {
    let mut pool = Pool::serving(WITHOUT_TIMEOUT);

    assert_eq!(pool.arbiter.deadline(), None);
    pool.after(100 * SECOND);

    assert_eq!(pool.is_silent(1, 100 * SECOND), []);
}

#[test]
fn a_silent_worker_dumps_its_stacks_is_replaced_and_killed_once() {
    let mut pool = Pool::serving(ONE);
    for _ in 0..31 {
        pool.after(SECOND);
    }

    pool.is_silent(1, 31 * SECOND);
    assert_eq!(
        pool.actions,
        [
            Action::Report(Report::WorkerTimedOut(worker(1), 31 * SECOND)),
            Action::Abort(worker(1)),
            spawn(1, 2),
        ]
    );
    pool.serves(2);
    assert_eq!(pool.is_silent(1, 32 * SECOND), []);
    pool.after(SECOND);
    pool.after(SECOND);
    assert_eq!(pool.commands(), [Action::Kill(worker(1))]);

    assert_eq!(pool.after(SECOND), []);
}

#[test]
fn a_worker_that_beats_just_in_time_is_left_alone() {
    let mut pool = Pool::serving(WANTED);
    for _ in 0..40 {
        pool.after(SECOND);
    }

    assert_eq!(pool.is_silent(1, 30 * SECOND), []);
}

#[test]
fn silence_from_before_it_served_is_not_counted() {
    let mut pool = Pool::serving(WANTED);
    pool.after(SECOND);

    assert_eq!(pool.is_silent(1, 1000 * SECOND), []);
}

#[test]
fn a_retiring_worker_that_is_silent_is_not_replaced() {
    let mut pool = Pool::serving(WANTED);
    for _ in 0..31 {
        pool.after(SECOND);
    }
    pool.order(Order::OneWorkerFewer);

    pool.is_silent(1, 31 * SECOND);

    assert_eq!(pool.commands(), [Action::Abort(worker(1))]);
}

#[test]
fn after_the_master_was_frozen_every_worker_gets_the_time_to_beat_again() {
    let mut pool = Pool::serving(WANTED);
    pool.after(SECOND);
    pool.now += 100 * SECOND;

    assert_eq!(pool.is_silent(1, 100 * SECOND), []);
    pool.now += SECOND;
    pool.is_silent(1, 101 * SECOND);

    assert_eq!(pool.commands()[0], Action::Abort(worker(1)));
}
