//! Workers that have answered enough requests, or are too old.

use super::fixture::*;

const MAX: u64 = 50;

const COUNTED: Wanted = Wanted {
    max_requests: Some(MAX),
    ..WITHOUT_TIMEOUT
};

const AGING: Wanted = Wanted {
    max_worker_age: Some(Duration::from_secs(100)),
    ..WITHOUT_TIMEOUT
};

fn counted(counts: &[(u32, u64)]) -> Event {
    let counts = counts.iter();
    Event::RequestsCounted(counts.map(|&(id, count)| (worker(id), count)).collect())
}

fn count(ids: &[u32]) -> Action {
    Action::CountRequests(ids.iter().copied().map(worker).collect())
}

/// Which workers have been found too old since the last event.
fn too_old(pool: &Pool) -> Vec<WorkerId> {
    let reports = pool.reports().into_iter();
    let found = reports.filter_map(|report| match report {
        Report::WorkerTooOld { worker, .. } => Some(worker),
        _ => None,
    });
    found.collect()
}

#[test]
fn the_requests_of_the_workers_that_serve_are_counted_every_second() {
    let mut pool = Pool::serving(COUNTED);
    pool.after(SECOND);
    pool.order(Order::OneWorkerMore);

    assert_eq!(pool.until_deadline(), SECOND);

    assert_eq!(pool.commands(), [count(&[1, 2])]);
}

#[test]
fn without_a_limit_nothing_is_counted_and_nobody_is_replaced() {
    let mut pool = Pool::serving(WITHOUT_TIMEOUT);

    assert_eq!(pool.arbiter.deadline(), None);
    assert_eq!(pool.on(counted(&[(1, u64::MAX)])), []);
}

#[test]
fn a_worker_that_has_answered_enough_serves_until_another_does_in_its_place() {
    let mut pool = Pool::serving(COUNTED);

    pool.on(counted(&[(1, MAX - 1), (2, MAX)]));

    let report = Report::WorkerServedEnough {
        worker: worker(2),
        requests: MAX,
    };
    assert_eq!(pool.reports(), [report]);
    assert_eq!(pool.commands(), [spawn(1, 3)]);
    pool.serves(3);
    assert!(pool.commands().contains(&retire(2)));
}

#[test]
fn one_is_replaced_at_a_time_and_the_one_with_the_most_requests_first() {
    let mut pool = Pool::serving(COUNTED);

    pool.on(counted(&[(1, 2 * MAX), (2, 3 * MAX)]));
    assert_eq!(pool.commands(), [spawn(1, 3)]);
    assert_eq!(pool.on(counted(&[(1, 4 * MAX), (2, 5 * MAX)])), []);
    assert!(!pool.after(5 * SECOND).contains(&count(&[1, 2])));

    pool.serves(3);
    assert!(pool.commands().contains(&retire(2)));
    pool.on(counted(&[(1, 4 * MAX), (3, 0)]));
    assert_eq!(pool.commands(), [spawn(1, 4)]);
}

#[test]
fn with_jitter_each_worker_answers_a_number_of_its_own() {
    const JITTER: u64 = 20;
    let wanted = Wanted {
        workers: 100,
        max_requests_jitter: JITTER,
        ..COUNTED
    };
    let limit = |id: u32| {
        let enough = |requests: &u64| {
            let mut pool = Pool::serving(wanted);
            pool.on(counted(&[(id, *requests)]));
            !pool.reports().is_empty()
        };
        (0..=MAX + JITTER).find(enough).unwrap()
    };

    let limits: Vec<u64> = (1..=8).map(limit).collect();

    assert!(
        limits
            .iter()
            .all(|limit| (MAX..=MAX + JITTER).contains(limit))
    );
    let different: std::collections::BTreeSet<_> = limits.iter().collect();
    assert!(different.len() > 4, "{limits:?}");
    assert_eq!((1..=8).map(limit).collect::<Vec<_>>(), limits);
}

#[test]
fn a_worker_that_is_too_old_is_replaced_and_not_all_at_once() {
    let mut pool = Pool::serving(AGING);

    let due = pool.until_deadline();

    assert!((100 * SECOND..=110 * SECOND).contains(&due), "{due:?}");
    let first = too_old(&pool);
    assert_eq!(first.len(), 1);
    assert_eq!(pool.commands(), [spawn(1, 3)]);
    pool.after(5 * SECOND);
    assert_eq!(too_old(&pool), []);

    pool.serves(3);
    assert!(pool.commands().contains(&retire(first[0].0)));
    // The other one is long too old.
    assert_eq!(too_old(&pool).len(), 1);
    assert!(pool.commands().contains(&spawn(1, 4)));
}

#[test]
fn while_the_successor_cannot_load_the_application_the_old_one_serves() {
    let mut pool = Pool::serving(COUNTED);
    pool.on(counted(&[(1, MAX)]));

    pool.refuses(3);
    pool.dies(3);

    assert_eq!(pool.arbiter.summary().ready, 2);
    assert_eq!(pool.on(counted(&[(1, MAX), (2, MAX)])), []);
}

#[test]
fn during_a_reload_and_a_stop_none_is_replaced_for_its_requests_or_age() {
    for order in [Order::Reload, Order::Stop] {
        let both = Wanted {
            max_requests: Some(MAX),
            ..AGING
        };
        let mut pool = Pool::serving(both);
        pool.order(order);

        pool.on(counted(&[(1, MAX)]));
        assert!(!pool.commands().contains(&spawn(1, 3)));
        pool.now += 5 * SECOND;
        assert_eq!(too_old(&pool), []);
    }
}

#[test]
fn a_worker_that_leaves_is_not_replaced_for_its_requests() {
    let mut pool = Pool::serving(COUNTED);
    pool.order(Order::OneWorkerFewer);
    assert!(pool.commands().contains(&retire(1)));

    assert_eq!(pool.on(counted(&[(1, MAX), (9, MAX)])), []);
}
