//! The bitmap against the plain form: a list of truth values.

use drbd::core::bitmap::Bitmap;
use drbd::ids::Blocks;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

#[derive(Clone, Debug)]
enum Op {
    Set(u64, u32),
    Clear(u64, u32),
    Fill,
    Reset,
    Merge(Vec<u64>),
}

fn op(bits: u64) -> impl Strategy<Value = Op> {
    let run = || (0..bits + 70, prop_oneof![Just(1u32), 1..70u32, Just(64), 100..400u32]);
    prop_oneof![
        6 => run().prop_map(|(start, count)| Op::Set(start, count)),
        6 => run().prop_map(|(start, count)| Op::Clear(start, count)),
        1 => Just(Op::Fill),
        1 => Just(Op::Reset),
        2 => vec(any::<u64>(), 0..8).prop_map(Op::Merge),
    ]
}

/// Does it to the plain form; how many values changed.
fn plainly(plain: &mut [bool], op: &Op) -> u64 {
    let before = plain.to_vec();
    let range = |start: u64, count: u32| {
        let end = (start + u64::from(count)).min(before.len() as u64);
        start.min(end) as usize..end as usize
    };
    match op {
        Op::Set(start, count) => plain[range(*start, *count)].fill(true),
        Op::Clear(start, count) => plain[range(*start, *count)].fill(false),
        Op::Fill => plain.fill(true),
        Op::Reset => plain.fill(false),
        Op::Merge(words) => {
            for (i, value) in plain.iter_mut().enumerate() {
                *value |= words.get(i / 64).is_some_and(|word| word & (1 << (i % 64)) != 0);
            }
        }
    }
    plain.iter().zip(&before).filter(|(now, then)| now != then).count() as u64
}

fn same(bitmap: &Bitmap, plain: &[bool]) {
    let bits = plain.len() as u64;
    assert_eq!(bitmap.weight(), plain.iter().filter(|set| **set).count() as u64);
    let next = |from: u64| (from..bits).find(|block| plain[*block as usize]);
    for block in 0..bits + 3 {
        assert_eq!(bitmap.is_set(block), block < bits && plain[block as usize], "{block}");
        assert_eq!(bitmap.next_set(block), next(block), "next from {block}");
    }
    for (start, count) in [(0, 1), (5, 60), (63, 2), (64, 64), (1, 300)] {
        let any = (start..start + u64::from(count)).any(|b| b < bits && plain[b as usize]);
        assert_eq!(bitmap.any(Blocks::new(start, count)), any, "{start} {count}");
    }
    // On disk: groups of 32 bits; on the wire: words of 64, of which a copy is made whole.
    let group = |index: u64| {
        let set = |i: &u64| plain.get((index * 32 + i) as usize).is_some_and(|set| *set);
        (0..32).filter(set).fold(0u32, |sum, i| sum | 1 << i)
    };
    for index in 0..bits / 32 + 2 {
        assert_eq!(bitmap.group(index), group(index), "group {index}");
    }
    let mut copy = Bitmap::new(bits);
    copy.merge(&bitmap.words());
    assert_eq!(copy, *bitmap);
}

/// Goal: whatever is done to a bitmap, it says what the plain form says. Method: random operations,
/// sizes that end in the middle of a word and at its end.
#[test]
fn the_bitmap_says_what_the_plain_form_says() {
    let config =
        Config { cases: 400, failure_persistence: None, source_file: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let sizes = prop_oneof![1..3u64, 30..35u64, 60..70u64, Just(128), 120..200u64];
    let strategy = sizes.prop_flat_map(|bits| (Just(bits), vec(op(bits), 1..25)));
    let result = TestRunner::new_with_rng(config, rng).run(&strategy, |(bits, ops)| {
        let (mut bitmap, mut plain) = (Bitmap::new(bits), vec![false; bits as usize]);
        for op in &ops {
            let changed = plainly(&mut plain, op);
            let told = match op {
                Op::Set(start, count) => bitmap.set(Blocks::new(*start, *count)),
                Op::Clear(start, count) => bitmap.clear(Blocks::new(*start, *count)),
                Op::Fill => {
                    bitmap.fill();
                    changed
                }
                Op::Reset => {
                    bitmap.reset();
                    changed
                }
                Op::Merge(words) => {
                    bitmap.merge(words);
                    changed
                }
            };
            assert_eq!(told, changed, "{op:?}");
            same(&bitmap, &plain);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
