//! Power loss, which a kill does not show: what was written but not synced may be lost, whole or in part, in any order.
//!
//! A recorded act is replayed up to each of its system calls; from there, states are made that a file system may leave
//! behind, and the store is opened in each. The model: data is safe once its file was synced, a name once its folder was;
//! of what is pending, names survive up to any moment, and writes to any file in any selection.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use ring::digest::{Context, SHA256};
use zmon_testkit::skip::skip;

use crate::act::{Act, World};
use crate::kill::side_by_side;
use crate::site::Site;
use crate::trace::{Call, Change, Event, Tracer, parse};
use crate::verdict::{Goal, Snapshot};
use crate::{my_turn, say};

/// Selections of surviving writes that are tried at each call, beside the ones that have a name.
const SELECTIONS: u64 = 3;
/// Fewer states than this are not enough.
const ENOUGH: usize = 1_000;

type Names = BTreeMap<String, usize>;
/// The files of a folder.
type Files = BTreeMap<String, Vec<u8>>;

/// A folder, with what of it is safe.
#[derive(Default)]
struct Disk {
    files: Vec<Inode>,
    /// The last is what programs see, the first is safe.
    names: Vec<Names>,
}

#[derive(Clone, Default)]
struct Inode {
    safe: Vec<u8>,
    pending: Vec<Edit>,
    /// Where the next `write` goes.
    position: usize,
}

#[derive(Clone)]
enum Edit {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

/// What does not survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    Nothing,
    /// Whatever was not synced.
    AllPending,
    PendingData,
    PendingNames,
    /// The second half of the last write.
    HalfOfTheLast,
    /// A selection that this number makes.
    Selection(u64),
}

/// What a disk does about syncs; anything but all of them is there to be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Honours {
    AllSyncs,
    NoSync,
    AllButTheLogs,
}

impl Disk {
    fn of(folder: &Path) -> Self {
        let mut disk = Self {
            files: Vec::new(),
            names: vec![Names::new()],
        };
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            disk.names[0].insert(name, disk.files.len());
            disk.files.push(Inode {
                safe: fs::read(entry.path()).unwrap(),
                ..Inode::default()
            });
        }
        disk
    }

    fn take(&mut self, call: &Call, honours: Honours) {
        let mut names = self.names.last().unwrap().clone();
        let file = names.get(&call.file).copied();
        match &call.change {
            Change::Nothing => {
                if let Some(file) = file {
                    self.files[file].position = 0;
                }
            }
            Change::Create => match file {
                Some(file) => self.files[file].position = 0,
                None => {
                    names.insert(call.file.clone(), self.files.len());
                    self.files.push(Inode::default());
                    self.names.push(names);
                }
            },
            Change::Write(offset, bytes) => {
                let file = &mut self.files[file.unwrap()];
                let at = offset.unwrap_or(file.position);
                file.position = at + bytes.len();
                file.pending.push(Edit::Write(at, bytes.clone()));
            }
            Change::Truncate(length) => self.files[file.unwrap()].pending.push(Edit::Truncate(*length)),
            Change::Unlink => {
                names.remove(&call.file);
                self.names.push(names);
            }
            Change::Rename(to) => {
                names.remove(&call.file);
                names.insert(to.clone(), file.unwrap());
                self.names.push(names);
            }
            Change::Sync => {
                let ignored =
                    honours == Honours::NoSync || (honours == Honours::AllButTheLogs && call.file.ends_with("-wal"));
                match file {
                    _ if ignored => {}
                    Some(file) => self.files[file].sync(),
                    None => self.names = vec![names],
                }
            }
        }
    }

    /// What is found after the power is back. SQLite's index of its log is made anew then, so it is left out.
    fn after(&self, lost: Lost) -> Files {
        let mut dice = Dice(match lost {
            Lost::Selection(seed) => seed,
            _ => 0,
        });
        let names = match lost {
            Lost::AllPending | Lost::PendingNames => &self.names[0],
            Lost::Selection(_) => &self.names[dice.below(self.names.len())],
            Lost::Nothing | Lost::PendingData | Lost::HalfOfTheLast => self.names.last().unwrap(),
        };
        let named = names.iter().filter(|(name, _)| !name.ends_with("-shm"));
        named
            .map(|(name, file)| (name.clone(), self.files[*file].after(lost, &mut dice)))
            .collect()
    }
}

impl Inode {
    fn sync(&mut self) {
        self.safe = self.after(Lost::Nothing, &mut Dice(0));
        self.pending.clear();
    }

    fn after(&self, lost: Lost, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.safe.clone();
        for (index, edit) in self.pending.iter().enumerate() {
            let last = index + 1 == self.pending.len();
            let part = match lost {
                Lost::Nothing | Lost::PendingNames => 2,
                Lost::AllPending | Lost::PendingData => 0,
                Lost::HalfOfTheLast => 2 - usize::from(last),
                // Whole as a rule; gone, or half there.
                Lost::Selection(_) => [2, 2, 0, 1][dice.below(4)],
            };
            edit.apply(&mut bytes, part);
        }
        bytes
    }
}

impl Edit {
    /// `halves`: 2 for the whole.
    fn apply(&self, bytes: &mut Vec<u8>, halves: usize) {
        match self {
            _ if halves == 0 => {}
            Self::Write(at, written) => {
                let written = &written[..written.len() * halves / 2];
                if bytes.len() < at + written.len() {
                    bytes.resize(at + written.len(), 0);
                }
                bytes[*at..at + written.len()].copy_from_slice(written);
            }
            Self::Truncate(length) => bytes.resize(*length, 0),
        }
    }
}

/// Chance that is the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

/// One act as it was recorded.
struct Recording {
    act: Act,
    events: Vec<Event>,
    goal: Option<Goal>,
}

impl Recording {
    fn of(act: Act, world: &World, site: &Site) -> Self {
        let tracer = Tracer::recording(&site.path("trace"));
        let mut performed = world.perform(act, site, Some(&tracer));
        assert!(performed.acknowledged, "{}", performed.service.log());
        performed.service.stop();
        Self {
            act,
            events: parse(&tracer.lines(), &site.state()),
            goal: performed.goal,
        }
    }

    /// The position of the answer that acknowledged it: the last before the service was asked to stop.
    fn answered(&self) -> usize {
        let asked = self.events.iter().position(|event| *event == Event::Asked).unwrap();
        self.events[..asked]
            .iter()
            .rposition(|event| *event == Event::Answer)
            .unwrap_or(asked)
    }

    /// Every different state that the power may leave behind, and whether the act was acknowledged by then.
    fn states(&self, world: &World, honours: Honours) -> Vec<(Files, bool)> {
        let mut disk = Disk::of(&world.before(self.act));
        let (mut seen, mut states) = (BTreeSet::new(), Vec::new());
        let answered = self.answered();
        for (position, event) in self.events.iter().enumerate() {
            if let Event::Call(call) = event {
                disk.take(call, honours);
            }
            let selections = (0..SELECTIONS).map(|number| Lost::Selection(position as u64 * SELECTIONS + number));
            let named = [
                Lost::Nothing,
                Lost::AllPending,
                Lost::PendingData,
                Lost::PendingNames,
                Lost::HalfOfTheLast,
            ];
            for lost in named.into_iter().chain(selections) {
                let (files, acknowledged) = (disk.after(lost), position >= answered);
                if seen.insert((digest(&files), acknowledged)) {
                    states.push((files, acknowledged));
                }
            }
        }
        states
    }
}

fn digest(files: &Files) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    for (name, bytes) in files {
        // A temporary file is nobody's.
        if !name.starts_with('.') {
            context.update(&(name.len() as u64).to_be_bytes());
            context.update(name.as_bytes());
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        }
    }
    context.finish().as_ref().to_vec()
}

/// Opens the store in a state, and says what is wrong with it.
fn wrong(world: &World, site: &Site, recording: &Recording, files: &Files, acknowledged: bool) -> Option<String> {
    let state = site.state();
    let _ = fs::remove_dir_all(&state);
    fs::DirBuilder::new().mode(0o700).create(&state).unwrap();
    for (name, bytes) in files {
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(state.join(name));
        std::io::Write::write_all(&mut file.unwrap(), bytes).unwrap();
    }
    let expected = world.expected(recording.act, recording.goal.clone(), acknowledged);
    let judged = Snapshot::read(&state, site).and_then(|snapshot| snapshot.judge(&expected));
    judged.err()
}

fn all_wrong(world: &World, recording: &Recording, honours: Honours) -> (usize, Vec<String>) {
    let states = recording.states(world, honours);
    let judged = side_by_side(world, &states, |site, (files, acknowledged)| {
        wrong(world, site, recording, files, *acknowledged)
    });
    (states.len(), judged.into_iter().flatten().collect())
}

#[test]
fn it_is_old_or_new_after_any_power_loss_and_what_was_acknowledged_is_there() {
    if !Tracer::works() {
        return skip(
            "power loss at every change of the store",
            "strace is not installed, or this is not root",
        );
    }
    let _turn = my_turn();
    let world = World::new();
    let recorder = Site::new(world.station);
    let mut total = 0;
    for act in Act::ALL {
        let recording = Recording::of(act, &world, &recorder);
        let (states, wrong) = all_wrong(&world, &recording, Honours::AllSyncs);
        assert!(wrong.is_empty(), "{act:?}: {} of {states}: {wrong:#?}", wrong.len());
        total += states;
    }
    say(&format!(
        "power loss: {total} different states of the files, 0 torn, 0 lost that were acknowledged"
    ));
    assert!(total >= ENOUGH, "only {total} states");
}

/// The control: the same eyes see what a disk loses that does not do as it is told.
#[test]
fn it_would_show_lost_acknowledgements_and_torn_states() {
    if !Tracer::works() {
        return skip(
            "the control of power loss",
            "strace is not installed, or this is not root",
        );
    }
    let _turn = my_turn();
    let world = World::new();
    let recorder = Site::new(world.station);
    let recording = Recording::of(Act::Provision, &world, &recorder);
    let (_, wrong) = all_wrong(&world, &recording, Honours::NoSync);
    assert!(
        wrong.iter().any(|why| why.contains("acknowledged is lost")),
        "{wrong:#?}"
    );
    let recording = Recording::of(Act::Deprovision, &world, &recorder);
    let (_, wrong) = all_wrong(&world, &recording, Honours::AllButTheLogs);
    assert!(
        wrong.iter().any(|why| !why.contains("acknowledged is lost")),
        "{wrong:#?}"
    );
}
