//! The arbiter in a world that goes wrong: thousands of random stories of
//! orders, deaths, slow and broken applications, and what must hold in all.
//!
//! The [`World`] carries out the actions as the loop and the kernel would, late
//! and in any order that can happen, and panics at an action that no loop should
//! ever be given. `World::check` looks at the whole after every event.

mod world;

use super::*;
use proptest::prelude::*;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use world::{App, SECOND, Settings, Step, World};

fn settings() -> impl Strategy<Value = Settings> {
    let timeout = prop_oneof![1 => Just(None), 3 => (1u64..8).prop_map(Some)];
    let boot = prop_oneof![1 => Just(None), 3 => (1u64..20).prop_map(Some)];
    (1u16..6, timeout, 0u64..8, boot, 0u16..4, any::<bool>()).prop_map(
        |(workers, timeout, graceful, boot, surge, preload)| Settings {
            wanted: Wanted {
                workers,
                timeout: timeout.map(Duration::from_secs),
                graceful_timeout: Duration::from_secs(graceful),
                boot_timeout: boot.map(Duration::from_secs),
                surge,
            },
            preload,
        },
    )
}

fn app() -> impl Strategy<Value = App> {
    prop_oneof![
        4 => (0u64..3000).prop_map(App::Loads),
        1 => Just(App::Refuses),
        1 => Just(App::DiesLoading),
        1 => Just(App::HangsLoading),
        1 => Just(App::DiesSoon),
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
        2 => (0usize..8).prop_map(Step::WorkerDies),
        1 => (0usize..8).prop_map(Step::WorkerHangs),
        1 => (0usize..3).prop_map(Step::ForkServerDies),
        1 => (0usize..3).prop_map(Step::ForkServerHangs),
        3 => app().prop_map(Step::Deploy),
        2 => prop::option::weighted(0.8, settings()).prop_map(Step::Configure),
        1 => any::<u32>().prop_map(Step::StaleNews),
    ]
}

fn last_order() -> impl Strategy<Value = Order> {
    prop_oneof![Just(Order::Stop), Just(Order::StopNow)]
}

/// Tells a story, and if it ends badly, how it went.
fn tell(
    settings: Settings,
    app: App,
    seed: u64,
    story: impl FnOnce(&mut World),
) -> Result<(), TestCaseError> {
    let mut world = World::new(settings, app, seed);
    let story = AssertUnwindSafe(|| story(&mut world));
    std::panic::catch_unwind(story).map_err(|_| TestCaseError::fail(world.story.join("\n")))
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
    fn after_any_disorder_the_pool_is_as_it_is_wanted_and_stops(
        first in settings(),
        last in settings(),
        app in app(),
        steps in prop::collection::vec(step(), 0..40),
        stop in last_order(),
        seed in any::<u64>(),
    ) {
        tell(first, app, seed, |world| {
            for step in &steps {
                world.step(step);
            }
            if world.said.last() != Some(&Announcement::Stopping) {
                world.calm_down(last);
            }
            if world.said.last() == Some(&Announcement::Stopping) {
                world.pass(60 * SECOND);
                assert!(world.exit.is_some_and(|status| status != 0));
            } else {
                world.check_at_rest(last.wanted);
                world.step(&Step::Order(stop));
                world.pass(60 * SECOND);
                assert_eq!(world.exit, Some(0));
            }
        })?;
    }

    #[test]
    fn a_stop_in_the_middle_of_anything_comes_to_an_end(
        first in settings(),
        app in app(),
        before in prop::collection::vec(step(), 0..20),
        stop in last_order(),
        after in prop::collection::vec(step(), 0..5),
        seed in any::<u64>(),
    ) {
        tell(first, app, seed, |world| {
            for step in &before {
                world.step(step);
            }
            world.step(&Step::Order(stop));
            for step in &after {
                world.step(step);
            }
            world.pass(60 * SECOND);

            assert!(world.exit.is_some());
        })?;
    }
}
