//! The kernel reports that memory is short.

use super::fixture::*;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// Whose workers have served for a while.
fn pool_in_use() -> Pool {
    let mut pool = Pool::serving(WITHOUT_TIMEOUT);
    pool.after(10 * MINUTE);
    pool
}

fn collect(id: u32) -> Action {
    Action::Collect(worker(id))
}

/// How the workers are that were measured: their size, and whether they are idle.
fn measured(uses: &[(u32, u64, bool)]) -> Event {
    let uses = (uses.iter())
        .map(|&(id, own, is_idle)| MemoryUse {
            worker: worker(id),
            own,
            is_idle,
        })
        .collect();
    Event::MemoryMeasured(Check::Pressure, uses)
}

fn measure(ids: &[u32]) -> Action {
    Action::MeasureMemory {
        check: Check::Pressure,
        workers: ids.iter().copied().map(worker).collect(),
        above: 0,
    }
}

/// Memory is short, and short again when the workers have collected.
fn persists(pool: &mut Pool) -> &[Action] {
    pool.on(Event::MemoryPressure);
    for id in 1..=9 {
        pool.on(Event::Collected(worker(id)));
    }
    pool.now += 20 * SECOND;
    pool.on(Event::MemoryPressure)
}

#[test]
fn the_workers_collect_one_after_the_other() {
    let mut pool = pool_in_use();

    pool.on(Event::MemoryPressure);
    assert_eq!(pool.reports(), [Report::MemoryPressure(1)]);
    assert_eq!(pool.commands(), [collect(1)]);

    assert_eq!(pool.on(Event::Collected(worker(2))), []);
    assert_eq!(pool.on(Event::Collected(worker(1))), [collect(2)]);
    assert_eq!(pool.on(Event::Collected(worker(2))), []);
    assert_eq!(pool.arbiter.deadline(), None);
}

#[test]
fn a_worker_in_a_long_request_does_not_keep_the_others_from_collecting() {
    let mut pool = pool_in_use();
    pool.on(Event::MemoryPressure);

    assert_eq!(pool.until_deadline(), 5 * SECOND);

    assert_eq!(pool.actions, [collect(2)]);
}

#[test]
fn a_worker_that_dies_does_not_keep_the_others_from_collecting() {
    let mut pool = pool_in_use();
    pool.on(Event::MemoryPressure);

    pool.crashes(1);

    assert!(pool.commands().contains(&collect(2)));
}

#[test]
fn reports_within_ten_seconds_are_counted_and_handled_as_one() {
    let mut pool = pool_in_use();
    pool.on(Event::MemoryPressure);
    pool.on(Event::Collected(worker(1)));
    pool.on(Event::Collected(worker(2)));

    for _ in 0..4 {
        pool.now += 2 * SECOND;
        assert_eq!(pool.on(Event::MemoryPressure), []);
    }
    pool.now += 2 * SECOND;
    pool.on(Event::MemoryPressure);

    assert_eq!(pool.reports(), [Report::MemoryPressure(5)]);
    assert!(pool.commands().contains(&collect(1)));
}

#[test]
fn if_it_persists_the_largest_idle_worker_is_replaced() {
    let mut pool = pool_in_use();
    assert!(persists(&mut pool).contains(&measure(&[1, 2])));

    pool.on(measured(&[(1, 100, true), (2, 200, false)]));

    assert_eq!(pool.reports(), [Report::WorkerRecycled(worker(1), 100)]);
    assert_eq!(pool.commands(), [spawn(1, 3)]);
    pool.serves(3);
    assert!(pool.commands().contains(&retire(1)));
    assert!(!pool.commands().contains(&retire(2)));
}

#[test]
fn at_most_one_worker_is_replaced_in_a_minute() {
    let mut pool = pool_in_use();
    persists(&mut pool);
    pool.on(measured(&[(1, 100, true), (2, 200, true)]));
    pool.serves(3);
    pool.on(gone(2));

    let mut seconds = 0;
    while !pool.actions.contains(&measure(&[1])) {
        pool.now += 5 * SECOND;
        seconds += 5;
        pool.on(Event::MemoryPressure);
    }

    assert_eq!(seconds, 60);
}

#[test]
fn workers_that_have_served_for_less_than_ten_minutes_are_not_replaced() {
    let mut pool = Pool::serving(WITHOUT_TIMEOUT);
    pool.after(9 * MINUTE);

    assert!(!persists(&mut pool).contains(&measure(&[1, 2])));
}

#[test]
fn two_reports_with_more_than_a_minute_between_them_are_not_one() {
    let mut pool = pool_in_use();
    pool.on(Event::MemoryPressure);
    pool.now += MINUTE;

    pool.on(Event::MemoryPressure);

    assert!(!pool.actions.contains(&measure(&[1, 2])));
}

#[test]
fn before_the_first_worker_serves_and_when_the_service_stops_nothing_is_done() {
    let mut pool = Pool::starting(WITHOUT_TIMEOUT);
    assert_eq!(pool.on(Event::MemoryPressure), []);

    let mut pool = pool_in_use();
    pool.on(Event::MemoryPressure);
    pool.order(Order::Stop);
    assert_eq!(pool.on(Event::MemoryPressure), []);
    assert_eq!(pool.on(Event::Collected(worker(1))), []);
    assert_eq!(pool.on(measured(&[(1, 100, true)])), []);
}

#[test]
fn while_the_pool_drains_the_workers_collect_as_well() {
    let mut pool = Pool::serving(Wanted {
        drain_time: MINUTE,
        ..WITHOUT_TIMEOUT
    });
    pool.order(Order::Stop);

    pool.on(Event::MemoryPressure);
    assert_eq!(pool.commands(), [collect(1)]);
    assert_eq!(pool.until_deadline(), 5 * SECOND);

    assert_eq!(pool.commands(), [collect(2)]);
}
