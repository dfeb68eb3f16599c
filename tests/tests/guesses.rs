//! A pairing code can be guessed once for each screen, and no answer says how near a guess was.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::collections::BTreeSet;

use serde_json::json;
use zmon_domain::audit::AuditEvent;
use zmon_domain::error::ErrorCode;
use zmon_domain::pairing::{MAX_RECEIVED_CODE, PAIRING_ALPHABET, PairingCode};
use zmon_domain::status::ProvisioningStatus as Status;
use zmon_ports::{Entropy, ProvisioningService};
use zmon_testkit::fakes::SeededEntropy;
use zmon_testkit::https_client::{HttpAnswer, HttpsClient};
use zmon_testkit::pki::NOW;
use zmon_tests::bench::{Bench, address, assert_refused, push};
use zmon_tests::device::LOOPBACK;
use zmon_tests::quick;

const GUESSERS: u64 = 2;
const GUESSES: u64 = 1_000_000;

/// Guesses at as many screens; gives how often the guess was right.
async fn guess(seed: u64, screens: u64) -> u64 {
    let device = quick::start(seed).await.unwrap();
    let guesser = SeededEntropy::new(!seed);
    let mut hits = 0;
    for screen in 0..screens {
        let qr = device
            .generate_provisioning_qr_code(&quick::device_id(), LOOPBACK)
            .await
            .unwrap();
        let (key, code) = (qr.fields().key, qr.fields().pairing_code.clone());
        let mut random = [0; 6];
        guesser.fill(&mut random).unwrap();
        let guess = PairingCode::from_random(&mut random);
        match device
            .apply_configuration(quick::body(&key, guess.expose()), &code, None)
            .await
        {
            Ok(_) => hits += 1,
            Err(refusal) => assert_eq!(refusal, ErrorCode::InvalidPairingCode.into()),
        }
        // Who would guess again does so too late, even rightly. Not at every screen: it is half of the work.
        if screen % 64 == 0 {
            let again = device
                .apply_configuration(quick::body(&key, code.expose()), &code, None)
                .await;
            assert_eq!(again.unwrap_err().code(), ErrorCode::NotPairing);
            assert_eq!(device.get_status().await.status, Status::ProvisioningFailed);
        }
    }
    hits
}

/// `threats.md`, row 1. Chance is seeded: the outcome is always the same.
#[test]
fn it_gives_a_million_guesses_no_hit() {
    let guessers = (0..GUESSERS).map(|seed| {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(guess(seed, GUESSES / GUESSERS))
        })
    });
    let guessers: Vec<_> = guessers.collect();
    let hits: u64 = guessers.into_iter().map(|guesser| guesser.join().unwrap()).sum();
    assert_eq!(hits, 0);
}

/// The control of the test above: with the code itself the same way leads in.
#[tokio::test]
async fn it_lets_the_code_itself_in() {
    let device = quick::start(1).await.unwrap();
    let qr = device
        .generate_provisioning_qr_code(&quick::device_id(), LOOPBACK)
        .await
        .unwrap();
    let code = qr.fields().pairing_code.clone();
    let body = quick::body(&qr.fields().key, &code.expose().to_lowercase());
    device.apply_configuration(body, &code, None).await.unwrap();
}

/// Everything that may be taken for the code and is not, up to the longest that a payload may bring.
fn wrong(code: &str) -> BTreeSet<String> {
    let mut wrong: BTreeSet<String> = [
        "",
        " ",
        "\0",
        "ABCDEF",
        "abcdef",
        "000000",
        "0O1I",
        "______",
        "\u{41a}\u{410}\u{410}",
        "监护仪监护仪",
        "🔑🔑🔑🔑🔑🔑",
    ]
    .map(Into::into)
    .into();
    // Each place wrong, all others right.
    for place in 0..code.len() {
        let mut other = code.as_bytes().to_vec();
        other[place] = *PAIRING_ALPHABET.iter().find(|letter| **letter != other[place]).unwrap();
        let other = String::from_utf8(other).unwrap();
        wrong.extend([other.to_lowercase(), other]);
        // Too short, from either end.
        wrong.extend([code[..place].to_owned(), code[place + 1..].to_owned()]);
    }
    wrong.extend([
        format!("{code} "),
        format!(" {code}"),
        format!("{code}\0"),
        format!("{code}\n"),
        format!("{code}A"),
        format!("{code}{code}"),
        format!("{}-{}", &code[..3], &code[3..]),
        code.chars().rev().collect(),
        // What looks like the code, or becomes it where Unicode is folded.
        code.chars()
            .map(|c| char::from_u32(c as u32 + 0xfee0).unwrap())
            .collect(),
        code.chars().flat_map(|c| [c, '\u{301}']).collect(),
        code.replacen('K', "\u{212a}", 1).replacen('S', "\u{17f}", 1) + "\u{200b}",
        format!("{code:\u{3000}<12}"),
        "A".repeat(MAX_RECEIVED_CODE),
        "é".repeat(MAX_RECEIVED_CODE / 2),
        format!("{code:A<MAX_RECEIVED_CODE$}"),
        format!("{code:\0<MAX_RECEIVED_CODE$}"),
    ]);
    wrong.remove(code);
    wrong.retain(|wrong| !wrong.eq_ignore_ascii_case(code));
    assert!(wrong.iter().all(|wrong| wrong.len() <= MAX_RECEIVED_CODE));
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_code_gets_one_identical_answer() {
    let mut bench = Bench::new().await;
    // With letters that Unicode has twice: K is also U+212A, S folds from U+017F.
    bench.blueprint.entropy.pairing_code = Some("KS7Y9Z".into());
    bench.restart().await;
    let mut answers = BTreeSet::new();
    let all = wrong("KS7Y9Z");
    assert!(all.len() > 40, "{}", all.len());
    for wrong in &all {
        let qr = bench.open().await;
        assert_eq!(qr.fields().pairing_code.expose(), "KS7Y9Z");
        let mut payload = bench.station.payload(qr.fields(), NOW);
        payload["pairingCode"] = json!(wrong);
        let body = bench.station.seal(qr.fields(), &payload);
        let to = address(&qr);
        let request = format!(
            "POST /provisioning/configure HTTP/1.1\r\nHost: {to}\r\nContent-Type: application/jose\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let client = HttpsClient::new(qr.fields().pin);
        let answer = client.raw(to, &[request.as_bytes(), &body].concat()).await.unwrap();
        answers.insert(answer);
        // A session of its own for the next one: this one is over, whatever the code was.
        assert_eq!(bench.status().await, Status::ProvisioningFailed, "{wrong:?}");
        assert_refused(&push(&qr, bench.body(&qr)).await, 409, ErrorCode::NotPairing);
    }
    // Status line, headers and body, to the byte. The device sends no date.
    assert_eq!(
        answers.len(),
        1,
        "{:?}",
        answers.iter().map(|a| String::from_utf8_lossy(a)).collect::<Vec<_>>()
    );
    let answer = HttpAnswer::parse(answers.first().unwrap()).unwrap();
    assert_refused(&answer, 403, ErrorCode::InvalidPairingCode);
    let mismatches = bench.stored().await.1;
    let mismatches = mismatches
        .iter()
        .filter(|event| **event == AuditEvent::PairingCodeMismatch);
    assert_eq!(mismatches.count(), all.len());
}

/// One more byte is a broken rule of the payload, told before any code is compared, and not repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_too_long_to_be_compared_is_not_echoed() {
    let bench = Bench::new().await;
    let qr = bench.open().await;
    let mut payload = bench.station.payload(qr.fields(), NOW);
    let long = format!("{}{}", qr.fields().pairing_code.expose(), "q".repeat(59));
    payload["pairingCode"] = json!(long);
    let answer = push(&qr, bench.station.seal(qr.fields(), &payload)).await;
    assert_refused(&answer, 422, ErrorCode::PayloadInvalid);
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.contains("pairingCode") && !text.contains("qqq"), "{text}");
}
