//! The arbiter in a world where things go wrong: thousands of random sequences of
//! orders, crashes, slow and broken applications, and the invariants of all of them.
//!
//! The [`World`] carries out the actions as the loop and the kernel would, late
//! and in any order that can happen (`actions.rs`, `processes.rs`). The invariants
//! are checked after every event (`checks.rs`).

mod actions;
mod checks;
mod processes;
mod rng;
mod world;

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use world::{App, MAX, SECOND, Step, World};

fn settings() -> impl Strategy<Value = Wanted> {
    let timeout = prop_oneof![1 => Just(None), 3 => (1u64..8).prop_map(Some)];
    let boot = prop_oneof![1 => Just(None), 3 => (1u64..20).prop_map(Some)];
    let limits = (prop::option::of(Just(MAX)), prop::option::of(Just(MAX)));
    let machine = (0usize..4, any::<bool>(), limits);
    let stop = (0u64..8, prop_oneof![1 => Just(0), 1 => 1u64..8]);
    (1u16..6, timeout, stop, boot, 0u16..4, machine).prop_map(
        |(workers, timeout, (graceful, drain), boot, surge, machine)| Wanted {
            workers,
            timeout: timeout.map(Duration::from_secs),
            graceful_timeout: Duration::from_secs(graceful),
            drain_time: Duration::from_secs(drain),
            boot_timeout: boot.map(Duration::from_secs),
            surge,
            processors: machine.0,
            preload: machine.1,
            worker_memory_max: machine.2.0,
            max_requests: machine.2.1,
            max_requests_jitter: 0,
            max_worker_age: None,
        },
    )
}

fn app() -> impl Strategy<Value = App> {
    prop_oneof![
        4 => (0u64..3000).prop_map(App::Loads),
        1 => Just(App::Refuses),
        1 => Just(App::DiesLoading),
        1 => Just(App::HangsLoading),
        1 => (1u64..4000).prop_map(App::DiesReady),
        2 => (2u64..5).prop_map(App::Flaky),
        1 => Just(App::NoProcess),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u64..500).prop_map(Step::Pass),
        4 => (0u64..12_000).prop_map(Step::Pass),
        4 => Just(Step::Order(Order::Reload)),
        2 => Just(Step::Order(Order::OneWorkerMore)),
        2 => Just(Step::Order(Order::OneWorkerFewer)),
        1 => (0u16..8).prop_map(|workers| Step::Order(Order::Scale(workers))),
        1 => Just(Step::Order(Order::RetireAll)),
        2 => Just(Step::Order(Order::Upgrade)),
        2 => (0usize..8).prop_map(Step::Replace),
        2 => (0usize..8).prop_map(Step::WorkerGrows),
        2 => (0usize..8).prop_map(Step::WorkerAnswers),
        2 => Just(Step::MemoryPressure),
        2 => (0usize..8).prop_map(Step::WorkerDies),
        3 => (0usize..8).prop_map(Step::WorkerCrashes),
        1 => (0usize..8).prop_map(Step::WorkerHangs),
        1 => (0usize..3).prop_map(Step::ForkServerDies),
        1 => (0usize..3).prop_map(Step::ForkServerHangs),
        1 => (0usize..3).prop_map(Step::ForkServerClosesLink),
        3 => app().prop_map(Step::Deploy),
        2 => prop::option::weighted(0.8, settings()).prop_map(Step::Configure),
        1 => any::<u32>().prop_map(Step::StaleEvent),
    ]
}

fn last_order() -> impl Strategy<Value = Order> {
    prop_oneof![Just(Order::Stop), Just(Order::StopNow)]
}

/// Runs one simulation; if it fails, with all that happened in it.
fn simulate(
    wanted: Wanted,
    app: App,
    seed: u64,
    run: impl FnOnce(&mut World),
) -> Result<(), TestCaseError> {
    let mut world = World::new(wanted, app, seed);
    let run = AssertUnwindSafe(|| run(&mut world));
    std::panic::catch_unwind(run).map_err(|_| TestCaseError::fail(world.trace.join("\n")))
}

fn config() -> ProptestConfig {
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => ProptestConfig {
            cases: 512,
            ..config
        },
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn after_random_failures_the_pool_is_complete_again_and_stops(
        first in settings(),
        last in settings(),
        app in app(),
        steps in prop::collection::vec(step(), 0..40),
        stop in last_order(),
        seed in any::<u64>(),
    ) {
        simulate(first, app, seed, |world| {
            for step in &steps {
                world.step(step);
            }
            if world.announced.last() != Some(&Announcement::Stopping) {
                world.recover(last);
            }
            if world.announced.last() == Some(&Announcement::Stopping) {
                world.pass(70 * SECOND);
                assert!(world.exit.is_some_and(|status| status != 0));
            } else {
                world.check_complete(last);
                world.step(&Step::Order(stop));
                world.pass(70 * SECOND);
                assert_eq!(world.exit, Some(0));
            }
        })?;
    }

    #[test]
    fn workers_that_are_to_be_replaced_are(
        wanted in settings(),
        which in prop::collection::vec(0usize..8, 1..8),
        seed in any::<u64>(),
    ) {
        simulate(wanted, App::Loads(50), seed, |world| {
            world.pass(30 * SECOND);
            let old: BTreeSet<_> = (which.iter())
                .filter_map(|which| world.some_worker(*which))
                .collect();
            for which in which {
                world.step(&Step::Replace(which));
            }
            world.pass(60 * SECOND);

            let serving: BTreeSet<_> = world.serving().map(|(id, _)| id).collect();
            assert!(serving.is_disjoint(&old));
            assert_eq!(serving.len(), world.arbiter.summary().wanted);
        })?;
    }

    #[test]
    fn workers_that_are_too_large_are_replaced_one_at_a_time(
        wanted in settings(),
        seed in any::<u64>(),
    ) {
        let wanted = Wanted { worker_memory_max: Some(MAX), ..wanted };
        simulate(wanted, App::Loads(50), seed, |world| {
            world.pass(30 * SECOND);
            for which in 0..8 {
                world.step(&Step::WorkerGrows(which));
            }
            world.fewest_serving = usize::MAX;
            // Each check finds one of at most five, and a young one waits for its turn.
            world.pass(180 * SECOND);

            assert!(world.serving().all(|(_, one)| one.memory <= MAX));
            assert_eq!(world.serving().count(), world.arbiter.summary().wanted);
            assert!(world.fewest_serving >= usize::from(wanted.workers));
        })?;
    }

    #[test]
    fn workers_that_have_answered_enough_are_replaced_one_at_a_time(
        wanted in settings(),
        seed in any::<u64>(),
    ) {
        let wanted = Wanted { max_requests: Some(MAX), ..wanted };
        simulate(wanted, App::Loads(50), seed, |world| {
            world.pass(30 * SECOND);
            for which in 0..8 {
                world.step(&Step::WorkerAnswers(which));
            }
            let before = world.spawned;
            world.fewest_serving = usize::MAX;
            world.most_replaced = 0;
            world.pass(60 * SECOND);

            assert!(world.serving().all(|(_, one)| one.requests < MAX));
            assert_eq!(world.serving().count(), world.arbiter.summary().wanted);
            assert_eq!(world.spawned, before + usize::from(wanted.workers));
            assert!(world.fewest_serving >= usize::from(wanted.workers));
            assert!(world.most_replaced <= 1);
        })?;
    }

    #[test]
    fn workers_that_are_too_old_are_replaced_one_at_a_time(
        wanted in settings(),
        seconds in 30u64..60,
        seed in any::<u64>(),
    ) {
        let age = Duration::from_secs(seconds);
        let wanted = Wanted { max_worker_age: Some(age), worker_memory_max: None, ..wanted };
        simulate(wanted, App::Loads(50), seed, |world| {
            world.pass(20 * SECOND);
            let old: BTreeSet<_> = world.serving().map(|(id, _)| id).collect();
            let before = world.spawned;
            world.fewest_serving = usize::MAX;
            world.most_replaced = 0;
            world.pass(age + age / 10 + 10 * SECOND);

            let serving: BTreeSet<_> = world.serving().map(|(id, _)| id).collect();
            assert!(serving.is_disjoint(&old));
            // No more than twice each: they live for as long as they may.
            assert!(world.spawned <= before + 2 * usize::from(wanted.workers));
            assert!(world.fewest_serving >= usize::from(wanted.workers));
            assert!(world.most_replaced <= 1);
        })?;
    }

    #[test]
    fn a_pool_that_drains_serves_with_all_its_workers_until_the_drain_is_over(
        wanted in settings(),
        drain in 1u64..20,
        crashes in prop::collection::vec(0usize..8, 0..4),
        seed in any::<u64>(),
    ) {
        let drain_time = Duration::from_secs(drain);
        simulate(Wanted { drain_time, ..wanted }, App::Loads(50), seed, |world| {
            world.pass(30 * SECOND);
            let before = world.arbiter.summary().ready;
            world.step(&Step::Order(Order::Stop));
            let until = world.now + drain_time;
            for which in &crashes {
                world.crash(*which);
            }
            // The tick that is next may be late.
            world.pass(drain_time.saturating_sub(SECOND / 10));

            let summary = world.arbiter.summary();
            assert_eq!(summary.phase, Phase::Draining);
            let lost = crashes.len().min(before);
            assert!(summary.ready + lost >= before);
            assert_eq!(world.exit, None);
            world.pass(60 * SECOND);
            assert_eq!(world.exit, Some(0));
            assert!(world.now >= until);
        })?;
    }

    #[test]
    fn a_stop_at_any_moment_finishes(
        first in settings(),
        app in app(),
        before in prop::collection::vec(step(), 0..20),
        stop in last_order(),
        after in prop::collection::vec(step(), 0..5),
        seed in any::<u64>(),
    ) {
        simulate(first, app, seed, |world| {
            for step in &before {
                world.step(step);
            }
            world.step(&Step::Order(stop));
            for step in &after {
                world.step(step);
            }
            world.pass(70 * SECOND);

            assert!(world.exit.is_some());
        })?;
    }
}

proptest! {
    // These take longer, and have fewer cases to try.
    #![proptest_config(ProptestConfig { cases: (config().cases / 32).max(1), ..config() })]

    #[test]
    fn when_memory_is_short_every_worker_collects_and_none_is_lost(
        wanted in settings(),
        seconds in 1u64..20,
        seed in any::<u64>(),
    ) {
        let wanted = Wanted { worker_memory_max: None, ..wanted };
        simulate(wanted, App::Loads(50), seed, |world| {
            world.pass(700 * SECOND);
            let (before, spawned) = (world.serving().count(), world.spawned);
            world.fewest_serving = usize::MAX;
            for _ in 0..600 / seconds {
                world.step(&Step::MemoryPressure);
                world.pass(SECOND * u32::try_from(seconds).unwrap());
            }
            world.pass(60 * SECOND);

            assert!(world.serving().all(|(_, one)| one.collections > 0));
            assert!(world.fewest_serving >= before);
            // The largest of those that are old is replaced, at most one in a minute.
            assert!(world.spawned > spawned, "{}", world.spawned);
            assert!(world.spawned <= spawned + 12, "{}", world.spawned);
        })?;
    }

    #[test]
    fn a_limit_below_what_each_worker_needs_does_not_replace_them_in_a_hot_loop(
        workers in 1u16..6,
        loads_ms in 0u64..100,
        seed in any::<u64>(),
    ) {
        let wanted = Wanted { worker_memory_max: Some(MAX), ..pool_of(workers) };
        simulate(wanted, App::Loads(loads_ms), seed, |world| {
            world.memory_when_forked = MAX + 1;
            world.pass(600 * SECOND);

            // A young one after each pause, and each of the others once a minute.
            assert!(world.spawned <= usize::from(workers) * 11 + 15, "{}", world.spawned);
        })?;
    }

    #[test]
    fn a_crash_every_half_second_never_leaves_the_pool_without_a_worker(
        workers in 2u16..6,
        loads_ms in 0u64..100,
        preload in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let wanted = Wanted { preload, ..pool_of(workers) };
        simulate(wanted, App::Loads(loads_ms), seed, |world| {
            world.pass(20 * SECOND);
            world.fewest_serving = usize::MAX;
            for number in 0..40 {
                world.crash(number);
                world.pass(SECOND / 2);
            }
            assert!(world.fewest_serving >= usize::from(workers) - 1);
        })?;
    }

    #[test]
    fn workers_that_die_as_soon_as_they_are_ready_are_not_forked_in_a_hot_loop(
        workers in 1u16..6,
        within_ms in 1u64..50,
        preload in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let wanted = Wanted { preload, ..pool_of(workers) };
        simulate(wanted, App::DiesReady(within_ms), seed, |world| {
            world.pass(20 * SECOND);

            // Ten at once, then four in a second.
            assert!(world.spawned <= usize::from(workers) + 10 + 4 * 20 + 1);
        })?;
    }

    #[test]
    fn a_start_boots_one_worker_and_then_one_on_each_processor(
        workers in 1u16..20,
        processors in 1usize..8,
        loads_ms in 0u64..100,
        preload in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let wanted = Wanted { processors, preload, ..pool_of(workers) };
        let most = if preload { 32 } else { processors };
        simulate(wanted, App::Loads(loads_ms), seed, |world| {
            let mut began = false;
            while world.announced.is_empty() {
                world.pass(SECOND / 1000);
                let booting = world.starting(GenerationId(1));
                began |= booting > 0;
                let left = usize::from(workers) - world.serving().count();
                let expected = match world.serving().count() {
                    0 => usize::from(began),
                    _ => most.min(left),
                };
                // An order that did not get through is given again a little later.
                let is_deferred = world.deferred_until.is_some_and(|until| world.now <= until);
                assert!(booting == expected || is_deferred, "{booting}, not {expected}");
            }
            assert_eq!(world.serving().count(), usize::from(workers));
        })?;
    }

    #[test]
    fn an_event_about_a_worker_that_is_gone_changes_nothing(seed in any::<u64>()) {
        let wanted = Wanted {
            processors: 1,
            timeout: Some(30 * SECOND),
            ..pool_of(1)
        };
        simulate(wanted, App::Loads(0), seed, |world| {
            world.pass(SECOND);
            world.step(&Step::Deploy(App::Loads(237)));
            world.step(&Step::Order(Order::OneWorkerMore));
            world.step(&Step::WorkerDies(0));
            world.pass(SECOND / 10);
            // One more than there are processors: the successor of the lost one does
            // not count.
            let before = world.arbiter.summary();
            assert_eq!((before.ready, before.starting), (0, 2));

            for which in 0..15 {
                world.step(&Step::StaleEvent(which));
                assert_eq!(world.arbiter.summary(), before);
            }
        })?;
    }

    #[test]
    fn hundreds_of_workers_are_started_however_small_the_link_is(
        workers in 33u16..300,
        processors in prop_oneof![1usize..8, 33usize..300],
        preload in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let wanted = Wanted { processors, preload, ..pool_of(workers) };
        simulate(wanted, App::Loads(5), seed, |world| {
            world.pass(60 * SECOND);

            world.check_complete(wanted);
        })?;
    }
}

fn pool_of(workers: u16) -> Wanted {
    Wanted {
        workers,
        timeout: None,
        graceful_timeout: 5 * SECOND,
        drain_time: Duration::ZERO,
        boot_timeout: Some(20 * SECOND),
        surge: 1,
        processors: 2,
        preload: false,
        worker_memory_max: None,
        max_requests: None,
        max_requests_jitter: 0,
        max_worker_age: None,
    }
}
