//! SIGKILL right before every system call that changes a file of the store or makes a change durable.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use zmon_testkit::skip::skip;

use crate::act::{Act, World, status_named};
use crate::site::Site;
use crate::trace::{Point, Tracer, parse, points};
use crate::verdict::{Side, Snapshot};
use crate::{my_turn, say};

/// How many devices live side by side.
pub(crate) const SIDE_BY_SIDE: usize = 2;
/// Fewer cut points than this are not enough.
const ENOUGH: usize = 500;

/// What was seen at one point.
enum Seen {
    Cut(Side),
    /// The program did not come to that point this time.
    NotReached,
    Torn(String),
}

#[test]
fn it_is_old_or_new_after_a_kill_at_every_change() {
    if !Tracer::works() {
        return skip(
            "kills at every change of the store",
            "strace is not installed, or this is not root",
        );
    }
    let _turn = my_turn();
    let world = World::new();
    let recorder = Site::new(world.station);
    let mut cuts = Vec::new();
    for act in Act::ALL {
        let tracer = Tracer::recording(&recorder.path("trace"));
        let mut performed = world.perform(act, &recorder, Some(&tracer));
        assert!(performed.acknowledged, "{}", performed.service.log());
        performed.service.stop();
        let lines = tracer.lines();
        let found = points(&lines, &parse(&lines, &recorder.state()));
        cuts.extend(found.into_iter().map(|point| (act, point)));
    }
    let seen = side_by_side(&world, &cuts, |site, (act, point)| cut(&world, site, *act, point));

    let mut counts: BTreeMap<Act, [usize; 2]> = BTreeMap::new();
    let (mut torn, mut missed) = (Vec::new(), 0);
    for ((act, point), seen) in cuts.iter().zip(seen) {
        match seen {
            Seen::Cut(side) => counts.entry(*act).or_default()[usize::from(side == Side::New)] += 1,
            Seen::NotReached => missed += 1,
            Seen::Torn(how) => torn.push(format!("{act:?} {point:?}: {how}")),
        }
    }
    let reached: usize = counts.values().flatten().sum();
    let each: Vec<String> = counts
        .iter()
        .map(|(act, [old, new])| format!("{act:?} {old} old and {new} new"))
        .collect();
    say(&format!(
        "power cuts: killed at {reached} different points of its life, {} torn states ({}; {missed} more were not reached)",
        torn.len(),
        each.join(", ")
    ));
    assert!(torn.is_empty(), "{torn:#?}");
    assert!(reached >= ENOUGH, "only {reached} cut points");
}

/// Spreads work over some devices, each with its own folder; the answers come in the order of the work.
pub(crate) fn side_by_side<W: Sync, A: Send>(
    world: &World,
    work: &[W],
    each: impl Fn(&Site, &W) -> A + Sync,
) -> Vec<A> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                let site = Site::new(world.station);
                while let Some((index, item)) = {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    work.get(index).map(|item| (index, item))
                } {
                    let answer = each(&site, item);
                    answers.lock().unwrap().push((index, answer));
                }
            });
        }
    });
    let mut answers = answers.into_inner().unwrap();
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn cut(world: &World, site: &Site, act: Act, point: &Point) -> Seen {
    let tracer = Tracer::killing(&site.path("trace"), point, &site.state());
    let mut performed = world.perform(act, site, Some(&tracer));
    performed.service.stop();
    if !tracer.lines().iter().any(|line| line.contains("killed by SIGKILL")) {
        return Seen::NotReached;
    }
    let expected = world.expected(act, performed.goal, performed.acknowledged);
    // The device itself first, as it comes back with the power.
    let mut service = site.serve(None);
    let Ok(said) = service.ready() else {
        service.wait();
        return Seen::Torn(format!("it does not start: {}", service.log()));
    };
    service.kill();
    let snapshot = match Snapshot::read(&site.state(), site) {
        Ok(snapshot) => snapshot,
        Err(why) => return Seen::Torn(why),
    };
    if snapshot.status() != status_named(&said) {
        return Seen::Torn(format!("it says {said}, but holds {:?}", snapshot.persisted));
    }
    match snapshot.judge(&expected) {
        Ok(side) => Seen::Cut(side),
        Err(why) => Seen::Torn(why),
    }
}
