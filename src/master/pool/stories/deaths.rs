//! Workers that die, and those that never lived.

use super::stage::*;

#[test]
fn a_worker_that_lived_is_replaced_at_once() {
    let mut pool = Pool::serving(WANTED);
    pool.after(5 * SECOND);

    pool.dies(1);

    let how = "killed by signal 11".to_owned();
    assert_eq!(
        pool.actions,
        [
            Action::Report(Fact::WorkerDied(worker(1), how)),
            spawn(1, 3)
        ]
    );
}

#[test]
fn workers_that_keep_dying_are_replaced_after_growing_pauses() {
    let mut pool = Pool::serving(Wanted {
        workers: 1,
        timeout: None,
        ..WANTED
    });
    pool.dies(1);
    assert_eq!(pool.deeds(), [spawn(1, 2)]);

    let mut pauses = Vec::new();
    for id in 2..11 {
        pool.serves(id);
        pool.now += SECOND;
        pool.dies(id);
        assert_eq!(pool.deeds(), []);
        pauses.push(pool.until_deadline().as_millis());
        assert_eq!(pool.deeds(), [spawn(1, id + 1)]);
    }

    assert_eq!(
        pauses,
        [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
    );
}

#[test]
fn a_worker_that_lived_long_makes_the_pauses_short_again() {
    let mut pool = Pool::serving(WANTED);
    for id in [1, 3, 4] {
        pool.dies(id);
        pool.after(4 * SECOND);
        pool.serves(if id == 1 { 3 } else { id + 1 });
    }

    pool.dies(2);
    assert_eq!(pool.deeds(), [spawn(1, 6)]);

    assert_eq!(pool.dies(5)[1..], [spawn(1, 7)]);
}

#[test]
fn a_pool_that_is_well_for_a_while_forgets() {
    let mut pool = Pool::serving(Wanted {
        workers: 1,
        ..WANTED
    });
    pool.dies(1);
    pool.serves(2);
    pool.dies(2);
    pool.after(100 * MS);
    pool.serves(3);

    pool.after(5 * SECOND);
    pool.order(Order::OneWorkerMore);
    pool.serves(4);

    assert_eq!(pool.dies(4)[1..], [spawn(1, 5)]);
}

#[test]
fn code_that_was_broken_meanwhile_never_ends_a_service_that_serves() {
    let mut pool = Pool::serving(Wanted {
        timeout: None,
        ..WANTED
    });
    pool.after(5 * SECOND);
    pool.dies(1);

    let mut pauses = Vec::new();
    for id in 3..9 {
        pool.refuses(id);
        pool.dies(id);
        assert_eq!(pool.deeds(), []);
        pauses.push(pool.until_deadline().as_secs());
        assert_eq!(pool.deeds(), [spawn(1, id + 1)]);
    }

    assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
    assert_eq!(pool.arbiter.summary().ready, 1);
}

#[test]
fn a_worker_that_loads_too_long_is_replaced() {
    let mut pool = Pool::serving(Wanted {
        timeout: None,
        ..WANTED
    });
    pool.after(5 * SECOND);
    pool.dies(1);
    pool.on(Event::WorkerStarted(worker(3)));

    pool.after(60 * SECOND);
    assert_eq!(pool.deeds(), [Action::Abort(worker(3))]);
    assert_eq!(
        pool.facts(),
        [
            Fact::WorkerFailed(worker(3), Reason::Late(60 * SECOND)),
            Fact::RespawnDelayed(SECOND),
        ]
    );
    pool.after(SECOND);

    assert_eq!(pool.deeds(), [spawn(1, 4)]);
}

#[test]
fn a_fork_that_fails_is_tried_again() {
    let mut pool = Pool::serving(WANTED);
    pool.after(5 * SECOND);
    pool.dies(1);

    pool.on(Event::ForkFailed(worker(3), "no memory".to_owned()));

    let reason = Reason::Fork("no memory".to_owned());
    assert_eq!(
        pool.actions,
        [
            Action::Report(Fact::WorkerFailed(worker(3), reason)),
            spawn(1, 4)
        ]
    );
}

#[test]
fn one_that_could_not_load_and_stays_is_killed() {
    let mut pool = Pool::serving(WANTED);
    pool.after(5 * SECOND);
    pool.dies(1);
    pool.refuses(3);

    pool.after(SECOND);
    pool.after(SECOND);

    assert_eq!(pool.deeds(), [Action::Kill(worker(3))]);
}

#[test]
fn news_of_the_dead_is_ignored() {
    let mut pool = Pool::serving(WANTED);
    pool.dies(1);

    assert_eq!(pool.on(gone(1)), []);
    assert_eq!(pool.on(Event::WorkerReady(worker(1))), []);
    assert_eq!(pool.on(Event::WorkerStarted(worker(99))), []);
    assert_eq!(pool.on(Event::ForkServerReady(generation(99))), []);
    assert_eq!(pool.on(server_gone(99)), []);
    assert_eq!(pool.is_silent(1, 99 * SECOND), []);
}
