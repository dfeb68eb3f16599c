//! Waiting, stopping, and going on: no device is lost, and none is configured twice.

use std::time::Duration;

use crate::support::{Conduct, Ward, accepted, batch, codes, run_until};
use serde_json::Value;
use tokio::time::Instant;
use zmon_central_station::FaultCode;
use zmon_central_station::home::Home;
use zmon_domain::identity::DeviceId;

#[tokio::test]
async fn it_refuses_a_second_run_in_the_same_folder_and_sends_nothing_from_it() {
    let ward = Ward::with(&[Conduct::IsSlow]).await;
    let second = async {
        ward.first_is_reached().await;
        run_until(ward.root(), 1, std::future::pending()).await
    };
    let (first, second) = tokio::join!(batch(ward.root(), 1), second);
    let refusal = second.unwrap_err();
    assert_eq!(refusal.code, FaultCode::FileUnusable);
    assert!(
        refusal.detail().contains("another batch runs in this folder"),
        "{refusal}"
    );
    assert_eq!((first.0.provisioned, ward.counts()), (1, vec![1]));
    // The lock is gone with the run.
    assert_eq!(batch(ward.root(), 1).await.0.earlier, 1);
}

#[tokio::test]
async fn it_waits_as_long_as_a_monitor_asks_and_serves_the_others_meanwhile() {
    // Two places, both taken by monitors that have to wait.
    let ward = Ward::with(&[
        Conduct::IsBusyOnce,
        Conduct::IsBusyOnce,
        Conduct::IsInUseOnce,
        Conduct::Accepts,
    ])
    .await;
    let begun = Instant::now();
    let others = async {
        while ward.counts()[3] == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ward.counts()
    };
    let ((summary, outcomes), while_waiting) = tokio::join!(batch(ward.root(), 4), others);
    assert_eq!(summary.provisioned, 4, "{outcomes:?}");
    assert_eq!(while_waiting[..2], [1, 1], "the last monitor waited for the first ones");
    assert_eq!(ward.counts(), [2, 2, 2, 1]);
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
    for received in &ward.received {
        let bodies = received.lock().unwrap();
        assert!(
            bodies.iter().all(|body| *body == bodies[0]),
            "another body than the first"
        );
    }
    assert!(outcomes[0].elapsed_ms >= 3_000 && outcomes[3].elapsed_ms < outcomes[0].elapsed_ms);
}

#[tokio::test]
async fn it_ends_what_is_under_way_when_it_is_stopped_and_the_next_run_does_the_rest() {
    let conducts = [Conduct::IsSlow, Conduct::IsBusyOnce, Conduct::Accepts, Conduct::Accepts];
    let mut ward = Ward::with(&conducts).await;
    // Until the list is longer than the places and what may wait, the rest would have been begun.
    for index in conducts.len()..20 {
        let list = ward.path("fleet.csv");
        let text = std::fs::read_to_string(&list).unwrap();
        std::fs::write(&list, format!("{text}ZM-{index}.png,Bed {index}\n")).unwrap();
        let received = ward.monitor(index, Conduct::IsSlow).await;
        ward.received.push(received);
    }
    let (summary, outcomes) = run_until(ward.root(), 4, ward.first_is_reached()).await.unwrap();
    assert_eq!(outcomes.len(), 20, "each row has its outcome");
    assert!(outcomes[0].provisioned, "its push was under way");
    assert!(summary.not_begun >= 15, "{summary:?}");
    let reached: usize = ward.counts().iter().sum();
    assert!(reached <= 20 - summary.not_begun, "{:?}", ward.counts());
    let page = std::fs::read_to_string(ward.path("out/report.html")).unwrap();
    assert!(page.contains("The run was stopped"), "{page}");

    let (summary, outcomes) = batch(ward.root(), 4).await;
    assert_eq!((summary.provisioned, summary.not_begun), (20, 0), "{outcomes:?}");
    assert!(summary.earlier >= 1);
    for received in &ward.received {
        let bodies = received.lock().unwrap();
        assert!(
            bodies.iter().all(|body| *body == bodies[0]),
            "another body than the first"
        );
    }
}

#[tokio::test]
async fn it_takes_a_receipt_that_a_person_brought_for_a_lost_answer() {
    let ward = Ward::with(&[Conduct::LosesEveryAnswer, Conduct::LosesEveryAnswer]).await;
    let (_, outcomes) = batch(ward.root(), 1).await;
    assert_eq!(codes(&outcomes), ["AnswerLost", "AnswerLost"]);
    let device_id = DeviceId::parse("ZM-0").unwrap();
    let key = Home::open(&ward.path("home")).signing_key(&device_id).unwrap();
    let answer = accepted(
        &ward.path("out"),
        &device_id,
        &key,
        &ward.received[0].lock().unwrap()[0],
    );
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let receipt = answer["receipt"].as_str().unwrap();
    for brought in ["ZM-0", "ZM-1"] {
        std::fs::write(
            ward.path(&format!("out/receipts/{brought}.jws")),
            format!("{receipt}\n"),
        )
        .unwrap();
    }
    let (_, outcomes) = batch(ward.root(), 1).await;
    // It is the receipt of one of them alone.
    assert_eq!(codes(&outcomes), ["Provisioned", "AnswerLost"]);
    assert_eq!(ward.counts(), [1, 2]);
    assert!(!ward.path("out/bodies/ZM-0.jwe").exists() && ward.path("out/bodies/ZM-1.jwe").exists());
}

#[tokio::test]
async fn it_says_that_an_answer_was_lost_although_the_monitor_is_gone_since() {
    let ward = Ward::with(&[Conduct::LosesItsAnswerAndLeaves]).await;
    // In the same run, and in the next one, nobody listens any more.
    for attempts in [2, 1] {
        let (_, outcomes) = batch(ward.root(), attempts).await;
        assert_eq!(codes(&outcomes), ["AnswerLost"]);
        let detail = &outcomes[0].detail;
        assert!(
            detail.starts_with("Cannot connect") && detail.contains("receipts/ZM-0.jws"),
            "{detail}"
        );
        assert!(ward.path("out/bodies/ZM-0.jwe").exists());
    }
    assert_eq!(ward.counts(), [1]);
}

#[tokio::test]
async fn it_provisions_a_monitor_again_that_shows_a_new_code() {
    let mut ward = Ward::with(&[Conduct::Accepts]).await;
    assert_eq!(batch(ward.root(), 1).await.0.provisioned, 1);
    assert_eq!(batch(ward.root(), 1).await.0.earlier, 1);
    // Somebody has taken its configuration away and opened pairing again.
    let received = ward.monitor(0, Conduct::Accepts).await;
    ward.received.push(received);
    let (summary, _) = batch(ward.root(), 1).await;
    assert_eq!(
        (summary.provisioned, summary.earlier, ward.counts()),
        (1, 0, vec![1, 1])
    );
}

#[tokio::test]
async fn it_goes_on_after_a_line_that_could_not_be_written_whole() {
    let ward = Ward::with(&[Conduct::Accepts]).await;
    batch(ward.root(), 1).await;
    let journal = ward.path("out/journal.jsonl");
    let whole = std::fs::read_to_string(&journal).unwrap();
    for cut in [1, 10, whole.lines().last().unwrap().len()] {
        std::fs::write(&journal, &whole[..whole.len() - cut]).unwrap();
        assert_eq!(batch(ward.root(), 1).await.0.provisioned, 1, "cut by {cut}");
    }
    // Damage in the middle is nothing that a crash leaves behind.
    std::fs::write(&journal, whole.replacen("ZM-0", "ZM-\n", 1)).unwrap();
    let refusal = run_until(ward.root(), 1, std::future::pending()).await.unwrap_err();
    assert!(refusal.detail().contains("is damaged at byte 0"), "{refusal}");
}
