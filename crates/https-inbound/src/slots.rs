//! Who is let in while connections are scarce. Counted before TLS.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::limits::Limits;
use crate::peer::Peer;

/// The connections of one open listener.
///
/// - A sender has a bounded number of them.
/// - The last few are for senders that have no connection waiting, so that one sender's connections exclude nobody
///   else. Meanwhile a sender that has one and wants another exchanges the old one for the new one.
/// - Where all are taken, a sender that has none waiting displaces one that is: of whoever has most connections, the
///   oldest. So many senders together exclude nobody either.
///
/// A connection waits until it has delivered a request whose processing may be worth something.
#[derive(Debug)]
pub(crate) struct Slots(Mutex<Table>);

#[derive(Debug)]
struct Table {
    total: usize,
    per_sender: usize,
    reserved: usize,
    next: u64,
    held: HashMap<u64, Held>,
}

#[derive(Debug)]
struct Held {
    peer: Peer,
    /// Delivered a request that is being processed: not to be displaced.
    busy: bool,
    displaced: Arc<Notify>,
}

/// A place for one connection, given back on drop.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    id: u64,
    displaced: Arc<Notify>,
}

impl Slots {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Table {
            total: limits.connections,
            per_sender: limits.connections_per_address,
            reserved: limits.reserved_connections,
            next: 0,
            held: HashMap::new(),
        })))
    }

    /// A place for a connection of this sender; none where it has to be closed at once.
    pub(crate) fn take(self: &Arc<Self>, peer: Peer) -> Option<Slot> {
        let (id, displaced) = self.table().take(peer)?;
        Some(Slot {
            slots: Arc::clone(self),
            id,
            displaced,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn take(&mut self, peer: Peer) -> Option<(u64, Arc<Notify>)> {
        if self.count(peer) >= self.per_sender {
            return None;
        }
        let free = self.total.saturating_sub(self.held.len());
        if free <= self.reserved {
            match self.oldest_waiting_of(peer) {
                Some(own) => self.displace(own),
                None if free == 0 => self.displace(self.most_dispensable()?),
                None => {}
            }
        }
        let id = self.next;
        self.next += 1;
        let displaced = Arc::new(Notify::new());
        let held = Held {
            peer,
            busy: false,
            displaced: Arc::clone(&displaced),
        };
        self.held.insert(id, held);
        Some((id, displaced))
    }

    fn displace(&mut self, victim: u64) {
        if let Some(held) = self.held.remove(&victim) {
            held.displaced.notify_one();
        }
    }

    fn waiting(&self) -> impl Iterator<Item = (u64, Peer)> {
        let waiting = self.held.iter().filter(|(_, held)| !held.busy);
        waiting.map(|(id, held)| (*id, held.peer))
    }

    fn oldest_waiting_of(&self, peer: Peer) -> Option<u64> {
        self.waiting()
            .filter(|(_, held_by)| *held_by == peer)
            .map(|(id, _)| id)
            .min()
    }

    fn most_dispensable(&self) -> Option<u64> {
        let rank = |(id, held_by): &(u64, Peer)| (self.count(*held_by), Reverse(*id));
        self.waiting().max_by_key(rank).map(|(id, _)| id)
    }

    fn count(&self, peer: Peer) -> usize {
        self.held.values().filter(|held| held.peer == peer).count()
    }
}

impl Slot {
    /// Whether the connection has delivered a request that is being processed.
    pub(crate) fn set_busy(&self, busy: bool) {
        if let Some(held) = self.slots.table().held.get_mut(&self.id) {
            held.busy = busy;
        }
    }

    /// Returns when the connection has to make room.
    pub(crate) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.table().held.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(connections: usize, connections_per_address: usize, reserved_connections: usize) -> Arc<Slots> {
        Slots::new(&Limits {
            connections,
            connections_per_address,
            reserved_connections,
            ..Limits::default()
        })
    }

    fn is_displaced(slot: &Slot) -> bool {
        let mut displaced = std::pin::pin!(slot.displaced());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::future::Future::poll(displaced.as_mut(), &mut context).is_ready()
    }

    #[test]
    fn gives_one_sender_so_many_and_no_more() {
        let slots = slots(64, 4, 8);
        let mut held: Vec<_> = (0..4).map(|_| slots.take(Peer::V4(1)).unwrap()).collect();
        assert!(slots.take(Peer::V4(1)).is_none());
        held.pop();
        assert!(slots.take(Peer::V4(1)).is_some());
    }

    #[test]
    fn holds_the_last_ones_back_for_senders_that_have_none() {
        let slots = slots(8, 4, 3);
        let mut held = Vec::new();
        for sender in [1, 1, 1, 1, 2] {
            held.push(slots.take(Peer::V4(sender)).unwrap());
        }
        // Three are left: the second sender gets none of them, it exchanges its own.
        let exchanged = held.pop().unwrap();
        held.push(slots.take(Peer::V4(2)).unwrap());
        assert!(is_displaced(&exchanged));
        for sender in 3..6 {
            held.push(slots.take(Peer::V4(sender)).unwrap());
        }
        assert!(held.iter().all(|slot| !is_displaced(slot)));
    }

    #[test]
    fn lets_a_sender_come_again_whose_answer_is_still_being_sent() {
        let slots = slots(2, 2, 1);
        let (_other, mine) = (slots.take(Peer::V4(1)).unwrap(), slots.take(Peer::V4(2)).unwrap());
        mine.set_busy(true);
        assert!(slots.take(Peer::V4(2)).is_some());
        assert!(!is_displaced(&mine));
    }

    #[test]
    fn lets_a_new_sender_displace_the_oldest_connection_of_whoever_has_most() {
        let slots = slots(4, 2, 0);
        let held: Vec<_> = [1, 2, 2, 3].map(|sender| slots.take(Peer::V4(sender)).unwrap()).into();
        let newcomer = slots.take(Peer::V4(9)).unwrap();
        let displaced: Vec<_> = held.iter().map(is_displaced).collect();
        assert_eq!(displaced, [false, true, false, false]);
        assert!(!is_displaced(&newcomer));
        assert_eq!(slots.table().held.len(), 4);
    }

    #[test]
    fn displaces_nobody_whose_request_is_being_processed() {
        let slots = slots(2, 2, 0);
        let (first, second) = (slots.take(Peer::V4(1)).unwrap(), slots.take(Peer::V4(2)).unwrap());
        first.set_busy(true);
        second.set_busy(true);
        assert!(slots.take(Peer::V4(3)).is_none());
        second.set_busy(false);
        assert!(slots.take(Peer::V4(3)).is_some());
        assert!(is_displaced(&second) && !is_displaced(&first));
    }

    #[test]
    fn leaves_the_count_right_when_a_displaced_connection_ends() {
        let slots = slots(1, 1, 0);
        let first = slots.take(Peer::V4(1)).unwrap();
        let second = slots.take(Peer::V4(2)).unwrap();
        drop(first);
        assert_eq!(slots.table().held.len(), 1);
        drop(second);
        assert_eq!(slots.table().held.len(), 0);
    }
}
