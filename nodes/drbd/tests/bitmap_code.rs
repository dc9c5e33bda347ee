//! Bitmaps on the wire: published vectors, every way that random bitmaps are cut, and input that no
//! sender makes.

use drbd::bitmap_code::{Piece, Receiver, Sender, code_of};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Headers of 8 and 16 bytes.
const HEADERS: [usize; 2] = [8, 16];

fn pieces(words: &[u64], bits: u64, compress: bool) -> Vec<Piece> {
    Sender::new(words, bits, 16, compress).collect()
}

fn hex(piece: &Piece) -> String {
    let Piece::Compressed { encoding, code } = piece else { panic!("{piece:?}") };
    [*encoding].iter().chain(code).map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn published_vectors() {
    let codes: [(u64, u64, u32); 12] = [
        (1, 0x0, 2),
        (2, 0x2, 2),
        (3, 0x1, 3),
        (4, 0x5, 3),
        (5, 0x3, 5),
        (8, 0x1b, 5),
        (9, 0x7, 7),
        (16, 0x77, 7),
        (17, 0xf, 10),
        (48, 0x3ef, 10),
        (304, 0x3fdf, 14),
        (305, 0x3f, 21),
    ];
    for (length, code, bits) in codes {
        assert_eq!(code_of(length), Some((code, bits)), "{length}");
    }
    assert_eq!(code_of(0), None);
    // The last level: longer than any bitmap.
    assert_eq!(code_of(0x4_0020_2130).map(|(_, bits)| bits), Some(42));
    assert_eq!(code_of(0x4_0020_2131), Some((0xff, 64)));

    let set = vec![u64::MAX; 512];
    assert_eq!(pieces(&set, 32_768, true).iter().map(hex).collect::<Vec<_>>(), ["b27fcf5e00"]);
    let clear = vec![0; 512];
    assert_eq!(pieces(&clear, 32_768, true).iter().map(hex).collect::<Vec<_>>(), ["327fcf5e00"]);
    let runs = [0b111 << 16];
    assert_eq!(pieces(&runs, 64, true).iter().map(hex).collect::<Vec<_>>(), ["42f73c0e"]);
}

/// Plain words come in whole packets, and an empty one says that they were all; so it does alone
/// where there are no bits.
#[test]
fn plain_words_are_ended_by_an_empty_packet() {
    let lengths = |header: usize, bits: u64| -> Vec<usize> {
        let words = vec![0x5555_5555_5555_5555; bits.div_ceil(64) as usize];
        let all = Sender::new(&words, bits, header, true);
        let plain = all.map(|piece| match piece {
            Piece::Plain(bytes) => bytes.len(),
            Piece::Compressed { .. } => panic!("no run is longer than a bit"),
        });
        plain.collect()
    };
    assert_eq!(lengths(16, 64 * 600), [4080, 90 * 8, 0]);
    assert_eq!(lengths(8, 64 * 600), [4088, 89 * 8, 0]);
    assert_eq!(lengths(16, 64 * 510), [4080, 0]);
    assert_eq!(lengths(16, 0), [0]);
}

fn there_and_back(words: &[u64], bits: u64, header: usize, compress: bool) -> (usize, usize) {
    let mut receiver = Receiver::new(bits, header);
    let (mut plain, mut compressed, mut last) = (0, 0, false);
    for piece in Sender::new(words, bits, header, compress) {
        assert!(!last, "more behind the last one");
        let size = match &piece {
            Piece::Plain(bytes) => bytes.len(),
            Piece::Compressed { code, .. } => 1 + code.len(),
        };
        assert!(size + header <= 4096, "{size}");
        match &piece {
            Piece::Plain(_) => plain += 1,
            Piece::Compressed { .. } => compressed += 1,
        }
        last = receiver.take(&piece).expect("sound");
    }
    assert!(last, "no end");
    let mut wanted: Vec<u64> = words[..bits.div_ceil(64) as usize].to_vec();
    if let (Some(word), tail @ 1..) = (wanted.last_mut(), bits % 64) {
        *word &= (1 << tail) - 1;
    }
    assert_eq!(receiver.words(), wanted);
    (plain, compressed)
}

/// Words of a bitmap: long runs, noise, and single bits in turn.
fn words() -> impl Strategy<Value = Vec<u64>> {
    let stretch = prop_oneof![
        (1..700usize).prop_map(|count| vec![0; count]),
        (1..700usize).prop_map(|count| vec![u64::MAX; count]),
        vec(any::<u64>(), 1..700),
        (1..700usize, 0..64u32).prop_map(|(count, bit)| vec![1 << bit; count]),
    ];
    vec(stretch, 1..6).prop_map(|all| all.concat())
}

/// Cases by luck of their own, the same each time.
fn each<S: Strategy>(strategy: S, test: impl Fn(S::Value)) {
    let config =
        Config { cases: 400, failure_persistence: None, source_file: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[9; 32]);
    let result = TestRunner::new_with_rng(config, rng).run(&strategy, |value| {
        test(value);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn what_is_sent_arrives() {
    each((words(), 0..64u64, 0..2usize, any::<bool>()), |(words, cut, which, rle)| {
        let bits = words.len() as u64 * 64 - cut;
        there_and_back(&words, bits, HEADERS[which], rle);
    });
}

#[test]
fn no_input_sets_a_bit_behind_the_end() {
    let input = vec((any::<bool>(), any::<u8>(), vec(any::<u8>(), 0..600)), 1..4);
    each((0..5_000u64, input), |(bits, input)| {
        let mut receiver = Receiver::new(bits, 16);
        for (plain, encoding, bytes) in input {
            let piece = match plain {
                true => Piece::Plain(bytes),
                false => Piece::Compressed { encoding: encoding & 0xf0 | 2, code: bytes },
            };
            if receiver.take(&piece).is_err() {
                break;
            }
        }
        assert_eq!(receiver.words().len() as u64, bits.div_ceil(64));
        if let (Some(last), tail @ 1..) = (receiver.words().last(), bits % 64) {
            assert_eq!(last >> tail, 0);
        }
    });
}

/// Goal: a bitmap may change from one form to the other at any bit: plain words begin with the word
/// that the last run ended in.
#[test]
fn forms_change_at_any_bit() {
    for edge in 0..200u64 {
        let mut words = vec![0u64; 5_000];
        // One long run, then single bits, then one long run.
        for bit in (20_000 + edge..200_000).step_by(2) {
            words[(bit / 64) as usize] |= 1 << (bit % 64);
        }
        let (plain, compressed) = there_and_back(&words, 320_000 - edge, 16, true);
        assert!(plain > 1 && compressed > 1, "{plain} {compressed}");
    }
}

#[test]
fn malformed_pieces_are_refused() {
    let refused = |bits: u64, piece: Piece| Receiver::new(bits, 16).take(&piece).unwrap_err().0;
    let code = |encoding, code: &[u8]| Piece::Compressed { encoding, code: code.to_vec() };
    assert_eq!(refused(64, Piece::Plain(vec![0; 7])), "the length of plain words");
    assert_eq!(refused(64, Piece::Plain(Vec::new())), "the length of plain words");
    assert_eq!(refused(64, code(0x01, &[0])), "the encoding");
    assert_eq!(refused(64, code(0x12, &[])), "the pad bits");
    assert_eq!(refused(64, code(0x72, &[0xff])), "a code that is cut off");
    // 305 set bits, or clear ones, in a bitmap of 64.
    assert_eq!(refused(64, code(0xb2, &[0x3f, 0, 0])), "a run behind the end");
    assert_eq!(refused(64, code(0x32, &[0x3f, 0, 0])), "a run behind the end");
}
