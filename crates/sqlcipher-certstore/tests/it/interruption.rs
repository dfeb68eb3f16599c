use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use zmon_domain::audit::AuditHead;
use zmon_domain::machine::Persisted;
use zmon_ports::ProvisioningStore as _;
use zmon_sqlcipher_certstore::AuditVerdict;
use zmon_testkit::installation::installation;
use zmon_testkit::store::seal_with_head;

use crate::home::{Home, LABEL, install};

/// Gives nothing where the future is not ready and the caller wants to leave.
struct Unless<F, W>(F, W);

impl<F: Future + Unpin, W: FnMut() -> bool + Unpin> Future for Unless<F, W> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.0).poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if (self.1)() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Installs with a caller who leaves, after so many polls or as soon as the receipt was made, and says whether the
/// store was then as before; none where the caller did not leave.
async fn interrupted(leave_after: Option<usize>) -> Option<bool> {
    let home = Home::new();
    let store = home.open().await;
    let created = store.load().await.unwrap().audit;
    let (sample, entries) = installation(LABEL, true);
    let sealed = AtomicBool::new(false);
    let seal = |head: AuditHead| {
        sealed.store(true, Ordering::SeqCst);
        seal_with_head(head)
    };
    let mut polls = 0;
    let leave = || {
        polls += 1;
        leave_after.map_or_else(|| sealed.load(Ordering::SeqCst), |most| polls == most)
    };
    let outcome = Unless(pin!(store.install(&sample, &entries, &seal)), leave).await;
    let state = store.load().await.unwrap();
    assert_eq!(store.verify_audit().await.unwrap(), AuditVerdict::Intact(state.audit));
    match (outcome, &state.persisted) {
        (None, Persisted::Unprovisioned) => {
            assert_eq!((state.audit, state.time_floor), (created, None), "{leave_after:?}");
            // And the store still works.
            install(&store).await;
            Some(true)
        }
        // The commit was under way, and all of it was done.
        (None, Persisted::Provisioned(_)) => {
            assert!(sealed.load(Ordering::SeqCst), "{leave_after:?}");
            assert_eq!(state.audit.count, created.count + entries.len() as u64);
            Some(false)
        }
        (Some(installed), _) => {
            assert_eq!(zmon_testkit::store::installed(state), installed.unwrap());
            None
        }
        (None, Persisted::Deprovisioned) => panic!("nothing was erased"),
    }
}

#[tokio::test]
async fn it_is_as_before_after_a_caller_left_at_any_point() {
    let mut as_before = 0;
    for polls in 1.. {
        match interrupted(Some(polls)).await {
            Some(true) => as_before += 1,
            Some(false) => {}
            None => break,
        }
    }
    assert!(as_before > 10, "{as_before}");
}

#[tokio::test]
async fn it_is_as_before_after_a_caller_left_between_receipt_and_commit() {
    let mut as_before = 0;
    for _ in 0..20 {
        as_before += usize::from(interrupted(None).await == Some(true));
    }
    assert!(as_before > 10, "{as_before}");
}

#[tokio::test]
async fn it_is_as_before_where_power_is_cut_inside_the_installation_and_installed_right_after() {
    let home = Home::new();
    let store = home.open().await;
    let (sample, entries) = installation(LABEL, true);
    let cut = Mutex::new(None);
    let seal = |head: AuditHead| {
        *cut.lock().unwrap() = Some(home.copy());
        seal_with_head(head)
    };
    let installed = store.install(&sample, &entries, &seal).await.unwrap();
    let after = home.copy();
    let before = cut.into_inner().unwrap().unwrap().open().await.load().await.unwrap();
    assert!(matches!(before.persisted, Persisted::Unprovisioned));
    assert_eq!(before.audit.count, 1);
    let after = after.open().await.load().await.unwrap();
    assert_eq!(zmon_testkit::store::installed(after), installed);
}

/// A thread that still works in the database while the process ends crashes in SQLCipher's own end.
#[tokio::test]
async fn it_has_closed_the_database_when_it_is_dropped_also_in_the_middle_of_a_call() {
    for polls in [None, Some(1), Some(3), Some(6)] {
        let home = Home::new();
        let store = home.open().await;
        let (sample, entries) = installation(LABEL, true);
        let mut left = 0;
        if let Some(most) = polls {
            let leave = || {
                left += 1;
                left == most
            };
            Unless(pin!(store.install(&sample, &entries, &seal_with_head)), leave).await;
            assert_eq!(left, most, "the caller left midway");
        }
        drop(store);
        // SQLite removes its log with the last connection.
        assert!(!home.log().exists(), "after {polls:?} polls");
    }
}
