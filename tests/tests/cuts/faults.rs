//! Storage that fails: a full disk and I/O errors at every write and sync, a read-only file system, files of another user.

use std::collections::BTreeMap;
use std::fs;
use zmon_testkit::https_client::HttpAnswer;
use zmon_testkit::skip::skip;

use crate::act::{Act, World, status_named};
use crate::disk::Mount;
use crate::kill::side_by_side;
use crate::site::{Ended, Service, Site, copy};
use crate::trace::{Point, Tracer, parse, points};
use crate::verdict::{Goal, Side, Snapshot};
use crate::{my_turn, say};

/// How a call fails, and whether all later ones of its kind fail too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Failure {
    Full,
    Broken,
    /// The file system turned read-only under the running device, as they do when their storage fails.
    ReadOnly,
}

impl Failure {
    const fn injected(self) -> (&'static str, bool) {
        match self {
            Self::Full => ("ENOSPC", true),
            Self::Broken => ("EIO", false),
            Self::ReadOnly => ("EROFS", true),
        }
    }

    /// The calls that fail in this way on a real disk.
    fn strikes(self, call: &str) -> bool {
        match self {
            Self::Full => ["write", "pwrite64", "openat", "ftruncate"].contains(&call),
            Self::Broken => ["write", "pwrite64", "fsync", "fdatasync"].contains(&call),
            Self::ReadOnly => ["pwrite64", "ftruncate"].contains(&call),
        }
    }
}

/// What the device answered to a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    DidNotStart,
    NoPairing,
    /// Nothing was changed.
    Refused,
    DoneAllTheSame,
    /// Done, but the former key could not be destroyed, and the device says so.
    DoneButForKey,
}

impl Answer {
    const fn is_done(self) -> bool {
        matches!(self, Self::DoneAllTheSame | Self::DoneButForKey)
    }
}

#[test]
fn it_answers_storage_error_and_loses_nothing_where_a_write_or_sync_fails() {
    if !Tracer::works() {
        return skip("failing storage", "strace is not installed, or this is not root");
    }
    let _turn = my_turn();
    let world = World::new();
    let recorder = Site::new(world.station);
    let mut work = Vec::new();
    for act in [Act::FirstStart, Act::Provision, Act::Rotate, Act::Deprovision] {
        let tracer = Tracer::recording(&recorder.path("trace"));
        let mut performed = world.perform(act, &recorder, Some(&tracer));
        assert!(performed.acknowledged, "{}", performed.service.log());
        performed.service.kill();
        let lines = tracer.lines();
        let found = points(&lines, &parse(&lines, &recorder.state()));
        for point in found {
            for failure in [Failure::Full, Failure::Broken, Failure::ReadOnly] {
                if failure.strikes(&point.name) {
                    work.push((act, failure, point.clone()));
                }
            }
        }
    }
    let seen = side_by_side(&world, &work, |site, (act, failure, point)| {
        strike(&world, site, *act, *failure, point)
    });
    let mut counts: BTreeMap<(Act, Failure, Answer), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for ((act, failure, point), seen) in work.iter().zip(seen) {
        match seen {
            Ok(answer) => *counts.entry((*act, *failure, answer)).or_default() += 1,
            Err(why) => wrong.push(format!("{act:?} {failure:?} {point:?}: {why}")),
        }
    }
    let each: Vec<String> = counts
        .iter()
        .map(|((act, failure, answer), count)| format!("{act:?} {failure:?} {answer:?} {count}"))
        .collect();
    say(&format!(
        "failing storage: {} failures, {} wrong answers ({})",
        work.len(),
        wrong.len(),
        each.join(", ")
    ));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Lets one call fail, and says how the device answered; an error says what it did wrong.
fn strike(world: &World, site: &Site, act: Act, failure: Failure, point: &Point) -> Result<Answer, String> {
    let (error, forever) = failure.injected();
    // Where the file has no name of its own, the log on standard error would fail as well.
    let forever = forever && point.about.is_some();
    let tracer = Tracer::failing(&site.path("trace"), point, &site.state(), error, forever);
    copy(&world.before(act), &site.state());
    let mut service = site.serve(Some(&tracer));
    let mut goal = None;
    let outcome = attempt(world, site, act, &mut service, &mut goal).and_then(|answer| {
        // Without a restart.
        Ok((answer, site.status_and_warning()?))
    });
    service.kill();
    let (answer, told) = match outcome {
        Ok((answer, told)) => (answer?, Some(told)),
        // It ended by itself, or it would still be waiting.
        Err(Ended) if started(&service) => return Err(format!("it ended: {}", service.log())),
        Err(Ended) => {
            let log = service.log();
            if !log.contains("cannot ") || log.contains("panicked") {
                return Err(format!("it does not say why it does not start: {log}"));
            }
            (Answer::DidNotStart, None)
        }
    };
    // Once the storage works again, everything that was there is there.
    let mut restarted = site.serve(None);
    let Ok(said) = restarted.ready() else {
        restarted.wait();
        return Err(format!("{answer:?}, and then it does not start: {}", restarted.log()));
    };
    restarted.kill();
    let snapshot = Snapshot::read(&site.state(), site)?;
    if snapshot.status() != status_named(&said) {
        return Err(format!("it says {said}, but holds {:?}", snapshot.persisted));
    }
    if let Some((status, warning)) = told
        && persisted(&status) != said
    {
        return Err(format!(
            "{answer:?}: it said {status}, warning {warning:?}, but holds {said}"
        ));
    }
    let expected = world.expected(act, goal, answer.is_done());
    match (answer, snapshot.judge(&expected)?) {
        (Answer::Refused, Side::New) => Err("it was refused, but is there".into()),
        _ => Ok(answer),
    }
}

/// What stands in the store while the device says that it is in this status.
fn persisted(status: &str) -> &str {
    match status {
        "READY_TO_PAIR" | "PROVISIONING_FAILED" => "UNPROVISIONED",
        other => other,
    }
}

fn started(service: &Service) -> bool {
    service.log().contains("\"ready\"")
}

fn attempt(
    world: &World,
    site: &Site,
    act: Act,
    service: &mut Service,
    goal: &mut Option<Goal>,
) -> Result<Result<Answer, String>, Ended> {
    service.ready()?;
    let (answer, done) = match act {
        Act::Deprovision => {
            *goal = Some(Goal::Erased);
            (site.deprovision()?, "DEPROVISIONED")
        }
        Act::Rotate => {
            *goal = Some(Goal::Rotated);
            (site.rotate_key()?, "PROVISIONED")
        }
        Act::Provision => {
            let opened = site.open_pairing()?;
            if opened.status != 201 {
                return Ok(storage_error(&opened).map(|()| Answer::NoPairing));
            }
            let qr = site.scan()?;
            let (body, wanted) = world.payload(act, &qr);
            *goal = Some(wanted);
            (site.push(&qr, body)?, "PROVISIONED")
        }
        _ => return Ok(Ok(Answer::DoneAllTheSame)),
    };
    if answer.status == 200 {
        let (status, warning) = site.status_and_warning()?;
        return Ok(match warning.as_str() {
            _ if status != done => Err(format!("it is done, but the status is {status}")),
            "" => Ok(Answer::DoneAllTheSame),
            "FormerKeyKept" => Ok(Answer::DoneButForKey),
            other => Err(format!("it is done, but the device warns of {other}")),
        });
    }
    Ok(storage_error(&answer).map(|()| Answer::Refused))
}

fn storage_error(answer: &HttpAnswer) -> Result<(), String> {
    let problem = answer.json();
    if (answer.status, problem["code"].as_str()) == (500, Some("StorageError")) {
        Ok(())
    } else {
        Err(format!("{} {problem}", answer.status))
    }
}

#[test]
fn it_says_why_it_does_not_start_on_a_read_only_file_system() {
    let world = World::new();
    let site = Site::new(world.station);
    let state = site.state();
    let Some(disk) = Mount::new(&state, 4 * 1024) else {
        return skip("a read-only file system", "a file system cannot be mounted here");
    };
    let mut service = site.serve(None);
    service.ready().unwrap();
    service.stop();
    disk.make("ro");
    let mut service = site.serve(None);
    assert!(service.ready().is_err());
    assert_eq!(service.wait(), Some(1));
    assert!(service.log().to_lowercase().contains("read-only"), "{}", service.log());
    disk.make("rw");
    let mut service = site.serve(None);
    assert_eq!(service.ready().unwrap(), "UNPROVISIONED");
    service.kill();
}

#[test]
fn it_does_not_start_with_a_store_of_another_user() {
    if !Tracer::works() {
        return skip("a store of another user", "only root gives files away");
    }
    let world = World::new();
    let site = Site::new(world.station);
    copy(&world.before(Act::Deprovision), &site.state());
    let database = site.state().join("store.db");
    std::os::unix::fs::chown(&database, Some(65_534), None).unwrap();
    let mut service = site.serve(None);
    assert!(service.ready().is_err());
    assert_eq!(service.wait(), Some(1));
    assert!(service.log().contains("belongs to user 65534"), "{}", service.log());
    std::os::unix::fs::chown(&database, Some(0), None).unwrap();
    fs::set_permissions(&database, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let mut service = site.serve(None);
    assert_eq!(service.ready().unwrap(), "PROVISIONED");
    service.kill();
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&database).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "others no longer read it");
}
