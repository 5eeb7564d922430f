//! A fork server that is lost: its workers serve on.

use super::fixture::*;

/// What follows when the fork server of generation 1 is killed.
fn lost_and_replaced() -> [Action; 2] {
    let reason = Reason::ForkServerDied("killed by signal 9".to_owned());
    [
        Action::Report(Report::ForkServerLost(generation(1), reason)),
        Action::StartForkServer(generation(2)),
    ]
}

#[test]
fn when_it_dies_its_workers_serve_until_the_next_generation_replaces_them() {
    let mut pool = Pool::serving(WANTED);
    pool.after(5 * SECOND);

    pool.on(server_gone(1));
    assert_eq!(pool.actions, lost_and_replaced());
    assert_eq!(pool.arbiter.summary().phase, Phase::Serving);
    pool.on(Event::ForkServerReady(generation(2)));
    assert_eq!(pool.actions, [spawn(2, 3)]);
    pool.serves(3);
    assert_eq!(
        pool.commands(),
        [Action::Lend(worker(3)), retire(1), spawn(2, 4)]
    );
    pool.serves(4);

    assert_eq!(pool.commands(), [Action::Lend(worker(4)), retire(2)]);
}

#[test]
fn a_replacement_that_cannot_load_is_tried_again_after_growing_pauses() {
    let mut pool = Pool::serving(WITHOUT_TIMEOUT);
    pool.after(5 * SECOND);
    pool.on(server_gone(1));

    let mut pauses = Vec::new();
    for id in 2..9 {
        let refused = Event::ForkServerRefused(generation(id), failure(3));
        pool.on(refused);
        let reason = Reason::Load(failure(3));
        assert_eq!(
            pool.reports(),
            [Report::ReplacementFailed(generation(id), reason)]
        );
        pool.on(server_gone(id));
        pauses.push(pool.until_deadline().as_secs());
        assert_eq!(
            pool.commands(),
            [Action::StartForkServer(generation(id + 1))]
        );
    }

    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    assert_eq!(pool.arbiter.summary().ready, 2);
}

#[test]
fn a_reload_goes_before_the_next_try() {
    let mut pool = Pool::serving(WANTED);
    pool.after(5 * SECOND);
    pool.on(server_gone(1));
    assert_eq!(pool.order(Order::Reload), [accepted(1)]);

    pool.on(Event::ForkServerRefused(generation(2), failure(3)));

    assert_eq!(
        pool.commands(),
        [
            Action::StopForkServer(generation(2)),
            Action::Announce(Announcement::Reloading),
            Action::ReadConfig,
        ]
    );
}

#[test]
fn one_that_does_not_fork_is_killed_and_replaced() {
    let mut pool = Pool::with_an_ordered_worker();

    assert_eq!(pool.until_deadline(), 10 * SECOND);

    assert_eq!(
        pool.actions,
        [
            Action::KillForkServer(generation(1)),
            Action::Report(Report::ForkServerLost(
                generation(1),
                Reason::ForkServerStuck
            )),
            Action::StartForkServer(generation(2)),
        ]
    );
}

#[test]
fn one_that_forks_slowly_is_waited_for() {
    let mut pool = Pool::starting(Wanted {
        workers: 3,
        ..WANTED
    });
    pool.on(Event::ForkServerReady(generation(1)));

    for id in 1..=3 {
        assert_eq!(pool.after(9 * SECOND), []);
        assert_eq!(pool.on(Event::WorkerStarted(worker(id))), []);
    }
}

#[test]
fn a_worker_that_is_never_forked_is_given_up() {
    let mut pool = Pool::with_an_ordered_worker();
    pool.on(server_gone(1));

    pool.after(10 * SECOND);

    assert_eq!(pool.actions, [Action::Kill(worker(3))]);
}

#[test]
fn one_that_dies_while_a_reload_rolls_does_not_end_the_reload() {
    let mut pool = Pool::rolling();

    pool.on(server_gone(2));
    assert_eq!(pool.commands(), [Action::StartForkServer(generation(3))]);
    pool.dies(4);
    pool.on(Event::ForkServerReady(generation(3)));
    pool.serves(5);
    pool.serves(6);

    assert!(pool.actions.contains(&finished(1, Ok(3))));
}

#[test]
fn one_that_closes_its_link_and_exits_is_replaced_and_its_exit_is_reported() {
    let mut pool = Pool::serving(WANTED);
    pool.after(5 * SECOND);

    assert_eq!(pool.on(Event::ForkServerLinkClosed(generation(1))), []);
    pool.on(server_gone(1));

    assert_eq!(pool.actions, lost_and_replaced());
}

#[test]
fn one_that_closes_its_link_and_stays_is_killed_and_replaced() {
    let mut pool = Pool::serving(WITHOUT_TIMEOUT);
    pool.after(5 * SECOND);
    pool.on(Event::ForkServerLinkClosed(generation(1)));

    // No worker is ordered from it meanwhile.
    assert_eq!(pool.crashes(1)[1..], []);
    assert_eq!(pool.until_deadline(), 2 * SECOND);

    let reason = Reason::ForkServerLinkClosed;
    assert_eq!(
        pool.actions,
        [
            Action::KillForkServer(generation(1)),
            Action::Report(Report::ForkServerLost(generation(1), reason)),
            Action::StartForkServer(generation(2)),
        ]
    );
    pool.on(Event::ForkServerReady(generation(2)));
    pool.serves(3);
    assert!(pool.actions.contains(&spawn(2, 4)));
}

#[test]
fn one_that_closes_its_link_before_anything_served_ends_the_service() {
    let mut pool = Pool::starting(WANTED);
    pool.on(Event::ForkServerLinkClosed(generation(1)));

    assert_eq!(pool.until_deadline(), 2 * SECOND);

    let reason = Reason::ForkServerLinkClosed;
    assert_eq!(pool.reports(), [Report::StartFailed(reason)]);
    assert_eq!(pool.commands()[0], Action::KillForkServer(generation(1)));
}

#[test]
fn workers_that_it_did_not_fork_before_it_died_are_no_failures() {
    let mut pool = Pool::serving(WANTED);
    pool.crashes(1);
    pool.on(Event::ForkServerLinkClosed(generation(1)));

    pool.on(Event::WorkerGone {
        worker: worker(3),
        exit: ExitStatus::NeverStarted,
        served: false,
    });

    assert_eq!(pool.actions, []);
}
