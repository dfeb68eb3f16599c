//! What a list may say.

use std::path::Path;

use proptest::prelude::*;
use zmon_central_station::batch::{Fleet, validate};

use crate::support::defaults;

#[test]
fn it_tells_every_fault_of_a_list_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.csv");
    std::fs::write(
        &path,
        "picture,label,unit,sync_interval\nno.png,,FEET,0\na.png,Bed\nb.png,Bed,METRIC,9\n",
    )
    .unwrap();
    let faults = validate(&path, &defaults()).unwrap().unwrap_err();
    let told: Vec<_> = faults.iter().map(|fault| (fault.line, fault.column)).collect();
    assert_eq!(
        told,
        [
            (2, Some("label")),
            (2, Some("sync_interval")),
            (2, Some("unit")),
            (3, None),
            (4, Some("picture"))
        ]
    );
    std::fs::write(&path, "picture,colour\n").unwrap();
    assert_eq!(validate(&path, &defaults()).unwrap().unwrap_err().len(), 2);
}

/// Gives its text, then fails for ever.
struct Failing<'a>(&'a [u8]);

impl std::io::Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match std::io::Read::read(&mut self.0, buffer)? {
            0 => Err(std::io::Error::other("the card was pulled out")),
            read => Ok(read),
        }
    }
}

#[test]
fn it_does_not_take_a_list_that_breaks_off_for_a_shorter_one() {
    let listed = Failing(b"picture,label,server_url\na.png,Bed 1,https://h.example/\nb.png,Bed 2,");
    let rows: Vec<_> = Fleet::read(listed, Path::new(""), &defaults()).ok().unwrap().collect();
    let last = rows.last().unwrap().as_ref().unwrap_err();
    assert!(last[0].detail.contains("cannot be read further"), "{last:?}");
    assert_eq!(rows.iter().filter(|row| row.is_err()).count(), 1);
}

proptest! {
    #[test]
    fn it_survives_any_list_and_any_code(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let listed = [b"picture,label,unit\n".as_slice(), &bytes].concat();
        for source in [bytes.as_slice(), &listed] {
            if let Ok(fleet) = Fleet::read(source, Path::new(""), &defaults()) {
                prop_assert!(fleet.count() <= listed.len());
            }
        }
        let _ = zmon_central_station::scan::scan(&bytes);
        let _ = zmon_central_station::scan::parse(String::from_utf8_lossy(&bytes).into_owned());
    }
}
