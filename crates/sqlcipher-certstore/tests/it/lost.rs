//! A database that lost what was committed to it, because somebody cut or removed its write-ahead log, or half of a
//! checkpoint: it is as it was at an earlier time, or refused, and never a mixture.

use std::fs;

use zmon_domain::machine::Persisted;
use zmon_domain::result::InstalledConfiguration;
use zmon_ports::ProvisioningStore as _;
use zmon_sqlcipher_certstore::AuditVerdict;
use zmon_testkit::store::installed;

use crate::home::{Home, erase, install};

const PAGE: usize = 4096;
/// A frame of the write-ahead log: its header, and a page.
const FRAME: usize = 24 + PAGE;
const LOG_HEADER: usize = 32;

/// A device whose power was cut right after it was provisioned, with all of that in its write-ahead log; for the first
/// time, or after it was de-provisioned.
async fn provisioned(again: bool) -> (Home, InstalledConfiguration) {
    let home = Home::new();
    let store = home.open().await;
    if again {
        install(&store).await;
        erase(&store).await;
    }
    let given = install(&store).await;
    let cut = home.copy();
    store.close().await;
    (cut, given)
}

/// What the store holds: true for everything that was installed, false for the state before; none where it is refused.
async fn holds(home: &Home, given: &InstalledConfiguration, again: bool, how: &str) -> Option<bool> {
    let store = home.try_open().await.ok()?;
    let (Ok(state), Ok(credentials)) = (store.load().await, store.credentials().await) else {
        return None;
    };
    let AuditVerdict::Intact(head) = store.verify_audit().await.ok()? else {
        return None;
    };
    store.close().await;
    assert_eq!(head, state.audit, "{how}");
    match &state.persisted {
        Persisted::Provisioned(_) => {
            let texts = credentials.unwrap_or_else(|| panic!("{how}: no credentials"));
            assert!(texts.client_private_key.expose().contains("PRIVATE KEY"), "{how}");
            assert!(texts.server_certificate.is_some(), "{how}");
            assert_eq!(&installed(state), given, "{how}");
            Some(true)
        }
        Persisted::Unprovisioned | Persisted::Deprovisioned => {
            assert_eq!(matches!(state.persisted, Persisted::Deprovisioned), again, "{how}");
            assert!(credentials.is_none(), "{how}");
            Some(false)
        }
    }
}

#[tokio::test]
async fn it_is_as_before_or_as_after_wherever_its_log_is_cut() {
    for again in [false, true] {
        let (home, given) = provisioned(again).await;
        assert_eq!(
            holds(&home.copy(), &given, again, "whole").await,
            Some(true),
            "the control"
        );
        let log = fs::read(home.log()).unwrap();
        let frames = (log.len() - LOG_HEADER) / FRAME;
        assert!(frames > 5, "{frames}");
        let cuts = (0..frames).flat_map(|frame| [0, 100, FRAME - 1].map(|more| LOG_HEADER + frame * FRAME + more));
        for length in [0, 1, LOG_HEADER - 1].into_iter().chain(cuts) {
            let cut = home.copy();
            fs::write(cut.log(), &log[..length]).unwrap();
            let held = holds(&cut, &given, again, &format!("{length} bytes of {}", log.len())).await;
            assert_eq!(held, Some(false), "{length} bytes: the device alone cannot tell");
        }
        fs::remove_file(home.log()).unwrap();
        assert_eq!(holds(&home, &given, again, "removed").await, Some(false));
    }
}

#[tokio::test]
async fn it_never_gives_a_mixture_of_pages() {
    for again in [false, true] {
        let (cut, given) = provisioned(again).await;
        let old = fs::read(cut.database()).unwrap();
        let whole = cut.copy();
        whole.open().await.close().await;
        let new = fs::read(whole.database()).unwrap();
        let pages = new.len() / PAGE;
        let page = |from: &[u8], number: usize| from.get(number * PAGE..(number + 1) * PAGE).map(<[u8]>::to_vec);
        let mut counts = [0; 3];
        // The first pages are new; one alone is old; one alone is new; every other one.
        for pattern in 0..3 * pages + 2 {
            let is_new = |number: usize| match pattern / pages {
                0 => number < pattern,
                1 => number != pattern - pages,
                2 => number == pattern - 2 * pages,
                _ => number % 2 == pattern % 2,
            };
            let mixed: Vec<u8> = (0..pages)
                .map_while(|number| page(if is_new(number) { &new } else { &old }, number))
                .flatten()
                .collect();
            let home = whole.copy();
            fs::write(home.database(), mixed).unwrap();
            let held = holds(&home, &given, again, &format!("pattern {pattern} of {pages} pages")).await;
            counts[held.map_or(2, usize::from)] += 1;
        }
        assert!(counts[2] > pages, "most are refused: {counts:?}");
    }
}
