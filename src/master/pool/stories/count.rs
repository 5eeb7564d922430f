//! One worker more, one worker fewer.

use super::stage::*;

#[test]
fn one_more_is_ordered_and_one_fewer_retires_the_oldest() {
    let mut pool = Pool::serving(WANTED);

    pool.order(Order::OneWorkerMore);
    assert_eq!(pool.facts(), [Fact::CountChanged { from: 2, to: 3 }]);
    assert_eq!(pool.deeds(), [spawn(1, 3)]);
    pool.serves(3);
    pool.order(Order::OneWorkerFewer);

    assert_eq!(pool.deeds(), [retire(1)]);
}

#[test]
fn there_is_never_less_than_one_nor_more_than_the_limit() {
    let mut pool = Pool::serving(Wanted {
        workers: 1,
        ..WANTED
    });
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

    assert_eq!(pool.deeds(), [Action::Quit(worker(3))]);
}

#[test]
fn one_that_does_not_exist_yet_goes_when_it_does_unless_it_is_wanted_again() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::OneWorkerMore);
    pool.order(Order::OneWorkerFewer);
    assert_eq!(pool.deeds(), []);
    pool.order(Order::OneWorkerMore);
    assert_eq!(pool.deeds(), []);
    pool.order(Order::OneWorkerFewer);

    pool.on(Event::WorkerStarted(worker(3)));

    assert_eq!(pool.deeds(), [Action::Quit(worker(3))]);
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
