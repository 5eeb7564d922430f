//! Workers that have more memory than they may.

use super::fixture::*;
use std::time::Duration;

const MAX: u64 = 300 << 20;

const LIMITED: Wanted = Wanted {
    worker_memory_max: Some(MAX),
    ..WITHOUT_TIMEOUT
};

const MINUTE: Duration = Duration::from_secs(60);

fn measured(sizes: &[(u32, u64)]) -> Event {
    let uses = (sizes.iter())
        .map(|&(id, own)| MemoryUse {
            worker: worker(id),
            own,
            is_idle: false,
        })
        .collect();
    Event::MemoryMeasured(Check::Limit, uses)
}

fn measure(ids: &[u32]) -> Action {
    Action::MeasureMemory {
        check: Check::Limit,
        workers: ids.iter().copied().map(worker).collect(),
        above: MAX,
    }
}

/// Whose workers have served for some minutes.
fn pool_in_use(wanted: Wanted) -> Pool {
    let mut pool = Pool::serving(wanted);
    pool.after(10 * MINUTE);
    pool
}

/// Whether this worker is replaced when it turns out to be too large.
fn is_replaced(pool: &mut Pool, id: u32) -> bool {
    pool.on(measured(&[(id, 2 * MAX)]));
    (pool.reports().iter()).any(|report| matches!(report, Report::WorkerTooLarge { .. }))
}

#[test]
fn the_workers_that_serve_are_measured_every_five_seconds() {
    let mut pool = pool_in_use(LIMITED);
    pool.order(Order::OneWorkerMore);

    assert_eq!(pool.until_deadline(), 5 * SECOND);

    assert_eq!(pool.commands(), [measure(&[1, 2])]);
    assert_eq!(pool.after(SECOND), []);
}

#[test]
fn without_a_limit_nothing_is_measured() {
    let mut pool = pool_in_use(WITHOUT_TIMEOUT);

    assert_eq!(pool.arbiter.deadline(), None);
    assert_eq!(pool.on(measured(&[(1, u64::MAX)])), []);
}

#[test]
fn a_worker_that_is_too_large_serves_until_another_does_in_its_place() {
    let mut pool = pool_in_use(LIMITED);

    pool.on(measured(&[(1, MAX), (2, MAX + 1)]));

    assert_eq!(
        pool.reports(),
        [Report::WorkerTooLarge {
            worker: worker(2),
            own: MAX + 1,
            max: MAX,
            age: 10 * MINUTE,
        }]
    );
    assert_eq!(pool.commands(), [spawn(1, 3)]);
    pool.serves(3);
    assert!(pool.commands().contains(&retire(2)));
}

#[test]
fn one_is_replaced_at_a_time_and_the_largest_first() {
    let mut pool = pool_in_use(LIMITED);

    pool.on(measured(&[(1, 2 * MAX), (2, 3 * MAX)]));
    assert_eq!(pool.commands(), [spawn(1, 3)]);
    assert_eq!(pool.on(measured(&[(1, 4 * MAX), (2, 3 * MAX)])), []);
    pool.serves(3);

    assert!(pool.commands().contains(&retire(2)));
    pool.on(measured(&[(1, 4 * MAX), (3, MAX)]));
    assert_eq!(pool.commands(), [spawn(1, 4)]);
    pool.serves(4);
    assert!(pool.commands().contains(&retire(1)));
}

#[test]
fn while_the_successor_cannot_load_the_application_the_large_one_serves() {
    let mut pool = pool_in_use(LIMITED);
    pool.on(measured(&[(1, 2 * MAX)]));

    pool.refuses(3);
    pool.dies(3);

    assert_eq!(pool.arbiter.summary().ready, 2);
    assert_eq!(pool.on(measured(&[(1, 2 * MAX), (2, 2 * MAX)])), []);
}

#[test]
fn young_workers_are_replaced_after_pauses_that_grow() {
    let mut pool = Pool::serving(LIMITED);
    let mut waited = Vec::new();

    for id in 2..=6 {
        let mut seconds = 0;
        while !is_replaced(&mut pool, id) {
            pool.now += SECOND;
            seconds += 1;
        }
        waited.push(seconds);
        pool.serves(id + 1);
        pool.dies(id);
    }

    assert_eq!(waited, [0, 0, 10, 20, 40]);
}

#[test]
fn a_worker_that_has_served_for_a_minute_does_not_wait_for_the_end_of_a_pause() {
    let mut pool = Pool::serving(LIMITED);
    pool.now += 58 * SECOND;
    for id in 2..=4 {
        let is_first_of_the_pause = id < 4;
        assert_eq!(is_replaced(&mut pool, id), is_first_of_the_pause);
        if is_first_of_the_pause {
            pool.serves(id + 1);
            pool.dies(id);
        }
    }
    assert!(!is_replaced(&mut pool, 1));

    pool.now += 2 * SECOND;

    assert!(is_replaced(&mut pool, 1));
}

#[test]
fn during_a_reload_none_is_replaced_for_its_memory() {
    let mut pool = pool_in_use(LIMITED);
    pool.order(Order::Reload);

    assert_eq!(pool.on(measured(&[(1, 2 * MAX)])), []);
}

#[test]
fn a_reload_may_take_the_limit_away() {
    let mut pool = pool_in_use(LIMITED);
    pool.order(Order::Reload);
    pool.on(Event::ConfigRead(WITHOUT_TIMEOUT));
    pool.on(Event::ForkServerReady(generation(2)));
    pool.serves(3);
    pool.serves(4);
    assert!(pool.reload_is_over());

    assert_eq!(pool.on(measured(&[(3, u64::MAX)])), []);
    pool.after(10 * SECOND);
    assert!(!pool.actions.contains(&measure(&[3, 4])));
}

#[test]
fn a_measurement_of_a_worker_that_leaves_changes_nothing() {
    let mut pool = pool_in_use(LIMITED);
    pool.order(Order::OneWorkerFewer);
    assert!(pool.commands().contains(&retire(1)));

    assert_eq!(pool.on(measured(&[(1, 2 * MAX), (9, 2 * MAX)])), []);
}

#[test]
fn when_the_service_stops_nothing_is_measured() {
    let mut pool = pool_in_use(LIMITED);
    pool.order(Order::Stop);

    assert_eq!(pool.on(measured(&[(1, 2 * MAX)])), []);
    pool.after(5 * SECOND);
    assert!(!pool.actions.contains(&measure(&[1, 2])));
}
