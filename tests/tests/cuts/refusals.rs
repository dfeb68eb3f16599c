//! Files of the store that are not what they should be: the program says which and why, and touches nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::act::{Act, World};
use crate::site::{Site, copy};

const PAGE: usize = 4096;

fn contents(state: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(state).unwrap().map(Result::unwrap);
    files
        .map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()))
        .filter(|(name, _)| !name.ends_with("-lock") && !name.ends_with("-shm") && !name.ends_with("-reserve"))
        // An empty log is none.
        .filter(|(name, content)| !name.ends_with("-wal") || !content.is_empty())
        .collect()
}

fn damage(file: &Path, at: usize) {
    let mut content = fs::read(file).unwrap();
    content[at] ^= 1;
    fs::write(file, content).unwrap();
}

#[test]
fn it_does_not_start_says_why_and_changes_nothing() {
    let world = World::new();
    let site = Site::new(world.station);
    let state = site.state();
    let database = state.join("store.db");
    let key = state.join("store.db-key");
    let source = state.join("store.key");
    type Spoil<'a> = &'a dyn Fn();
    let cases: [(&str, Spoil<'_>); 7] = [
        ("the file is missing", &|| fs::remove_file(&source).unwrap()),
        ("wrapped by another key", &|| fs::write(&source, [7; 32]).unwrap()),
        ("its wrapped key, is missing", &|| fs::remove_file(&key).unwrap()),
        ("chmod 600", &|| {
            fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        }),
        ("cannot be used: it is damaged", &|| damage(&key, 60)),
        ("does not open with this device's database key", &|| {
            damage(&database, 2000);
        }),
        ("the database itself is missing", &|| {
            fs::write(state.join("store.db-wal"), "committed").unwrap();
            fs::remove_file(&database).unwrap();
        }),
    ];
    for (words, spoil) in cases {
        copy(&world.before(Act::Deprovision), &state);
        spoil();
        let before = contents(&state);
        let mut service = site.serve(None);
        assert!(service.ready().is_err(), "{words}");
        assert_eq!(service.wait(), Some(1), "{words}");
        let log = service.log();
        assert!(log.contains(words) && !log.contains("panicked"), "{words}: {log}");
        assert!(contents(&state) == before, "{words}: it changed files");
    }
    copy(&world.before(Act::Deprovision), &state);
    let mut service = site.serve(None);
    assert_eq!(service.ready().unwrap(), "PROVISIONED", "the control");
    service.kill();
}

/// Each page is damaged in turn. Where the start does not read it, the first use does.
#[test]
fn it_answers_storage_error_where_a_page_is_damaged_and_lives_on() {
    let world = World::new();
    let site = Site::new(world.station);
    let before = world.before(Act::Deprovision);
    let pages = fs::metadata(before.join("store.db")).unwrap().len() as usize / PAGE;
    let (mut at_start, mut at_use) = (0, 0);
    for page in 1..pages {
        copy(&before, &site.state());
        damage(&site.state().join("store.db"), page * PAGE + 1234);
        let mut service = site.serve(None);
        if service.ready().is_err() {
            assert_eq!(service.wait(), Some(1));
            assert!(service.log().contains("damaged"), "{}", service.log());
            at_start += 1;
            continue;
        }
        for document in ["/v1/configuration", "/v1/audit"] {
            let answer = site.get(document).unwrap();
            if answer.status == 200 {
                continue;
            }
            let problem = answer.json();
            assert_eq!((answer.status, problem["code"].as_str()), (500, Some("StorageError")));
            at_use += 1;
        }
        assert_eq!(site.status_and_warning().unwrap().0, "PROVISIONED", "it lives on");
        service.kill();
    }
    assert!(
        at_start > 0 && at_use > 0,
        "{at_start} at the start, {at_use} at their use"
    );
}
