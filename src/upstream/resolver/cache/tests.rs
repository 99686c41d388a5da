use std::cell::{Cell, RefCell};
use std::net::IpAddr;

use tokio::task::LocalSet;
use tokio::time::timeout;

use super::super::Resolver;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// What the look-ups of a test find, and how many there were.
#[derive(Default)]
struct World {
    address: Cell<u8>,
    failure: RefCell<Option<LookupError>>,
    look_ups: Cell<usize>,
    at_a_time: Cell<usize>,
    most: Cell<usize>,
}

/// Names that begin with `silent` have servers that say nothing; `host` is known.
impl LookUp for Rc<World> {
    fn known(&self, name: &str) -> Option<Found> {
        let addresses = Arc::new([IpAddr::from([10, 0, 0, 99])]);
        (name == "host").then_some(Found { addresses, ttl: Duration::from_secs(60) })
    }

    async fn look_up(self: Rc<Self>, name: Arc<str>) -> Result<Found, LookupError> {
        struct During<'a>(&'a Cell<usize>);
        impl Drop for During<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        self.look_ups.set(self.look_ups.get() + 1);
        self.at_a_time.set(self.at_a_time.get() + 1);
        self.most.set(self.most.get().max(self.at_a_time.get()));
        let _during = During(&self.at_a_time);
        sleep(Duration::from_millis(5)).await;
        if name.starts_with("silent") {
            std::future::pending::<()>().await;
        }
        let failure = self.failure.borrow().clone();
        match failure {
            Some(LookupError::Silent) => std::future::pending().await,
            Some(error) => Err(error),
            None => {
                let addresses = Arc::new([IpAddr::from([10, 0, 0, self.address.get()])]);
                Ok(Found { addresses, ttl: Duration::from_secs(60) })
            }
        }
    }
}

/// Runs a test with a cache of its own, in virtual time.
async fn with<F: Future<Output = ()>>(test: impl FnOnce(Rc<World>, Resolver) -> F) {
    let world = Rc::new(World::default());
    let (questions, inbox) = mpsc::channel(16);
    let local = LocalSet::new();
    let cache = Cache::new(Rc::clone(&world));
    local.spawn_local(async move { cache.run(&mut { inbox }).await });
    local.run_until(test(world, Resolver { questions })).await;
}

fn at(last: u8) -> Answer {
    Ok(Arc::new([IpAddr::from([10, 0, 0, last])]))
}

#[tokio::test(start_paused = true)]
async fn concurrent_queries_share_one_look_up() {
    with(async |world, resolver| {
        let asked: Vec<_> = (0..100).map(|_| resolver.resolve("Orders")).collect();
        for answer in futures_all(asked).await {
            assert_eq!(answer, at(0));
        }
        assert_eq!(resolver.resolve("orders").await, at(0));
        assert_eq!(world.look_ups.get(), 1);
    })
    .await;
}

/// Has all of them polled until each is done.
async fn futures_all<T: 'static>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|cx| {
        all.retain_mut(|future| match future.as_mut().poll(cx) {
            std::task::Poll::Ready(value) => {
                done.push(value);
                false
            }
            std::task::Poll::Pending => true,
        });
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test(start_paused = true)]
async fn a_change_is_seen_within_seconds_whatever_the_ttl() {
    with(async |world, resolver| {
        assert_eq!(resolver.resolve("orders").await, at(0));
        world.address.set(1);
        assert_eq!(resolver.resolve("orders").await, at(0));
        sleep(MAX_TTL).await;
        assert_eq!(resolver.resolve("orders").await, at(1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_serves_while_name_servers_fail() {
    with(async |world, resolver| {
        assert_eq!(resolver.resolve("orders").await, at(0));
        for failure in [LookupError::Silent, LookupError::Failed("refused".into())] {
            *world.failure.borrow_mut() = Some(failure);
            sleep(10 * SECOND).await;
            let answer = timeout(STALE_AFTER * 2, resolver.resolve("orders")).await;
            assert_eq!(answer.unwrap(), at(0));
        }
        sleep(20 * SECOND).await;
        *world.failure.borrow_mut() = Some(LookupError::Unknown);
        assert_eq!(resolver.resolve("orders").await, Err(LookupError::Unknown));
        *world.failure.borrow_mut() = Some(LookupError::Failed("refused".into()));
        sleep(2 * SECOND).await;
        let failed = resolver.resolve("orders").await;
        assert_eq!(failed, Err(LookupError::Failed("refused".into())), "it was unknown since");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn silent_names_do_not_delay_others() {
    with(async |world, resolver| {
        let silent: Vec<String> = (0..1500).map(|number| format!("silent-{number}")).collect();
        let silent: Vec<_> = silent.iter().map(|name| resolver.resolve(name)).collect();
        let mut silent = std::pin::pin!(futures_all(silent));
        let well = async {
            sleep(Duration::from_millis(1)).await; // behind all of the others
            let begun = Instant::now();
            assert_eq!(resolver.resolve("host").await, at(99));
            assert!(begun.elapsed() < Duration::from_millis(1), "nobody has to be asked");
            for number in 0..50 {
                assert_eq!(resolver.resolve(&format!("well-{number}")).await, at(0));
            }
        };
        let begun = Instant::now();
        tokio::select! {
            _ = &mut silent => panic!("they are silent"),
            () = well => {}
        }
        assert!(begun.elapsed() < 15 * SECOND, "{:?}", begun.elapsed());
        assert!(world.most.get() <= 128, "{} at a time", world.most.get());

        // From then on they queue among themselves.
        let answers = silent.await;
        assert!(answers.iter().all(|answer| *answer == Err(LookupError::Silent)));
        sleep(2 * SECOND).await;
        let again: Vec<String> = (0..1500).map(|number| format!("silent-{number}")).collect();
        let again: Vec<_> = again.iter().map(|name| resolver.resolve(name)).collect();
        let well = async {
            sleep(Duration::from_millis(1)).await;
            let begun = Instant::now();
            assert_eq!(resolver.resolve("well-again").await, at(0));
            assert!(begun.elapsed() < Duration::from_millis(20), "{:?}", begun.elapsed());
        };
        tokio::select! {
            _ = futures_all(again) => panic!("they are silent"),
            () = well => {}
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_look_ups() {
    let (questions, inbox) = mpsc::channel(16);
    let world = Rc::new(World::default());
    let local = LocalSet::new();
    let cache = local.spawn_local(async move { Cache::new(world).run(&mut { inbox }).await });
    let end = async {
        let resolver = Resolver { questions };
        assert!(timeout(Duration::from_millis(100), resolver.resolve("silent")).await.is_err());
        drop(resolver);
        timeout(Duration::from_millis(1), cache).await.unwrap().unwrap();
    };
    local.run_until(end).await;
}
