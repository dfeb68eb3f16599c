//! Whether the time of a comparison tells anything about the pairing code: `cargo bench -p zmon-domain`.
//!
//! Each line compares two classes of received codes by Welch's t-test (dudect). Up to 5 no difference was found; the first
//! line is the control, a comparison that stops at the first difference: its `max t` has to be far above that, or this
//! machine is too noisy for any of the lines to mean something.
//!
//! No test of the gate: a verdict by stopwatch would depend on who else uses the machine.
#![expect(clippy::expect_used, reason = "a benchmark fails loudly")]

use std::hint::black_box;

use dudect_bencher::ctbench::{BenchMetadata, BenchName, BenchOpts, run_benches_console};
use dudect_bencher::rand::RngExt;
use dudect_bencher::{BenchRng, Class, CtRunner};
use zmon_domain::pairing::{MAX_RECEIVED_CODE, PAIRING_ALPHABET, PairingCode};

const CODE: &str = "X7Y9Z2";
/// Measurements of one line.
const SAMPLES: usize = 200_000;
/// Comparisons in one measurement, so that it is long against the clock's own time.
const TIMES: usize = 16;

fn main() {
    let bench = |name, benchfn| BenchMetadata {
        name: BenchName(name),
        seed: Some(1),
        benchfn,
    };
    let lines = vec![
        bench("control_that_must_leak", control as fn(&mut CtRunner, &mut BenchRng)),
        bench("first_or_last_letter_wrong", first_or_last),
        bench("right_or_wrong", right_or_wrong),
        bench("upper_or_lower_case", upper_or_lower),
        bench("empty_or_longest", empty_or_longest),
    ];
    run_benches_console(BenchOpts::default(), lines).expect("a terminal or a pipe to write to");
}

fn control(runner: &mut CtRunner, rng: &mut BenchRng) {
    measure(runner, rng, first_wrong, last_wrong, |received| {
        let stops_early = |(ours, theirs): (u8, u8)| black_box(ours) == black_box(theirs).to_ascii_uppercase();
        CODE.bytes().zip(received.bytes()).all(stops_early)
    });
}

fn first_or_last(runner: &mut CtRunner, rng: &mut BenchRng) {
    compare(runner, rng, first_wrong, last_wrong);
}

fn right_or_wrong(runner: &mut CtRunner, rng: &mut BenchRng) {
    compare(runner, rng, |_| CODE.into(), any_code);
}

fn upper_or_lower(runner: &mut CtRunner, rng: &mut BenchRng) {
    compare(runner, rng, |_| CODE.into(), |_| CODE.to_lowercase());
}

fn empty_or_longest(runner: &mut CtRunner, rng: &mut BenchRng) {
    compare(runner, rng, |_| String::new(), |_| "A".repeat(MAX_RECEIVED_CODE));
}

fn compare(
    runner: &mut CtRunner,
    rng: &mut BenchRng,
    left: impl Fn(&mut BenchRng) -> String,
    right: impl Fn(&mut BenchRng) -> String,
) {
    let code = PairingCode::parse(CODE).expect("a code");
    measure(runner, rng, left, right, |received| black_box(&code).matches(received));
}

fn measure(
    runner: &mut CtRunner,
    rng: &mut BenchRng,
    left: impl Fn(&mut BenchRng) -> String,
    right: impl Fn(&mut BenchRng) -> String,
    compare: impl Fn(&str) -> bool,
) {
    // Made before, in any order, and all with the same room: only the comparison differs in time.
    let inputs: Vec<(Class, String)> = (0..SAMPLES)
        .map(|_| {
            let (class, text) = if rng.random() {
                (Class::Left, left(rng))
            } else {
                (Class::Right, right(rng))
            };
            let mut roomy = String::with_capacity(MAX_RECEIVED_CODE);
            roomy.push_str(&text);
            (class, roomy)
        })
        .collect();
    for (class, received) in inputs {
        runner.run_one(class, || (0..TIMES).filter(|_| compare(black_box(&received))).count());
    }
}

/// Right but for its first letter.
fn first_wrong(rng: &mut BenchRng) -> String {
    format!("{}{}", other_than('X', rng), &CODE[1..])
}

/// Right but for its last letter.
fn last_wrong(rng: &mut BenchRng) -> String {
    format!("{}{}", &CODE[..5], other_than('2', rng))
}

fn other_than(letter: char, rng: &mut BenchRng) -> char {
    loop {
        let other = char::from(PAIRING_ALPHABET[rng.random_range(0..PAIRING_ALPHABET.len())]);
        if other != letter {
            return other;
        }
    }
}

fn any_code(rng: &mut BenchRng) -> String {
    PairingCode::from_random(&mut rng.random()).expose().into()
}
