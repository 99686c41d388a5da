//! What happens while clients send requests: operators' changes, results of health checks, injected
//! faults.

use std::rc::Rc;
use std::time::Duration;

use equipoise::net::PipeDirection;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::backend;
use super::file::File;
use super::operators::Operators;
use super::world::World;

/// Makes operators' changes until the world calms down.
pub async fn operate(world: Rc<World>, file: File) {
    let mut operators = Operators::new(&world, file);
    for before in 0.. {
        world.pause(2..70, before).await;
        if world.calm.get() {
            return;
        }
        let what = world.rng.borrow_mut().u8(..10);
        match what {
            0 | 1 => operators.reload().await,
            2 => operators.steer().await,
            3 | 4 if operators.examines() => operators.examine().await,
            _ => operators.change().await,
        }
    }
}

/// Injects faults into connections and backends until the world calms down, then repairs them.
pub async fn reign(world: Rc<World>) {
    for before in 0.. {
        world.pause(5..200, before).await;
        if world.calm.get() {
            return;
        }
        let what = world.rng.borrow_mut().u8(..10);
        match what {
            0..3 if world.habits.quiet => {}
            0 => slow_down(&world),
            1 | 2 => lag(&world),
            _ if !world.faults => {}
            3 | 4 => cut(&world),
            5 | 6 => stall(&world).await,
            7 => crash(&world).await,
            _ => {}
        }
    }
}

fn way(world: &World) -> PipeDirection {
    if world.rng.borrow_mut().bool() { PipeDirection::Forward } else { PipeDirection::Backward }
}

/// Limits a connection to small reads and writes: no fault, but every buffer boundary is met.
fn slow_down(world: &World) {
    let Some(wire) = world.network.any(&mut world.rng.borrow_mut()) else { return };
    let most = world.rng.borrow_mut().usize(1..2000);
    world.trace(&format!("a connection moves {most} bytes at a time"));
    wire.limit_reads_and_writes(way(world), most);
}

/// Delays a connection, as a long-distance one would: messages of both sides cross. Also no fault.
fn lag(world: &Rc<World>) {
    let Some(wire) = world.network.any(&mut world.rng.borrow_mut()) else { return };
    let (way, time) = (way(world), world.rng.borrow_mut().u64(2..50));
    world.trace(&format!("a connection delivers every {time} ms"));
    let world = Rc::clone(world);
    spawn_local(async move {
        while !world.calm.get() {
            wire.stall(way, true);
            sleep(Duration::from_millis(time)).await;
            wire.stall(way, false);
            sleep(Duration::from_millis(1)).await;
        }
    });
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

/// A backend is down for a while.
async fn crash(world: &Rc<World>) {
    let backend = world.rng.borrow_mut().usize(..world.sites.len());
    let (address, time) = (world.sites[backend].address, world.rng.borrow_mut().u64(10..2000));
    world.trace(&format!("backend {backend} is gone for {time} ms"));
    world.network.crash(address);
    sleep(Duration::from_millis(time)).await;
    backend::start(world, backend);
}
