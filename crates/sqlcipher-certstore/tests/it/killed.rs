//! A process that changes keys, installs and erases is killed again and again, and the store is looked at each time.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use zmon_domain::audit::{AuditEntry, AuditEvent};
use zmon_domain::machine::Persisted;
use zmon_ports::ProvisioningStore as _;
use zmon_sqlcipher_certstore::{AuditVerdict, FileKeySource, SqlcipherStore};
use zmon_testkit::installation::installation;
use zmon_testkit::store::{seal_destruction, seal_with_head};

use crate::home::{AT, Home, LABEL};

/// Not a test but the process that is killed: it is started by the test below, with a directory on standard input, and
/// writes a line for each act that was acknowledged.
#[tokio::test]
#[ignore = "runs until it is killed"]
async fn a_life_without_end() {
    let mut directory = String::new();
    std::io::stdin().read_to_string(&mut directory).unwrap();
    let directory = PathBuf::from(directory);
    let keys = FileKeySource::new(directory.join("keys/database.key"));
    let store = SqlcipherStore::open(&directory.join("data/store.db"), &keys, AT)
        .await
        .unwrap();
    if matches!(store.load().await.unwrap().persisted, Persisted::Provisioned(_)) {
        store
            .erase(
                AT,
                &[AuditEntry::new(AuditEvent::Deprovisioned)],
                false,
                &seal_destruction,
            )
            .await
            .unwrap();
    }
    let (sample, entries) = installation(LABEL, true);
    let mut out = std::io::stdout();
    loop {
        let at = store.load().await.unwrap().audit.count;
        writeln!(out, "\nacknowledged {at}").unwrap();
        store.install(&sample, &entries, &seal_with_head).await.unwrap();
        writeln!(out, "acknowledged {}", at + 5).unwrap();
        store
            .rotate_key(AT, &[AuditEntry::new(AuditEvent::DatabaseKeyRotated)])
            .await
            .unwrap();
        writeln!(out, "acknowledged {}", at + 6).unwrap();
        store
            .erase(
                AT,
                &[AuditEntry::new(AuditEvent::Deprovisioned)],
                false,
                &seal_destruction,
            )
            .await
            .unwrap();
        writeln!(out, "acknowledged {}", at + 7).unwrap();
    }
}

#[tokio::test]
async fn it_is_as_before_or_as_after_wherever_the_process_is_killed() {
    const KILLS: u32 = 60;
    let home = Home::new();
    let (mut unfinished, mut keys, mut log) = (0, std::collections::HashSet::new(), 0);
    for kill in 0..KILLS {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::a_life_without_end", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let path = home.path().to_str().unwrap().to_owned();
        process.stdin.take().unwrap().write_all(path.as_bytes()).unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let acknowledged = |line: String| {
            line.strip_prefix("acknowledged ")
                .map(|count| count.parse::<u64>().unwrap())
        };
        let mut known = lines
            .by_ref()
            .find_map(|line| acknowledged(line.unwrap()))
            .expect("it begins");
        // Spread over the acts, which take some milliseconds each.
        std::thread::sleep(Duration::from_micros(u64::from(kill) * 611));
        process.kill().unwrap();
        process.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            known = acknowledged(line).unwrap_or(known);
        }
        let next = home.path().join("data/store.db-key-next");
        unfinished += usize::from(next.exists());
        log += usize::from(home.log().exists());

        let store = home.open().await;
        let state = store.load().await.unwrap();
        assert_eq!(
            store.verify_audit().await.unwrap(),
            AuditVerdict::Intact(state.audit),
            "kill {kill}"
        );
        assert!(state.audit.count >= known, "kill {kill}: an acknowledged act is lost");
        assert!(state.audit.count <= known + 5, "kill {kill}");
        let last = store.audit_records(state.audit.count, 1).await.unwrap().remove(0).event;
        let provisioned = matches!(state.persisted, Persisted::Provisioned(_));
        assert_eq!(store.credentials().await.unwrap().is_some(), provisioned);
        let installed = ["provisioning completed", "database key rotated"].contains(&last.as_str());
        assert_eq!(provisioned, installed, "kill {kill}: {last}");
        assert!(!next.exists());
        keys.insert(*home.database_key().expose());
        store.close().await;
    }
    println!(
        "{KILLS} kills: {log} left a log, {unfinished} an unfinished change of the key; {} keys",
        keys.len()
    );
    assert!(
        log > 0 && unfinished > 0 && keys.len() > 10,
        "{log} {unfinished} {}",
        keys.len()
    );
}
