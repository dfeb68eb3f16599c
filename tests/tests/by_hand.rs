//! A sealed payload that is carried to the monitor on a stick: the two real programs, no push.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::fs::{self, File};
use std::process::{Command, Stdio};

use serde_json::Value;
use zmon_tests::programs::{DEVICE, Programs, run, said};

const SETTINGS: [&str; 4] = ["--server-url", "https://central.example.org", "--label", "Bed 7"];

/// Exit code, standard output, standard error.
fn ended(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn status(programs: &Programs) -> String {
    let status: Value = serde_json::from_str(&said(programs.device().args(["status", "--json"]))).unwrap();
    status["status"].as_str().unwrap().to_owned()
}

/// Opens pairing and seals a body for it into the file `name`.
fn seal(programs: &Programs, name: &str) -> Value {
    let png = programs.at(&format!("{name}.png"));
    run(programs.device().args(["pair", "--no-wait", "--png"]).arg(&png));
    let mut command = programs.station();
    command
        .arg("seal")
        .arg(&png)
        .args(SETTINGS)
        .arg("--out")
        .arg(programs.at(name));
    let certificate = programs.at(&format!("{name}.pem"));
    command.arg("--save-certificate").arg(certificate).arg("--json");
    serde_json::from_str(&said(&mut command)).unwrap()
}

fn apply(programs: &Programs, name: &str) -> Command {
    let mut command = programs.device();
    command.arg("apply").arg(programs.at(name));
    command
}

#[test]
fn it_installs_what_was_carried_by_hand_and_the_station_verifies_the_receipt() {
    let programs = Programs::commissioned();
    let _service = programs.serve();
    let sealed = seal(&programs, "body");
    assert_eq!(sealed["deviceId"], DEVICE);
    assert_eq!(sealed["comparisonValue"].as_str().unwrap().len(), 4, "{sealed}");
    let receipt = programs.at("receipt");
    let text = said(apply(&programs, "body").arg("--receipt").arg(&receipt));
    assert!(text.contains("PROVISIONED") && text.contains("receipt is in"), "{text}");
    assert_eq!(status(&programs), "PROVISIONED");
    let shown = said(programs.device().args(["config", "show"]));
    assert!(shown.contains("labelled Bed 7"), "{shown}");

    let mut verify = programs.station();
    verify.arg("verify-receipt").arg(&receipt).args(["--device-id", DEVICE]);
    verify.arg("--body").arg(programs.at("body"));
    verify.arg("--certificate").arg(programs.at("body.pem"));
    let (code, text, errors) = ended(&mut verify);
    assert_eq!(code, 0, "{text}{errors}");

    // The same body again, from standard input: the same receipt.
    let mut again = programs.device();
    again.args(["apply", "-", "--json"]);
    again.stdin(Stdio::from(File::open(programs.at("body")).unwrap()));
    let answer: Value = serde_json::from_str(&said(&mut again)).unwrap();
    assert_eq!(answer["receipt"], fs::read_to_string(&receipt).unwrap().trim());
    let (code, _, errors) = ended(apply(&programs, "body").arg("--receipt").arg(&receipt));
    assert_eq!(code, 1);
    assert!(errors.contains("Nothing was installed"), "{errors}");
    // Nothing of the session is left when it is over: another body is refused.
    fs::write(programs.at("other"), "e30.a.b.c.d").unwrap();
    let (code, _, errors) = ended(&mut apply(&programs, "other"));
    assert_eq!(code, 1);
    assert!(errors.contains("AlreadyProvisioned: "), "{errors}");
}

#[test]
fn it_refuses_what_is_no_payload_or_not_for_this_session_and_pairing_goes_on() {
    let programs = Programs::commissioned();
    let _service = programs.serve();
    fs::write(programs.at("jwe"), "e30.a.b.c.d\n").unwrap();
    let (code, _, errors) = ended(&mut apply(&programs, "jwe"));
    assert_eq!(code, 1);
    assert!(errors.contains("NotPairing: ") && errors.contains("next: "), "{errors}");

    seal(&programs, "first");
    seal(&programs, "second");
    fs::write(programs.at("large"), vec![b'x'; 64 * 1024 + 1]).unwrap();
    let wrong = [
        ("second.png", "is no sealed payload: it is larger than 64 KiB"),
        ("first.pem", "is no sealed payload: it is not the text of a JWE"),
        ("large", "is no sealed payload: it is larger than 64 KiB"),
        ("missing", "cannot be read: "),
        ("jwe", "EnvelopeInvalid: "),
        ("first", "EnvelopeInvalid: "),
    ];
    let png = fs::metadata(programs.at("second.png")).unwrap().len();
    for (name, why) in wrong {
        let why = if name == "second.png" && png <= 64 * 1024 {
            "is no sealed payload: "
        } else {
            why
        };
        let receipt = programs.at("receipt");
        let (code, text, errors) = ended(apply(&programs, name).arg("--receipt").arg(&receipt));
        assert_eq!((code, text.as_str()), (1, ""), "{name}");
        assert!(errors.contains(why), "{name}: {errors}");
        assert!(!receipt.exists(), "{name}: no empty file is left");
        assert_eq!(status(&programs), "READY_TO_PAIR", "{name}");
    }
    let (code, _, errors) = ended(apply(&programs, "first").arg("--json"));
    assert_eq!(code, 1);
    let problem: Value = serde_json::from_str(&errors).unwrap();
    assert_eq!(
        (&problem["code"], &problem["exitCode"]),
        (&"EnvelopeInvalid".into(), &1.into()),
        "{problem}"
    );
    run(&mut apply(&programs, "second"));
    assert_eq!(status(&programs), "PROVISIONED");
}
