//! One worker more, one worker fewer.

use super::fixture::*;

#[test]
fn one_more_is_ordered_and_one_fewer_retires_the_oldest() {
    let mut pool = Pool::serving(WANTED);

    pool.order(Order::OneWorkerMore);
    assert_eq!(
        pool.reports(),
        [Report::CountChanged {
            from: 2,
            to: 3,
            by: BY
        }]
    );
    assert_eq!(pool.commands(), [spawn(1, 3)]);
    pool.serves(3);
    pool.order(Order::OneWorkerFewer);

    assert_eq!(pool.commands(), [retire(1)]);
}

#[test]
fn there_is_never_less_than_one_nor_more_than_the_limit() {
    let mut pool = Pool::serving(ONE);
    assert_eq!(pool.order(Order::OneWorkerFewer), []);

    let mut pool = Pool::starting(Wanted {
        workers: MOST_WORKERS,
        ..WANTED
    });
    assert_eq!(pool.order(Order::OneWorkerMore), []);
}

#[test]
fn one_that_does_not_serve_yet_goes_first() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::OneWorkerMore);
    pool.on(Event::WorkerStarted(worker(3)));

    pool.order(Order::OneWorkerFewer);

    assert_eq!(pool.commands(), [Action::Quit(worker(3))]);
}

#[test]
fn one_that_does_not_exist_yet_goes_when_it_does_unless_it_is_wanted_again() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::OneWorkerMore);
    pool.order(Order::OneWorkerFewer);
    assert_eq!(pool.commands(), []);
    pool.order(Order::OneWorkerMore);
    assert_eq!(pool.commands(), []);
    pool.order(Order::OneWorkerFewer);

    pool.on(Event::WorkerStarted(worker(3)));

    assert_eq!(pool.commands(), [Action::Quit(worker(3))]);
}

#[test]
fn a_reload_goes_back_to_the_configuration() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::OneWorkerMore);
    pool.serves(3);
    pool.order(Order::Reload);
    pool.on(Event::ConfigRead(WANTED));
    pool.on(Event::ForkServerReady(generation(2)));

    pool.serves(4);

    assert_eq!(pool.arbiter.summary().wanted, 2);
    assert!(pool.actions.contains(&retire(1)));
    assert!(pool.actions.contains(&retire(2)));
}

#[test]
fn hundreds_are_ordered_in_batches() {
    let mut pool = Pool::starting(Wanted {
        workers: 300,
        ..WANTED
    });
    pool.on(Event::ForkServerReady(generation(1)));
    assert_eq!(pool.commands().len(), 32);

    for id in 1..=300 {
        let ordered = pool.on(Event::WorkerStarted(worker(id))).len();
        assert_eq!(ordered, usize::from(id <= 300 - 32), "worker {id}");
        pool.on(Event::WorkerReady(worker(id)));
    }

    assert_eq!(pool.arbiter.summary().ready, 300);
}

#[test]
fn an_order_that_did_not_get_through_is_given_again_in_a_moment() {
    let mut pool = Pool::starting(WANTED);
    pool.on(Event::ForkServerReady(generation(1)));
    assert_eq!(pool.on(Event::SpawnDeferred(worker(1))), []);
    assert_eq!(pool.on(Event::SpawnDeferred(worker(2))), []);

    assert_eq!(pool.until_deadline(), 50 * MS);

    assert_eq!(pool.actions, [spawn(1, 3), spawn(1, 4)]);
}
