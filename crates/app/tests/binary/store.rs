use std::fs;

use rustix::process::Signal;

use crate::device::status_of;
use crate::support::{Site, finish};

fn wrapped_key(site: &Site) -> Vec<u8> {
    fs::read(site.path("store/store.db-key")).unwrap()
}

#[test]
fn rotates_the_key_of_the_store_by_the_running_service_and_without_one() {
    let site = Site::new();
    let mut device = site.serve();
    let first = wrapped_key(&site);
    let (code, said, errors) = site.run(&["store", "rotate-key"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(said.contains("the running service did it"), "{said}");
    let second = wrapped_key(&site);
    assert_ne!(second, first);
    device.wait_for("the database key was rotated");
    assert_eq!(status_of(&site)["status"], "UNPROVISIONED", "it goes on");
    assert_eq!(device.stop(Signal::TERM), 0);

    let (code, said, errors) = site.run(&["store", "rotate-key"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(said.contains("no service is running"), "{said}");
    assert_ne!(wrapped_key(&site), second);
    assert!(!site.path("store/store.db-key-next").exists());
    let _device = site.serve();
    assert_eq!(status_of(&site)["status"], "UNPROVISIONED");
}

#[test]
fn rotates_no_key_beside_a_service_that_has_the_store() {
    let site = Site::new();
    let _device = site.serve();
    let before = wrapped_key(&site);
    // Its socket is not where the configuration says: nobody answers, and yet the store is not free.
    let elsewhere = format!("control.socket={}", site.path("other.sock").display());
    let (code, _, errors) = site.run(&["--set", &elsewhere, "store", "rotate-key"]);
    assert_eq!(code, 1);
    assert!(errors.contains("another process has the store open"), "{errors}");
    let named = site.path("other.sock");
    let (code, _, errors) = site.run(&["store", "rotate-key", "--socket", named.to_str().unwrap()]);
    assert_eq!(code, 69, "where a socket is named, nothing else is tried: {errors}");
    assert_eq!(wrapped_key(&site), before);
}

#[test]
fn makes_no_store_in_order_to_rotate_its_key() {
    let site = Site::new();
    let (code, _, errors) = site.run(&["store", "rotate-key"]);
    assert_eq!(code, 1);
    assert!(errors.contains("there is no store at"), "{errors}");
    assert!(!site.path("store").exists());
}

/// The three sources give the same key here, so that each opens the store that another made.
#[test]
fn takes_the_key_from_a_command_and_from_a_credential() {
    let site = Site::new();
    let here = site.directory.path().display();
    let plain = fs::read_to_string(site.path("config.toml")).unwrap();
    let with = |source: &str| {
        let line = format!("key_file = \"{here}/store/store.key\"");
        assert!(plain.contains(&line));
        fs::write(site.path("config.toml"), plain.replace(&line, source)).unwrap();
    };
    site.serve().stop(Signal::TERM);
    let key = site.path("store/store.key");
    with(&format!("key_command = [\"/bin/cat\", \"{}\"]", key.display()));
    site.serve().stop(Signal::TERM);
    with("key_credential = \"store.key\"");
    let directory = site.path("store");
    let environment = [("CREDENTIALS_DIRECTORY", directory.to_str().unwrap())];
    site.serve_with(&environment).stop(Signal::TERM);
    let (code, _, errors) = finish(site.command(&["store", "rotate-key"]).output().unwrap());
    assert_eq!(code, 1);
    assert!(errors.contains("LoadCredentialEncrypted="), "{errors}");
    let mut inside = site.command(&["store", "rotate-key"]);
    let (code, _, errors) = finish(inside.envs(environment).output().unwrap());
    assert_eq!((code, errors.as_str()), (0, ""));
    with("key_command = [\"/bin/false\"]");
    let (code, _, errors) = site.run(&["serve"]);
    assert_eq!(code, 1);
    assert!(
        errors.contains("/bin/false") && errors.contains("exit status: 1"),
        "{errors}"
    );
}
