//! After de-provisioning nothing of the private key, the certificate or the former database key is left: in no file of the
//! device's state, and in no block of the file system that it lay on.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64ct::{Base64, Encoding};
use tempfile::TempDir;
use zmon_domain::identity::DeviceId;
use zmon_ports::{KeySource, ProvisioningService};
use zmon_sqlcipher_certstore::{FileKeySource, unwrap};
use zmon_tests::bench::{Bench, until};
use zmon_tests::device::{PIN, administrator};
use zmon_tests::station::Station;

/// The shortest piece that counts as found.
const PIECE: usize = 16;
/// Magic and version of a wrapped key are no secret.
const WRAPPED_SECRET: usize = 20;

/// Finds every piece of 16 bytes of what it looks for.
struct Hunt {
    name: &'static str,
    pieces: HashSet<[u8; PIECE]>,
    /// The first two bytes of all pieces: most places are passed by at once.
    begins: Vec<bool>,
}

impl Hunt {
    fn new(name: &'static str, secret: &[u8]) -> Self {
        let pieces: HashSet<[u8; PIECE]> = secret.windows(PIECE).map(|piece| piece.try_into().unwrap()).collect();
        assert!(!pieces.is_empty(), "{name} is shorter than a piece");
        let mut begins = vec![false; 65_536];
        for piece in &pieces {
            begins[place(piece)] = true;
        }
        Self { name, pieces, begins }
    }

    fn finds(&self, haystack: &[u8]) -> bool {
        haystack
            .windows(PIECE)
            .any(|window| self.begins[place(window)] && self.pieces.contains(window))
    }
}

fn place(piece: &[u8]) -> usize {
    usize::from(piece[0]) << 8 | usize::from(piece[1])
}

/// The bytes inside a PEM text.
fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    Base64::decode_vec(&body).unwrap()
}

/// The base64 of a PEM text without its first and last line, which say nothing.
fn lines(pem: &str) -> String {
    let body: Vec<_> = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    body.join("\n")
}

/// Everything that has to be gone, as a provisioned device has it now: secrets and where they would be seen.
fn secrets(bench: &Bench, state: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let texts = bench.station.pki.texts();
    let wrapped = fs::read(state.join("store.db-key")).unwrap();
    let source = FileKeySource::new(state.join("store.key"));
    let database_key = unwrap(&wrapped, &source.wrapping_key(false).unwrap()).unwrap();
    let hex: String = database_key.expose().iter().map(|byte| format!("{byte:02x}")).collect();
    vec![
        ("the private key in PEM", lines(&texts.client_private_key).into_bytes()),
        // The DER holds the bare number as well, in one piece.
        ("the private key in DER", der(&texts.client_private_key)),
        ("the certificate in PEM", lines(&texts.client_certificate).into_bytes()),
        ("the certificate in DER", der(&texts.client_certificate)),
        ("the database key", database_key.expose().to_vec()),
        ("the database key in hexadecimal", hex.clone().into_bytes()),
        ("the database key in capitals", hex.to_uppercase().into_bytes()),
        ("the wrapped database key", wrapped[WRAPPED_SECRET..].to_vec()),
    ]
}

fn hunts(secrets: &[(&'static str, Vec<u8>)]) -> Vec<Hunt> {
    secrets.iter().map(|(name, secret)| Hunt::new(name, secret)).collect()
}

/// Every file below a directory, with what is in it.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    found
}

/// Which secrets are found in which files.
fn found_in(state: &Path, hunts: &[Hunt]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, content) in files(state) {
        let here = hunts.iter().filter(|hunt| hunt.finds(&content));
        found.extend(here.map(|hunt| format!("{} in {}", hunt.name, path.display())));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_of_the_state_holds_a_piece_of_what_was_taken_away() {
    for station in [Station::hmac as fn(&DeviceId) -> Station, Station::ed25519] {
        let bench = Bench::with(station).await;
        bench.provision().await;
        let state = bench.directory.path();
        let secrets = secrets(&bench, state);
        let hunts = hunts(&secrets);

        // The controls. In the clear there is nothing but the wrapped key, where it belongs.
        let wrapped_at = format!("the wrapped database key in {}", state.join("store.db-key").display());
        assert_eq!(found_in(state, &hunts), [wrapped_at]);
        // And sixteen bytes out of each secret, wherever they are planted, are found.
        for (name, secret) in &secrets {
            for start in [0, (secret.len() - PIECE) / 2, secret.len() - PIECE] {
                let planted = [b"around", &secret[start..start + PIECE], b"it"].concat();
                fs::write(state.join("planted"), planted).unwrap();
                let planted_in = format!("{name} in {}", state.join("planted").display());
                assert!(found_in(state, &hunts).contains(&planted_in), "{name} from {start}");
            }
        }
        fs::remove_file(state.join("planted")).unwrap();

        bench.device.deprovision_device(administrator(PIN)).await.unwrap();
        assert_eq!(found_in(state, &hunts), Vec::<String>::new(), "while the service runs");
        bench.device.stop().await;
        bench.store.close().await;
        assert_eq!(found_in(state, &hunts), Vec::<String>::new(), "after it has stopped");
    }
}

/// An ext4 file system in a file.
struct Image {
    directory: TempDir,
    mounted: bool,
}

impl Image {
    fn mount() -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut image = Self {
            directory,
            mounted: false,
        };
        let file = fs::File::create(image.file()).map_err(|error| error.to_string())?;
        file.set_len(24 << 20).map_err(|error| error.to_string())?;
        fs::create_dir(image.root()).map_err(|error| error.to_string())?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image.file()))?;
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(image.file())
            .arg(image.root()))?;
        image.mounted = true;
        Ok(image)
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// Writes everything back; false while somebody still has a file open.
    fn unmount(&mut self) -> bool {
        self.mounted = self.mounted && run(Command::new("umount").arg(self.root())).is_err();
        !self.mounted
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if self.mounted {
            // Out of sight at once, gone with its last file.
            let _ = run(Command::new("umount").arg("--lazy").arg(self.root()));
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_block_of_the_file_system_holds_a_piece_of_what_was_taken_away() {
    let name = "no_block_of_the_file_system_holds_a_piece_of_what_was_taken_away";
    let mut image = match Image::mount() {
        Ok(image) => image,
        Err(reason) => return zmon_testkit::skip::skip(name, &format!("no loop mount here: {reason}")),
    };
    let state = tempfile::tempdir_in(image.root()).unwrap();
    let mut bench = Bench::in_directory(state, Station::hmac).await;
    // Twice, so that blocks of the first time are free at the second; a restart cuts the log in between.
    bench.provision().await;
    let first = secrets(&bench, bench.directory.path());
    bench.device.deprovision_device(administrator(PIN)).await.unwrap();
    bench.restart().await;
    bench.provision().await;
    let state = bench.directory.path().to_owned();
    let second = secrets(&bench, &state);
    let key_of = |secrets: &[(&str, Vec<u8>)]| secrets[4].1.clone();
    assert_ne!(key_of(&first), key_of(&second), "the database key was changed");

    // The controls: a file that was written and removed, whose blocks are free, and one that is there.
    let removed = b"a control that was removed: 0xC0FFEE-0001";
    fs::write(state.join("removed"), removed).unwrap();
    fs::File::open(state.join("removed")).unwrap().sync_all().unwrap();
    fs::remove_file(state.join("removed")).unwrap();
    let present = b"a control that is there: 0xC0FFEE-0002..";
    fs::write(state.join("present"), present).unwrap();

    bench.device.deprovision_device(administrator(PIN)).await.unwrap();
    bench.device.stop().await;
    bench.store.close().await;
    let _ = bench.directory.keep();
    let image = std::sync::Mutex::new(&mut image);
    until(async || image.lock().unwrap().unmount()).await;
    let raw = fs::read(image.into_inner().unwrap().file()).unwrap();

    assert!(
        Hunt::new("present", present).finds(&raw),
        "the image is that of the device"
    );
    assert!(Hunt::new("removed", removed).finds(&raw), "the search sees free blocks");
    for hunt in hunts(&first).into_iter().chain(hunts(&second)) {
        assert!(!hunt.finds(&raw), "{} is in the image", hunt.name);
    }
}
