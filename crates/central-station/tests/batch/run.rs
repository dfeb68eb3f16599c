//! A whole list, and a second run of it.

use zmon_central_station::Station;
use zmon_central_station::batch::Progress;
use zmon_central_station::home::AnchorKind;
use zmon_central_station::push::comparison_value;
use zmon_domain::identity::DeviceId;
use zmon_domain::time::Timestamp;

use crate::support::{Conduct, Ward, batch, codes, monitor, run_telling};

#[tokio::test]
async fn it_provisions_a_list_and_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (home, out) = (folder.join("home"), folder.join("out"));
    let station = Station::create(&home, "Test CA", AnchorKind::Hmac).unwrap();
    let mut received = Vec::new();
    for (id, conduct) in [
        ("ZM-A", Conduct::Accepts),
        ("ZM-B", Conduct::LosesItsFirstAnswer),
        ("ZM-C", Conduct::IsBusyOnce),
        ("ZM-D", Conduct::Refuses),
        ("ZM-E", Conduct::Accepts),
    ] {
        received.push(monitor(&home, out.clone(), &folder.join(format!("{id}.png")), id, conduct).await);
    }
    let list = "picture,device_id,label\nZM-A.png,ZM-A,<b>Bed 1\nZM-B.png,,Bed 2\nZM-C.png,ZM-C,Bed 3\n\
                ZM-D.png,ZM-D,Bed 4\nZM-E.png,ZM-OTHER,Bed 5\n";
    std::fs::write(folder.join("fleet.csv"), list).unwrap();

    // A run that ends before the lost answer is asked for again keeps that body alone.
    let (summary, outcomes) = batch(folder, 1).await;
    assert_eq!((summary.provisioned, summary.failed), (1, 4), "{outcomes:?}");
    assert_eq!(
        codes(&outcomes),
        [
            "Provisioned",
            "AnswerLost",
            "RateLimited",
            "InvalidPairingCode",
            "OtherDevice"
        ]
    );
    assert!(out.join("bodies/ZM-B.jwe").is_file() && out.join("bodies/ZM-C.jwe").is_file());
    assert!(!out.join("bodies/ZM-A.jwe").exists() && !out.join("bodies/ZM-D.jwe").exists());
    assert!(
        received[4].lock().unwrap().is_empty(),
        "the wrong bed was sent something"
    );

    // The crash that cut the journal's last line short is survived too.
    let journal = out.join("journal.jsonl");
    let whole = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, format!("{whole}{{\"deviceId\":\"ZM")).unwrap();
    let (summary, outcomes) = batch(folder, 2).await;
    assert_eq!(
        (summary.provisioned, summary.earlier, summary.failed),
        (3, 1, 2),
        "{outcomes:?}"
    );
    let count = |index: usize| received[index].lock().unwrap().len();
    assert_eq!((count(0), count(1), count(2)), (1, 2, 2));
    for index in [1, 2] {
        let bodies = received[index].lock().unwrap();
        assert_eq!(bodies[0], bodies[1], "another body than the first");
    }
    assert_eq!(
        out.join("bodies").read_dir().unwrap().count(),
        0,
        "bodies of finished devices"
    );
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(
        page.contains("&lt;b&gt;Bed 1") && page.contains("<strong>3</strong> provisioned"),
        "{page}"
    );
    assert!(!page.contains("<b>") && !page.contains("<i>"), "{page}");
    let table = std::fs::read_to_string(out.join("report.csv")).unwrap();
    assert!(
        table.contains("'=D <i>") && table.contains("receipts/ZM-B.jws"),
        "{table}"
    );

    // A retired device is left alone.
    let device_id = DeviceId::parse("ZM-D").unwrap();
    station
        .retire(&device_id, Some("lost"), Timestamp::from_millis(1))
        .unwrap();
    let sent = count(3);
    let (_, outcomes) = batch(folder, 1).await;
    assert_eq!((outcomes[3].code.as_str(), count(3)), ("DeviceRetired", sent));
    assert!(station.derive(&device_id).is_err() && station.issue(&device_id).is_err());
    assert_eq!(station.retired().unwrap().len(), 1);
}

#[tokio::test]
async fn it_says_at_which_monitor_a_person_is_asked_and_what_to_compare() {
    let ward = Ward::with(&[Conduct::Accepts, Conduct::AsksAPerson]).await;
    let mut told = Vec::new();
    let tell = |progress: Progress<'_>| {
        told.push(match progress {
            Progress::Waits(waiting) => format!(
                "{} {} {} {}",
                waiting.line, waiting.device_id, waiting.label, waiting.comparison_value
            ),
            Progress::Ended(outcome) => format!("{} {}", outcome.device_id, outcome.code),
        });
    };
    let (_, outcomes) = run_telling(&ward.path(""), 1, std::future::pending(), tell)
        .await
        .unwrap();
    let value = |index: usize| comparison_value(&ward.received[index].lock().unwrap()[0]).to_string();
    let waits = format!("3 ZM-1 Bed 1 {}", value(1));
    assert_eq!(told, ["ZM-0 Provisioned", &waits, "ZM-1 Provisioned"]);
    let values: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.comparison_value.clone())
        .collect();
    assert_eq!(values, [value(0), value(1)]);
    let table = std::fs::read_to_string(ward.path("out/report.csv")).unwrap();
    assert!(
        table.lines().nth(2).unwrap().ends_with(&format!(",{}", value(1))),
        "{table}"
    );
}
