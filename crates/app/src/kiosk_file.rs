//! What the kiosk's browser is started with: a page for the kiosk's group alone, that leads to the kiosk page and hands it its
//! token.
//!
//! The token is in a file and not in an argument of the browser, since every user of the device can read those. It lives as
//! long as the file: a service that starts again finds it and takes it over, so that a page that is open goes on. Where the
//! file is gone (its directory is usually emptied when the device starts), or is not as this service writes it, the token
//! is a new one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use base64ct::{Base64UrlUnpadded, Encoding};
use rustix::process::geteuid;
use zeroize::Zeroizing;
use zmon_domain::secret::SecretText;
use zmon_ports::Entropy;

use crate::configuration::Kiosk;
use crate::files::{self, NewFile};

const TOKEN_BYTES: usize = 32;
/// Longest file that is looked at.
const MAX_FILE: u64 = 1024;
/// What stands before and after the token.
const BEFORE: &str = "/#token=";
const AFTER: &str = "\">";

/// Sees to it that the file is there and right; its token.
///
/// # Errors
/// Where it cannot be written or given to the group, or there is no randomness.
pub fn prepare(kiosk: &Kiosk, entropy: &impl Entropy) -> io::Result<SecretText> {
    let former = former_token(kiosk);
    let token = match former {
        Some(token) => token,
        None => new_token(entropy)?,
    };
    // Always anew: the port may be another one.
    let mut file = NewFile::begin(&kiosk.start_file, files::PRIVATE)?;
    file.write_all(page(kiosk.port, &token).as_bytes())?;
    file.for_group(kiosk.group)?;
    file.put()?;
    Ok(token)
}

fn page(port: u16, token: &SecretText) -> Zeroizing<String> {
    format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>Z Monitor</title>\n\
         <meta http-equiv=\"refresh\" content=\"0;url=http://127.0.0.1:{port}{BEFORE}{}{AFTER}\n",
        token.expose()
    )
    .into()
}

fn new_token(entropy: &impl Entropy) -> io::Result<SecretText> {
    let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
    entropy
        .fill(&mut *bytes)
        .map_err(|unavailable| io::Error::other(unavailable.cause))?;
    Ok(SecretText::new(Base64UrlUnpadded::encode_string(&*bytes)))
}

/// The token of a file that nobody else could have written or read.
fn former_token(kiosk: &Kiosk) -> Option<SecretText> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(files::no_link())
        .open(&kiosk.start_file)
        .ok()?;
    let text = is_as_written(&file, kiosk.group).then(|| {
        let mut text = Zeroizing::new(String::with_capacity(MAX_FILE as usize));
        file.take(MAX_FILE).read_to_string(&mut text).map(|_| text)
    })?;
    let text = text.ok()?;
    let (_, rest) = text.split_once(BEFORE)?;
    let (token, _) = rest.split_once(AFTER)?;
    let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
    let decoded = Base64UrlUnpadded::decode(token, &mut *bytes).ok()?;
    (decoded.len() == TOKEN_BYTES).then(|| SecretText::new(token.into()))
}

fn is_as_written(file: &File, group: u32) -> bool {
    file.metadata().is_ok_and(|there| {
        there.is_file()
            && there.nlink() == 1
            && there.uid() == geteuid().as_raw()
            && there.gid() == group
            && there.mode() & 0o7777 == files::FOR_GROUP
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use zmon_local_api::{Language, Theme};

    use super::*;
    use crate::entropy::SystemEntropy;

    fn kiosk(directory: &Path) -> Kiosk {
        Kiosk {
            group: fs::metadata(directory).unwrap().gid(),
            port: 8480,
            start_file: directory.join("kiosk.html"),
            language: Language::English,
            theme: Theme::Auto,
        }
    }

    fn token(kiosk: &Kiosk) -> String {
        prepare(kiosk, &SystemEntropy::new()).unwrap().expose().to_owned()
    }

    #[test]
    fn leads_to_the_page_and_is_for_the_group_alone() {
        let directory = tempfile::tempdir().unwrap();
        let kiosk = kiosk(directory.path());
        let token = token(&kiosk);
        let text = fs::read_to_string(&kiosk.start_file).unwrap();
        assert!(
            text.contains(&format!("url=http://127.0.0.1:8480/#token={token}\"")),
            "{text}"
        );
        assert_eq!(Base64UrlUnpadded::decode_vec(&token).unwrap().len(), 32);
        let there = fs::metadata(&kiosk.start_file).unwrap();
        assert_eq!((there.mode() & 0o7777, there.gid()), (0o640, kiosk.group));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn keeps_its_token_for_a_service_that_starts_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut kiosk = kiosk(directory.path());
        let first = token(&kiosk);
        assert_eq!(token(&kiosk), first);
        kiosk.port = 8481;
        assert_eq!(token(&kiosk), first);
        assert!(fs::read_to_string(&kiosk.start_file).unwrap().contains(":8481/"));
        fs::remove_file(&kiosk.start_file).unwrap();
        assert_ne!(token(&kiosk), first);
    }

    #[test]
    fn takes_no_token_that_somebody_else_may_know() {
        let directory = tempfile::tempdir().unwrap();
        let kiosk = kiosk(directory.path());
        let path = &kiosk.start_file;
        let spoilt: [&dyn Fn(); 7] = [
            &|| fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap(),
            &|| fs::set_permissions(path, Permissions::from_mode(0o660)).unwrap(),
            &|| fs::hard_link(path, directory.path().join("other")).unwrap(),
            &|| {
                let moved = directory.path().join("moved");
                fs::rename(path, &moved).unwrap();
                symlink(moved, path).unwrap();
            },
            &|| fs::write(path, "url=http://127.0.0.1:8480/#token=AAAA\">").unwrap(),
            &|| fs::write(path, "").unwrap(),
            // Nobody ever writes to it.
            &|| {
                fs::remove_file(path).unwrap();
                mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
            },
        ];
        for (number, spoil) in spoilt.iter().enumerate() {
            let before = token(&kiosk);
            spoil();
            assert_ne!(token(&kiosk), before, "case {number}");
            assert!(fs::symlink_metadata(path).unwrap().is_file());
        }
    }
}
