//! In any history of calls nothing is lost, nothing is done twice, and every subject is in order.

use std::collections::BTreeMap;

use chassis_capabilities::event::Envelope;
use chassis_capabilities::messaging::{Delivery, MessagingError, Outcome};
use chassis_config::plan::MessagingPolicy;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::bench::{Bench, DAY, Factory, MAIL, SECOND, Sqlite, event, host_failure, policy, reject, retry_after};

const ATTEMPTS: u32 = 3;

/// As [`bench::LEASE`](crate::bench::LEASE).
const LEASE_SECONDS: u32 = 30;

#[derive(Debug, Clone)]
enum Call {
    Publish(Vec<Draft>),
    /// Publish once more what was published.
    Repeat(usize),
    Lease(u32),
    /// Complete one of all deliveries that were ever leased.
    Complete(usize, Ending),
    Renew(usize),
    Replay(usize),
    Cancel(usize),
    Pass(u32),
    Restart,
}

#[derive(Debug, Clone)]
struct Draft {
    subject: Option<u8>,
    priority: u8,
    delay: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    Ack,
    Retry(u32),
    Reject,
    HostFailure,
}

/// What the model knows of a delivery. Times are seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// Due from this time on.
    Waits(u32),
    Held {
        lease: u64,
        until: u32,
    },
    Done,
    Dead,
}

#[derive(Debug)]
struct Known {
    event: Envelope,
    state: State,
    failed: u32,
    /// The order in its subject: when it was due for the first time, and then when it came.
    place: (u32, usize),
}

#[derive(Debug, Default)]
struct Model {
    now: u32,
    arrivals: usize,
    known: BTreeMap<String, Known>,
    leased: Vec<Delivery>,
    last_lease: u64,
}

fn call() -> impl Strategy<Value = Call> {
    let draft = (proptest::option::weighted(0.7, 0_u8..3), 0_u8..10, proptest::option::weighted(0.3, 1_u32..20))
        .prop_map(|(subject, priority, delay)| Draft { subject, priority, delay });
    let ending = prop_oneof![
        5 => Just(Ending::Ack),
        3 => (0_u32..15).prop_map(Ending::Retry),
        1 => Just(Ending::Reject),
        1 => Just(Ending::HostFailure),
    ];
    prop_oneof![
        6 => proptest::collection::vec(draft, 1..5).prop_map(Call::Publish),
        1 => any::<usize>().prop_map(Call::Repeat),
        6 => prop_oneof![1_u32..4, Just(1_000)].prop_map(Call::Lease),
        10 => (any::<usize>(), ending).prop_map(|(which, ending)| Call::Complete(which, ending)),
        1 => any::<usize>().prop_map(Call::Renew),
        2 => any::<usize>().prop_map(Call::Replay),
        1 => any::<usize>().prop_map(Call::Cancel),
        4 => prop_oneof![4 => 0_u32..12, 1 => Just(LEASE_SECONDS)].prop_map(Call::Pass),
        1 => Just(Call::Restart),
    ]
}

impl State {
    fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Dead)
    }

    fn is_due(self, now: u32) -> bool {
        matches!(self, Self::Waits(due) | Self::Held { until: due, .. } if due <= now)
    }
}

impl Model {
    /// What a lease without limit must answer: all that is due, of each subject only the first.
    fn due(&self) -> Vec<&str> {
        let first = |known: &Known| {
            let rivals = self.known.values().filter(|rival| rival.event.subject == known.event.subject);
            known.event.subject.is_none()
                || !rivals.into_iter().any(|rival| !rival.state.is_over() && rival.place < known.place)
        };
        let due = self.known.iter().filter(|(_, known)| known.state.is_due(self.now) && first(known));
        due.map(|(id, _)| id.as_str()).collect()
    }

    async fn publish(&mut self, bench: &Bench, drafts: Vec<Draft>) {
        let mut events = Vec::new();
        for draft in drafts {
            self.arrivals += 1;
            let id = format!("e{:03}", self.arrivals);
            let event = Envelope {
                subject: draft.subject.map(|subject| format!("s{subject}")),
                priority: draft.priority,
                not_before: draft.delay.map(|delay| bench.now() + SECOND * delay),
                ..event(&id)
            };
            let due = self.now + draft.delay.unwrap_or(0);
            let known =
                Known { event: event.clone(), state: State::Waits(due), failed: 0, place: (due, self.arrivals) };
            self.known.insert(id, known);
            events.push(event);
        }
        bench.publish(events).await;
    }

    async fn lease(&mut self, bench: &Bench, limit: u32) {
        let expected: Vec<String> = self.due().into_iter().map(str::to_owned).collect();
        let leased = bench.lease(MAIL, limit).await;
        assert_eq!(leased.len(), expected.len().min(limit as usize), "expected {expected:?}");
        let until = self.now + LEASE_SECONDS;
        for delivery in leased {
            let known = self.known.get_mut(&delivery.event.id).expect("published");
            assert!(expected.contains(&delivery.event.id), "{} is not due: {known:?}", delivery.event.id);
            assert_eq!((&delivery.event, delivery.attempt), (&known.event, known.failed + 1));
            assert!(delivery.lease > self.last_lease);
            known.state = State::Held { lease: delivery.lease, until };
            self.leased.push(delivery);
        }
        self.last_lease = self.leased.iter().map(|delivery| delivery.lease).max().unwrap_or(0);
    }

    async fn complete(&mut self, bench: &Bench, which: usize, ending: Ending) {
        let Some(delivery) = pick(&self.leased, which).cloned() else { return };
        let outcome = match ending {
            Ending::Ack => Outcome::Ack,
            Ending::Retry(pause) => retry_after(SECOND * pause),
            Ending::Reject => reject(),
            Ending::HostFailure => host_failure(),
        };
        let answer = bench.backend.complete(&delivery, outcome).await;
        let now = self.now;
        let known = self.known.get_mut(&delivery.event.id).expect("leased");
        let until = match known.state {
            State::Held { lease, until } if lease == delivery.lease => until,
            _ => {
                assert_eq!(answer, Err(MessagingError::LeaseLost), "{known:?}");
                return;
            }
        };
        if answer == Err(MessagingError::LeaseLost) {
            assert!(until <= now, "lost before its time");
            known.state = State::Waits(until);
            return;
        }
        assert_eq!(answer, Ok(()));
        match ending {
            Ending::Ack => known.state = State::Done,
            Ending::Reject => known.state = State::Dead,
            Ending::HostFailure => {
                // The pause is random, but shorter than this.
                known.state = State::Waits(now + 2);
                self.pass(bench, 2);
            }
            Ending::Retry(pause) => {
                known.failed += 1;
                known.state = if known.failed < ATTEMPTS { State::Waits(now + pause) } else { State::Dead };
            }
        }
    }

    async fn renew(&mut self, bench: &Bench, which: usize) {
        let Some(delivery) = pick(&self.leased, which) else { return };
        let answer = bench.backend.renew(delivery).await;
        let known = self.known.get_mut(&delivery.event.id).expect("leased");
        match known.state {
            State::Held { lease, until } if lease == delivery.lease => match answer {
                Ok(()) => known.state = State::Held { lease, until: self.now + LEASE_SECONDS },
                Err(_) => assert!(until <= self.now, "lost before its time"),
            },
            _ => assert_eq!(answer, Err(MessagingError::LeaseLost)),
        }
    }

    async fn replay(&mut self, bench: &Bench, which: usize) {
        let letters = bench.backend.dead_letters(None, None, 1_000).await.expect("lists").items;
        let dead = self.known.values().filter(|known| known.state == State::Dead).count();
        assert_eq!(letters.len(), dead);
        let Some(letter) = pick(&letters, which) else { return };
        assert_eq!(bench.backend.replay(&letter.id).await, Ok(true));
        self.arrivals += 1;
        let known = self.known.get_mut(&letter.event.id).expect("published");
        known.state = State::Waits(self.now);
        known.failed = 0;
        known.place = (self.now, self.arrivals);
    }

    async fn cancel(&mut self, bench: &Bench, which: usize) {
        let ids: Vec<String> = self.known.keys().cloned().collect();
        let Some(id) = pick(&ids, which) else { return };
        let known = &self.known[id];
        // Only what was never due: a replay and a retry have been.
        let possible = matches!(known.state, State::Waits(due) if due > self.now) && known.place.0 > self.now;
        assert_eq!(bench.backend.cancel(id, &known.event.source).await, Ok(possible), "{known:?}");
        if possible {
            self.known.get_mut(id).expect("known").state = State::Done;
        }
    }

    async fn repeat(&self, bench: &Bench, which: usize) {
        let events: Vec<&Envelope> = self.known.values().map(|known| &known.event).collect();
        if let Some(event) = pick(&events, which) {
            bench.publish([(*event).clone()]).await;
        }
    }

    fn pass(&mut self, bench: &Bench, seconds: u32) {
        bench.pass(SECOND * seconds);
        self.now += seconds;
    }

    /// A restart ends all leases.
    fn restarted(&mut self) {
        for known in self.known.values_mut() {
            if let State::Held { lease, until } = known.state {
                known.state = State::Held { lease, until: until.min(self.now) };
            }
        }
    }

    async fn counts(&self, bench: &Bench) {
        let [ready, blocked, delayed, leased, dead] = bench.counts(MAIL).await;
        let alive = self.known.values().filter(|known| !known.state.is_over()).count() as u64;
        assert_eq!(ready + blocked + delayed + leased, alive);
        assert_eq!(dead, self.known.values().filter(|known| known.state == State::Dead).count() as u64);
    }

    /// In the end all is delivered, whatever happened before.
    async fn drain(&mut self, bench: &Bench) {
        self.pass(bench, 100);
        while !self.due().is_empty() {
            let before = self.leased.len();
            self.lease(bench, 1_000).await;
            for which in before..self.leased.len() {
                self.complete(bench, which, Ending::Ack).await;
            }
        }
        assert!(self.known.values().all(|known| known.state.is_over()));
        self.counts(bench).await;
    }
}

fn pick<T>(list: &[T], which: usize) -> Option<&T> {
    list.get(which.checked_rem(list.len())?)
}

async fn live<F: Factory>(calls: Vec<Call>) {
    let policy = MessagingPolicy { attempts: ATTEMPTS, max_age: 365 * DAY, queue_length: 100_000, ..policy() };
    let (mut bench, mut model) = (F::open(policy.clone()).await, Model::default());
    for call in calls {
        match call {
            Call::Publish(drafts) => model.publish(&bench, drafts).await,
            Call::Repeat(which) => model.repeat(&bench, which).await,
            Call::Lease(limit) => model.lease(&bench, limit).await,
            Call::Complete(which, ending) => model.complete(&bench, which, ending).await,
            Call::Renew(which) => model.renew(&bench, which).await,
            Call::Replay(which) => model.replay(&bench, which).await,
            Call::Cancel(which) => model.cancel(&bench, which).await,
            Call::Pass(seconds) => model.pass(&bench, seconds),
            Call::Restart => {
                bench = F::restart(bench, policy.clone()).await;
                model.restarted();
            }
        }
        model.counts(&bench).await;
    }
    model.drain(&bench).await;
}

#[test]
fn any_history_of_the_embedded_backend_keeps_its_promises() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("starts");
    let config = ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() };
    let calls = proptest::collection::vec(call(), 1..60);
    let outcome = TestRunner::new(config).run(&calls, |calls| {
        runtime.block_on(live::<Sqlite>(calls));
        Ok(())
    });
    outcome.expect("every promise holds");
}
