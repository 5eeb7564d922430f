//! So many clients at a time. When all places are taken, the client that has kept its own
//! for the longest time without asking gives it to the next, or else the one that has not
//! taken its answer for the longest time.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local};

/// The places of all clients.
pub struct Places {
    most: usize,
    taken: RefCell<Taken>,
    /// A place has become free, or the client of one waits again.
    changed: Notify,
}

#[derive(Default)]
struct Taken {
    next: u64,
    /// Who has one, and how to end that.
    clients: BTreeMap<u64, AbortHandle>,
    /// Those that have not asked yet, the oldest first.
    silent: VecDeque<u64>,
    /// Those that have to take their answers, the oldest first. What the others have asked for
    /// is on its way.
    answered: VecDeque<u64>,
    /// The one that makes room, until its task has ended.
    leaving: Option<u64>,
}

/// The place of one client, which is free again when this is dropped.
pub struct Place {
    number: u64,
    places: Rc<Places>,
}

impl Places {
    pub fn new(most: usize) -> Self {
        Self {
            most,
            taken: RefCell::default(),
            changed: Notify::new(),
        }
    }

    pub fn all_are_free(&self) -> bool {
        self.taken.borrow().clients.is_empty()
    }

    /// Runs `client` as a task of its own, as soon as there is a place for it. The place is
    /// free when that has returned, or was aborted to make room.
    pub async fn spawn(self: &Rc<Self>, client: impl AsyncFnOnce(&Place) + 'static) {
        loop {
            let changed = self.changed.notified();
            if self.has_room() {
                break;
            }
            changed.await;
        }
        let mut taken = self.taken.borrow_mut();
        let number = taken.next;
        taken.next += 1;
        let places = Rc::clone(self);
        let place = Place { number, places };
        // It does not run before this function has returned or waits.
        let task = spawn_local(async move { client(&place).await });
        taken.clients.insert(number, task.abort_handle());
        taken.silent.push_back(number);
    }

    /// Whether there is a place. Else one becomes free, if there is a client that may go.
    fn has_room(&self) -> bool {
        let mut taken = self.taken.borrow_mut();
        if taken.clients.len() < self.most {
            return true;
        }
        if taken.leaving.is_none() {
            let answered = taken.answered.front().copied();
            let oldest = taken.silent.pop_front().or(answered);
            if let Some(client) = oldest.and_then(|oldest| taken.clients.get(&oldest)) {
                client.abort();
            }
            taken.leaving = oldest;
        }
        false
    }
}

impl Place {
    /// The client has asked: it is kept until it has an answer.
    pub fn has_asked(&self) {
        self.places.taken.borrow_mut().forget(self.number);
    }

    /// The client has to take its answer.
    pub fn has_answer(&self) {
        let mut taken = self.places.taken.borrow_mut();
        taken.answered.push_back(self.number);
        drop(taken);
        self.places.changed.notify_waiters();
    }
}

impl Taken {
    /// Nothing is waited for from this client.
    fn forget(&mut self, client: u64) {
        self.silent.retain(|number| *number != client);
        self.answered.retain(|number| *number != client);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.borrow_mut();
        taken.clients.remove(&self.number);
        taken.leaving = taken.leaving.filter(|number| *number != self.number);
        taken.forget(self.number);
        drop(taken);
        // Two sockets may have a client that waits.
        self.places.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
    use tokio::task::{LocalSet, yield_now};

    /// What a client does next.
    enum Step {
        Asks,
        HasAnswer,
    }

    /// One that does what it is told, and leaves only when it has to make room.
    async fn client(places: &Rc<Places>) -> UnboundedSender<Step> {
        let (steps, mut told) = unbounded_channel();
        let kept = steps.clone();
        let client = async move |place: &Place| {
            while let Some(step) = told.recv().await {
                match step {
                    Step::Asks => place.has_asked(),
                    Step::HasAnswer => place.has_answer(),
                }
            }
            // Until here there was somebody who could tell it something.
            drop(kept);
        };
        places.spawn(client).await;
        steps
    }

    async fn tell(client: &UnboundedSender<Step>, step: Step) {
        assert!(client.send(step).is_ok());
        settle().await;
    }

    /// Until each task has done what it can.
    async fn settle() {
        for _ in 0..8 {
            yield_now().await;
        }
    }

    /// The clients by their order.
    fn taken(places: &Places) -> Vec<u64> {
        places.taken.borrow().clients.keys().copied().collect()
    }

    fn run(test: impl AsyncFnOnce()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        LocalSet::new().block_on(&runtime.unwrap(), test());
    }

    #[test]
    fn the_oldest_that_has_not_asked_makes_room_for_the_next() {
        run(async || {
            let places = Rc::new(Places::new(3));
            let asking = client(&places).await;
            tell(&asking, Step::Asks).await;
            client(&places).await;
            client(&places).await;
            assert_eq!(taken(&places), [0, 1, 2]);

            client(&places).await;
            assert_eq!(taken(&places), [0, 2, 3]);
        });
    }

    #[test]
    fn who_takes_an_answer_makes_room_after_all_that_are_silent() {
        run(async || {
            let places = Rc::new(Places::new(2));
            let answered = client(&places).await;
            tell(&answered, Step::Asks).await;
            tell(&answered, Step::HasAnswer).await;
            client(&places).await;

            // The silent one is younger, but goes.
            let asking = client(&places).await;
            assert_eq!(taken(&places), [0, 2]);

            tell(&asking, Step::Asks).await;
            client(&places).await;
            assert_eq!(taken(&places), [2, 3]);
        });
    }

    #[test]
    fn while_all_wait_for_answers_a_newcomer_waits() {
        run(async || {
            let places = Rc::new(Places::new(1));
            let asking = client(&places).await;
            tell(&asking, Step::Asks).await;
            let newcomer = Rc::clone(&places);
            let newcomer = spawn_local(async move { newcomer.spawn(async |_| {}).await });
            settle().await;
            assert_eq!(taken(&places), [0]);
            assert!(!newcomer.is_finished());

            tell(&asking, Step::HasAnswer).await;
            newcomer.await.unwrap();
            settle().await;

            assert!(places.all_are_free());
        });
    }
}
