//! An upgrade: another program takes over, or does not.

use super::fixture::*;

/// What another program makes of what it is told.
fn adopted(pool: &Pool) -> Pool {
    let state = pool.arbiter.hand_over(pool.now).expect("an upgrade");
    let (arbiter, actions) = Arbiter::adopt(state, WANTED, pool.now);
    Pool {
        arbiter,
        now: pool.now,
        actions,
    }
}

#[test]
fn it_is_a_reload_that_the_new_program_carries_out() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::Upgrade);
    assert_eq!(
        pool.commands(),
        [
            accepted(1),
            Action::Announce(Announcement::Reloading),
            Action::Upgrade
        ]
    );
    let before = pool.arbiter.summary();

    let mut pool = adopted(&pool);

    assert_eq!(pool.actions, [Action::ReadConfig]);
    assert_eq!(pool.arbiter.summary(), before);
    pool.on(Event::ConfigRead(WANTED));
    pool.on(Event::ForkServerReady(generation(2)));
    pool.serves(3);
    assert!(pool.actions.contains(&retire(1)));
    pool.serves(4);
    assert!(pool.actions.contains(&finished(1, Ok(2))));
    assert!(
        pool.actions
            .contains(&Action::Announce(Announcement::Ready))
    );
}

#[test]
fn a_refusal_changes_nothing_and_says_why() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::Upgrade);

    pool.on(Event::UpgradeRefused("it does not run".into()));

    let why = Reason::Upgrade("it does not run".into());
    assert_eq!(
        pool.commands(),
        [finished(1, Err(why)), Action::Announce(Announcement::Ready)]
    );
    assert!(pool.arbiter.hand_over(pool.now).is_none());
}

#[test]
fn it_waits_for_the_reload_under_way_and_a_reload_waits_for_it() {
    let mut pool = Pool::testing(WANTED);
    assert_eq!(pool.order(Order::Upgrade), [accepted(2)]);
    pool.serves(3);
    pool.serves(4);
    assert!(pool.actions.contains(&Action::Upgrade));
    assert_eq!(pool.order(Order::Reload), [accepted(3)]);

    let mut pool = adopted(&pool);
    pool.on(Event::ConfigRefused("no".into()));

    assert!(
        pool.actions
            .contains(&finished(2, Err(Reason::Config("no".into()))))
    );
    assert!(pool.actions.contains(&Action::ReadConfig));
}

#[test]
fn whoever_wants_a_reload_gets_it_although_an_upgrade_is_refused() {
    let mut pool = Pool::testing(WANTED);
    assert_eq!(pool.order(Order::Reload), [accepted(2)]);
    assert_eq!(pool.order(Order::Upgrade), [accepted(3)]);
    assert_eq!(pool.order(Order::Upgrade), [accepted(3)]);
    pool.serves(3);
    pool.serves(4);
    assert!(pool.actions.contains(&Action::Upgrade));

    pool.on(Event::UpgradeRefused("no".into()));

    assert!(pool.actions.contains(&Action::ReadConfig));
}

#[test]
fn a_stop_ends_it() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::Upgrade);

    pool.order(Order::Stop);

    assert!(!pool.arbiter.is_upgrading());
    assert!(pool.actions.contains(&finished(1, Err(Reason::Stopping))));
    assert_eq!(pool.on(Event::UpgradeRefused("late".into())), []);
}

#[test]
fn deaths_and_deadlines_are_handled_by_whoever_has_taken_over() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::OneWorkerMore);
    pool.on(Event::WorkerStarted(worker(3)));
    pool.order(Order::OneWorkerFewer);
    pool.order(Order::Upgrade);

    let mut pool = adopted(&pool);
    pool.crashes(1);

    assert_eq!(pool.commands(), [spawn(1, 4)]);
    // Worker 3 was told to leave before, and does not.
    pool.after(WANTED.graceful_timeout);
    assert!(pool.actions.contains(&Action::Kill(worker(3))));
}
