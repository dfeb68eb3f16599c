//! A small disk.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A file system in memory, of a size; gone when dropped.
pub(crate) struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    pub(crate) fn new(at: &'a Path, kibibytes: u32) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={kibibytes}k,mode=700");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(at)
            .output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }

    pub(crate) fn make(&self, mode: &str) {
        let remounted = std::process::Command::new("mount")
            .args(["-o", &format!("remount,{mode}")])
            .arg(self.0)
            .status();
        assert!(remounted.unwrap().success());
    }

    /// Leaves no room at all, but what is occupied already.
    pub(crate) fn fill(&self) {
        let mut options = fs::OpenOptions::new();
        let mut filler = options.append(true).create(true).open(self.filler()).unwrap();
        let mut piece = vec![1; 64 * 1024];
        while !piece.is_empty() {
            if filler.write_all(&piece).is_err() {
                piece.truncate(piece.len() / 2);
            }
        }
    }

    /// Ends [`Self::fill`].
    pub(crate) fn clear(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").args(["-l"]).arg(self.0).status();
    }
}
