//! What happens while clients send requests: changes that operators make, and faults.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use equipoise::app;
use equipoise::net::Way;
use equipoise::service::{Author, Change, Conditions};
use tokio::time::sleep;

use super::backend;
use super::world::World;

/// Lets things happen until the world ends.
pub async fn reign(world: Rc<World>, workers: usize) {
    let mut out: Option<usize> = None;
    let mut extra = false;
    loop {
        let pause = world.rng.borrow_mut().u64(5..200);
        sleep(Duration::from_millis(pause)).await;
        let what = world.rng.borrow_mut().u8(..12);
        match what {
            0 => out = drain(&world, out).await,
            1 => weigh(&world).await,
            2 => {
                extra = !extra;
                reload(&world, workers, extra).await;
            }
            3 => slow_down(&world),
            _ if !world.faults => {}
            4 | 5 => cut(&world),
            6 | 7 => stall(&world).await,
            8 => crash(&world).await,
            _ => {}
        }
    }
}

async fn change(world: &World, change: Change) -> bool {
    let Some(service) = world.registry.get("orders") else { return false };
    let conditions = Conditions { allow_empty: true, ..Conditions::default() };
    service.change(change, conditions, Author::from("operator")).await.is_ok()
}

/// Takes a backend out, or puts back the one that is.
async fn drain(world: &World, out: Option<usize>) -> Option<usize> {
    if world.backends.len() < 2 {
        return None;
    }
    if let Some(backend) = out {
        world.trace(&format!("backend {backend} is put back"));
        world.ledger.put_back(backend);
        change(world, Change::Undrain(world.backends[backend].to_string())).await;
        return None;
    }
    let backend = world.rng.borrow_mut().usize(..world.backends.len());
    if !change(world, Change::Drain(world.backends[backend].to_string())).await {
        return None;
    }
    world.trace(&format!("backend {backend} is drained"));
    world.ledger.taken_out(backend);
    Some(backend)
}

async fn weigh(world: &World) {
    let weight = |address: &SocketAddr| (address.to_string(), world.rng.borrow_mut().u32(1..10));
    let weights = world.backends.iter().map(weight).collect();
    world.trace("weights change");
    change(world, Change::SetWeights(weights)).await;
}

async fn reload(world: &World, workers: usize, extra: bool) {
    world.trace("reload");
    let (registry, environment) = (&world.registry, &world.environment);
    let before = registry.routing();
    app::publish(registry, environment, world.plan(workers, extra)).await;
    registry.retire(&before).await;
}

fn way(world: &World) -> Way {
    if world.rng.borrow_mut().bool() { Way::Forth } else { Way::Back }
}

/// Has a connection move little at a time: no fault, but every boundary is met.
fn slow_down(world: &World) {
    let Some(wire) = world.network.any(&mut world.rng.borrow_mut()) else { return };
    let most = world.rng.borrow_mut().usize(1..2000);
    world.trace(&format!("a connection moves {most} bytes at a time"));
    wire.in_pieces(way(world), most);
}

fn cut(world: &World) {
    let Some(wire) = world.network.any(&mut world.rng.borrow_mut()) else { return };
    world.trace("a connection is reset");
    wire.reset();
}

async fn stall(world: &World) {
    let Some(wire) = world.network.any(&mut world.rng.borrow_mut()) else { return };
    let (way, time) = (way(world), world.rng.borrow_mut().u64(10..3000));
    world.trace(&format!("a connection stalls for {time} ms"));
    wire.stall(way, true);
    sleep(Duration::from_millis(time)).await;
    wire.stall(way, false);
}

/// A backend is gone for a while.
async fn crash(world: &Rc<World>) {
    let backend = world.rng.borrow_mut().usize(..world.backends.len());
    let (address, time) = (world.backends[backend], world.rng.borrow_mut().u64(10..2000));
    world.trace(&format!("backend {backend} is gone for {time} ms"));
    world.network.crash(address);
    sleep(Duration::from_millis(time)).await;
    backend::start(world, backend, address);
}
