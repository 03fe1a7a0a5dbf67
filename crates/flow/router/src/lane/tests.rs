//! Tests of the lane against a model world, and examples of each policy.
//!
//! Not here: the world (`tests/world`), the lane's own maps (`tests/inspect`), the examples (`tests/examples`).

mod examples;
mod inspect;
mod world;

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::lane::tests::world::{Dice, Setting, World};

/// Worlds that proptest draws, and shrinks where one fails.
const CASES: u32 = 256;
/// Most steps of each.
const CASE_STEPS: usize = 250;
/// Worlds of the long run.
const WORLDS: u64 = 250;
/// Steps of each.
const STEPS: u64 = 300;

#[test]
fn no_key_is_out_of_order_and_nothing_is_lost() {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) };
    let drawn = (any::<u64>(), proptest::collection::vec(any::<u32>(), 0..CASE_STEPS));
    let (cases, steps) = (Cell::new(0), Cell::new(0));
    let result = TestRunner::new(config).run(&drawn, |(seed, numbers)| {
        let mut world = World::new(Setting::drawn(seed));
        numbers.iter().for_each(|number| world.step(*number));
        world.drain();
        cases.set(cases.get() + 1);
        steps.set(steps.get() + world.steps);
        Ok(())
    });
    println!("{} cases, {} steps", cases.get(), steps.get());
    result.unwrap();
    assert_eq!(cases.get(), CASES);
}

#[test]
fn long_lives_of_many_worlds() {
    let (mut steps, mut crashes, mut letters, mut longest) = (0, 0, 0, 0);
    for seed in 0..WORLDS {
        let mut dice = Dice(!seed);
        let mut world = World::new(Setting::drawn(seed));
        for _ in 0..STEPS {
            world.step(u32::try_from(dice.next() >> 32).unwrap());
        }
        world.drain();
        steps += world.steps;
        crashes += world.crashes;
        letters += world.letters;
        longest = longest.max(world.longest);
    }
    println!(
        "{WORLDS} worlds, {steps} steps, {crashes} crashes, {letters} dead letters, {longest} records at most"
    );
    let is_lively = crashes > WORLDS && letters > WORLDS && longest > 2 * super::ITEMS_MAX;
    assert!(is_lively, "the worlds are too quiet to show anything");
}
