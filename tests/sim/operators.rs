//! Simulated operators: run-time changes and reloads while clients send requests. Also sets results
//! of health checks, which have the same effects.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use equipoise::app;
use equipoise::health::{CheckTarget, Health};
use equipoise::service::{Author, CONFIGURED, Change, EndpointSpec, SplitChange, Terms};
use tokio::time::sleep;

use super::file::{Balancing, File};
use super::ledger::Place;
use super::members::Members;
use super::world::{SERVICES, World};

/// The operators, and their model of each service.
pub struct Operators {
    world: Rc<World>,
    file: File,
    /// The model of each service.
    members: Vec<Members>,
}

impl Operators {
    /// For a gateway that runs with `file`.
    pub fn new(world: &Rc<World>, file: File) -> Operators {
        let members = SERVICES.map(|service| {
            let sites = world.sites.iter().enumerate().filter(|(_, site)| site.service == service);
            let sites = sites.map(|(number, site)| (number, site.address.to_string()));
            Members::new(service, file.panic, sites).configured(|backend| file.weights[backend])
        });
        Operators { world: Rc::clone(world), file, members: members.into() }
    }

    /// Makes a random change of a service.
    pub async fn change(&mut self) {
        // `orders` is changed as often as all others together.
        let service = self.world.rng.borrow_mut().usize(..2 * self.members.len());
        let service = if service < self.members.len() { service } else { 0 };
        let (change, conditions) = {
            let rng = &mut *self.world.rng.borrow_mut();
            let members = &self.members[service];
            let revision = members.revision - u64::from(rng.u8(..8) == 0);
            let conditions = Terms {
                expected_revision: (rng.u8(..4) == 0).then_some(revision),
                allow_empty: self.world.faults,
                ttl: None,
            };
            let change = match rng.u8(..8) {
                0 if self.file.panic_is_known() => eject(members, rng),
                _ => draw(members, self.file.drain, rng),
            };
            (change, conditions)
        };
        self.make(service, change, conditions).await;
    }

    async fn make(&mut self, service: usize, change: Change, conditions: Terms) {
        let (world, members) = (&self.world, &mut self.members[service]);
        let after = members.changed(&change, conditions);
        world.trace(&format!("{}: {change}", members.service));
        if let Some(after) = &after {
            world.ledger.put_back(&after.taking(true));
        }
        let running = world.registry.get(members.service).expect("every file has it");
        let answer = running.change(change, conditions, Author::from("operator")).await;
        match (answer, after) {
            (Ok(revision), Some(after)) => {
                world.ledger.take_out(&after.taking(false));
                if revision != after.revision {
                    let wanted = after.revision;
                    world.ledger.wrong(format!("revision {revision} is told, not {wanted}"));
                }
                *members = after;
            }
            (Err(error), None) => world.trace(&format!("refused: {error}")),
            (answer, after) => {
                world.ledger.wrong(format!("a change of {members:?} to {after:?} is {answer:?}"));
            }
        }
        self.look();
    }

    /// Whether health checks are simulated.
    pub fn examines(&self) -> bool {
        self.file.panic_is_known()
    }

    /// Sets the result of a random backend's health check.
    pub async fn examine(&mut self) {
        let world = &self.world;
        let (service, backend, health) = {
            let rng = &mut *world.rng.borrow_mut();
            let service = rng.usize(..self.members.len());
            let there: Vec<_> = self.members[service].present().collect();
            if there.is_empty() {
                return;
            }
            let declared = world.faults && rng.u8(..3) == 0;
            let health = match rng.u8(..5) {
                0 | 1 => Health::Healthy,
                _ => world.environment.health.unhealthy("HTTP 503", declared),
            };
            (service, there[rng.usize(..there.len())].clone(), health)
        };
        let members = &mut self.members[service];
        let after = members.examined(&backend, &health);
        world.trace(&format!("{}: {backend} is found {health:?}", members.service));
        world.ledger.put_back(&after.taking(true));
        let running = world.registry.get(members.service).expect("every file has it");
        let check = running.view().spec.health.clone().expect("every file has it");
        let subject = CheckTarget { address: backend.as_str().into(), place: None, check };
        world.environment.health.report(&subject, health);
        for waited in 0.. {
            if after.differs(&running.view()).is_none() {
                break;
            }
            if waited > 100 {
                world.ledger.wrong(format!("nobody takes notice that {backend} is not as it was"));
                break;
            }
            sleep(Duration::from_millis(1)).await;
        }
        world.ledger.take_out(&after.taking(false));
        *members = after;
    }

    /// Changes the weights of the split.
    pub async fn steer(&mut self) {
        let world = &self.world;
        let change = {
            let rng = &mut *world.rng.borrow_mut();
            let mut weight = || if rng.bool() { 0 } else { rng.u32(1..10) };
            match (weight(), weight()) {
                (0, 0) => SplitChange::Reset,
                (orders, canary) => SplitChange::Set(
                    [("orders".to_owned(), orders), ("canary".to_owned(), canary)].into(),
                ),
            }
        };
        world.trace(&format!("split: {change}"));
        let shares = |takes: bool| {
            let weight = |service| match &change {
                SplitChange::Set(weights) => weights[service],
                SplitChange::Reset | SplitChange::Revert(_) => 1,
            };
            let shares = ["orders", "canary"].into_iter();
            shares.filter(|share| (weight(*share) > 0) == takes).map(Place::Share).collect()
        };
        world.ledger.put_back(&shares(true));
        let terms = Terms::default();
        let by = Author::from("operator");
        let answer = world.registry.change_split("split", &change, terms, &by).await;
        if let Err(error) = answer {
            world.ledger.wrong(format!("{change} is refused: {error}"));
        }
        world.ledger.take_out(&shares(false));
    }

    /// Reloads another file; where nothing may go wrong, only one that leaves every service an
    /// eligible backend.
    pub async fn reload(&mut self) {
        let world = &self.world;
        let mut file = self.file.clone();
        {
            let rng = &mut *world.rng.borrow_mut();
            file.extra = rng.bool();
            if rng.bool() {
                file.balancer = Balancing::draw(rng);
            }
            let changed = rng.usize(..2 * file.weights.len());
            if let Some(weight) = file.weights.get_mut(changed) {
                *weight = (rng.u8(..3) > 0).then(|| rng.u32(..4));
            }
        }
        let configured = |members: &Members| members.configured(|backend| file.weights[backend]);
        let after: Vec<_> = self.members.iter().map(configured).collect();
        if !world.faults && !after.iter().all(Members::serves) {
            return;
        }
        world.trace("reload");
        after.iter().for_each(|members| world.ledger.put_back(&members.taking(true)));
        let (registry, environment) = (&world.registry, &world.environment);
        let before = registry.routing();
        app::publish(registry, environment, file.plan(&world.sites)).await;
        registry.retire(&before).await;
        after.iter().for_each(|members| world.ledger.take_out(&members.taking(false)));
        (self.file, self.members) = (file, after);
        self.look();
    }

    /// Compares the gateway's view with the model.
    fn look(&self) {
        for members in &self.members {
            let running = self.world.registry.get(members.service).expect("every file has it");
            if let Some(wrong) = members.differs(&running.view()) {
                self.world.ledger.wrong(wrong);
            }
        }
    }
}

/// Ejects a backend until it is healed, or heals one.
fn eject(members: &Members, rng: &mut fastrand::Rng) -> Change {
    let all: Vec<&String> = members.addresses().collect();
    let address = all[rng.usize(..all.len())].clone();
    match rng.bool() {
        true => Change::Eject { address, time: None },
        false => Change::Heal(address),
    }
}

/// A random change, which may be invalid. Half of the drains have a timeout of `limit`.
fn draw(members: &Members, limit: Option<Duration>, rng: &mut fastrand::Rng) -> Change {
    let all: Vec<&String> = members.addresses().collect();
    let one = |rng: &mut fastrand::Rng| all[rng.usize(..all.len())].clone();
    match rng.u8(..14) {
        0 | 1 => {
            let timeout = limit.filter(|_| rng.bool());
            Change::Drain { address: one(rng), timeout }
        }
        2..5 => Change::Undrain(one(rng)),
        5..8 => {
            let weight = if rng.u8(..4) == 0 { 0 } else { rng.u32(1..10) };
            Change::Add(vec![EndpointSpec { address: one(rng), weight }])
        }
        8 | 9 => Change::Remove(vec![one(rng)]),
        10 | 11 => {
            let weights = (0..rng.u8(1..3)).map(|_| (one(rng), rng.u32(..10)));
            Change::SetWeights(weights.collect::<BTreeMap<_, _>>())
        }
        12 if rng.bool() => Change::Reset(Vec::new()),
        12 => Change::Reset(vec![one(rng)]),
        _ if rng.bool() => Change::SetPolicy { policy: CONFIGURED.into(), settings: Vec::new() },
        _ => {
            let Balancing { policy, settings } = Balancing::draw(rng);
            Change::SetPolicy { policy: policy.into(), settings }
        }
    }
}
