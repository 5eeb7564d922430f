//! One worker more, one worker fewer, as many as are wanted, or another in place of one.

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
fn a_number_is_reached_at_once_in_both_directions() {
    let mut pool = Pool::serving(WANTED);

    pool.order(Order::Scale(4));
    assert_eq!(pool.commands(), [spawn(1, 3), spawn(1, 4)]);
    pool.serves(3);
    pool.serves(4);
    pool.order(Order::Scale(1));

    assert_eq!(
        pool.reports(),
        [Report::CountChanged {
            from: 4,
            to: 1,
            by: BY
        }]
    );
    assert_eq!(pool.commands(), [retire(1), retire(2), retire(3)]);
    assert_eq!(pool.order(Order::Scale(1)), []);
}

#[test]
fn a_number_beyond_the_limits_is_brought_within_them() {
    let mut pool = Pool::serving(WANTED);

    pool.order(Order::Scale(0));
    assert_eq!(pool.arbiter.summary().wanted, 1);
    pool.order(Order::Scale(u16::MAX));

    assert_eq!(pool.arbiter.summary().wanted, usize::from(MOST_WORKERS));
}

#[test]
fn a_worker_that_is_starting_is_removed_first() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::OneWorkerMore);
    pool.on(Event::WorkerStarted(worker(3)));

    pool.order(Order::OneWorkerFewer);

    assert_eq!(pool.commands(), [Action::Quit(worker(3))]);
}

#[test]
fn an_ordered_worker_is_removed_when_it_is_forked_unless_it_is_wanted_again() {
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
        preload: true,
        ..WANTED
    });
    pool.on(Event::ForkServerReady(generation(1)));
    pool.serves(1);
    assert_eq!(pool.commands()[1..].len(), 32);

    for id in 2..=300 {
        let ordered = pool.on(Event::WorkerStarted(worker(id))).len();
        assert_eq!(ordered, usize::from(id <= 300 - 32), "worker {id}");
        pool.on(Event::WorkerReady(worker(id)));
    }

    assert_eq!(pool.arbiter.summary().ready, 300);
}

#[test]
fn an_order_that_did_not_get_through_is_given_again_in_a_moment() {
    let mut pool = Pool::starting(Wanted {
        workers: 4,
        timeout: None,
        ..WANTED
    });
    pool.on(Event::ForkServerReady(generation(1)));
    pool.serves(1);
    assert_eq!(pool.on(Event::SpawnDeferred(worker(2))), []);
    assert_eq!(pool.on(Event::SpawnDeferred(worker(4))), []);

    assert_eq!(pool.until_deadline(), 50 * MS);

    assert_eq!(pool.actions, [spawn(1, 5), spawn(1, 6)]);
}

#[test]
fn workers_added_one_by_one_boot_as_many_at_a_time_as_there_are_processors() {
    let mut pool = Pool::serving(Wanted {
        processors: 2,
        ..WANTED
    });

    let ordered: Vec<usize> = (0..5)
        .map(|_| {
            pool.order(Order::OneWorkerMore);
            pool.commands().len()
        })
        .collect();
    assert_eq!(ordered, [1, 1, 0, 0, 0]);

    for id in 3..=7 {
        pool.serves(id);
        let next: Vec<Action> = (id <= 5).then(|| spawn(1, id + 2)).into_iter().collect();
        assert_eq!(pool.commands()[1..], next);
    }
}

#[test]
fn a_worker_serves_until_another_does_in_its_place() {
    let mut pool = Pool::serving(WANTED);

    assert_eq!(pool.order(Order::Replace(worker(2))), [spawn(1, 3)]);
    assert_eq!(pool.arbiter.summary().ready, 2);
    assert_eq!(pool.order(Order::Replace(worker(2))), []);
    pool.serves(3);

    assert_eq!(pool.commands()[1..], [retire(2)]);
    pool.dies(2);
    assert_eq!(pool.commands(), []);
}

#[test]
fn a_worker_is_not_replaced_while_the_next_cannot_load_the_application() {
    let mut pool = Pool::serving(WITHOUT_TIMEOUT);
    pool.order(Order::Replace(worker(1)));

    pool.refuses(3);

    assert!(!pool.commands().contains(&retire(1)));
    assert_eq!(pool.arbiter.summary().ready, 2);
    pool.dies(3);
    pool.until_deadline();
    assert_eq!(pool.commands(), [spawn(1, 4)]);
    pool.serves(4);
    assert_eq!(pool.commands()[1..], [retire(1)]);
}

#[test]
fn all_workers_are_replaced_without_more_than_there_is_room_for() {
    let mut pool = Pool::serving(WANTED);

    assert_eq!(pool.order(Order::Replace(worker(1))), [spawn(1, 3)]);
    assert_eq!(pool.order(Order::Replace(worker(2))), []);
    pool.serves(3);
    assert_eq!(pool.commands()[1..], [retire(1), spawn(1, 4)]);
    pool.serves(4);

    assert_eq!(pool.commands()[1..], [retire(2)]);
}

#[test]
fn a_worker_that_is_to_be_replaced_is_the_first_that_is_too_many() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::Replace(worker(2)));

    pool.order(Order::OneWorkerFewer);

    assert!(pool.commands().contains(&retire(2)), "{:?}", pool.actions);
}

#[test]
fn only_a_worker_that_serves_is_replaced() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::OneWorkerMore);

    assert_eq!(pool.order(Order::Replace(worker(3))), []);
    assert_eq!(pool.order(Order::Replace(worker(9))), []);
    pool.order(Order::Stop);
    assert_eq!(pool.order(Order::Replace(worker(1))), []);
}

#[test]
fn when_all_are_to_leave_none_is_ordered_until_one_is_wanted_again() {
    let mut pool = Pool::serving(WANTED);

    pool.order(Order::RetireAll);
    assert_eq!(
        pool.reports(),
        [Report::CountChanged {
            from: 2,
            to: 0,
            by: BY
        }]
    );
    assert_eq!(pool.commands(), [retire(1), retire(2)]);
    pool.dies(1);
    pool.dies(2);
    assert_eq!(pool.commands(), []);
    assert_eq!(pool.order(Order::OneWorkerFewer), []);
    pool.order(Order::OneWorkerMore);

    assert_eq!(pool.commands(), [spawn(1, 3)]);
}

#[test]
fn a_reload_after_all_have_left_brings_as_many_as_are_configured() {
    let mut pool = Pool::serving(WANTED);
    pool.order(Order::RetireAll);
    pool.dies(1);
    pool.dies(2);
    pool.order(Order::Reload);
    pool.on(Event::ConfigRead(WANTED));
    pool.on(Event::ForkServerReady(generation(2)));

    pool.serves(3);

    assert_eq!(pool.arbiter.summary().wanted, 2);
    assert_eq!(pool.arbiter.summary().ready, 1);
    assert!(pool.commands().contains(&spawn(2, 4)));
}

#[test]
fn before_the_service_is_ready_no_worker_is_made_to_leave() {
    let mut pool = Pool::starting(WANTED);
    pool.order(Order::RetireAll);
    pool.on(Event::ForkServerReady(generation(1)));
    pool.serves(1);

    assert_eq!(pool.order(Order::RetireAll), []);
    assert_eq!(pool.arbiter.summary().wanted, 2);
}
