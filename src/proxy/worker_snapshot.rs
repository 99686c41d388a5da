//! A service snapshot on one worker, with its connection pools and what it has learned about
//! methods.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use super::exchange::InitialClass;
use super::hash_key::{AffinityCookie, HashKey, KeyContext, SetCookie};
use super::method_metrics::MethodMetrics;
use super::streaming_methods::{MethodHash, StreamingMethods};
use super::unimplemented_methods::UnimplementedMethods;
use crate::balance::{Accounts, KeySource, KeySpec, PickCx, Picker};
use crate::http::Headers;
use crate::model::{EndpointId, ExchangeClass, Time};
use crate::net::Worker;
use crate::service::Snapshot;
use crate::upstream::Pool;

/// A service snapshot, with this worker's connection pool for each endpoint of its set.
pub struct WorkerSnapshot {
    pub snapshot: Arc<Snapshot>,
    pub pools: Box<[Rc<Pool>]>,
    /// Learned streaming methods.
    pub methods: Rc<StreamingMethods>,
    /// Method metrics.
    pub calls: Rc<MethodMetrics>,
    /// Which endpoints do not implement a method.
    pub unimplemented: Rc<UnimplementedMethods>,
    /// Streaming methods declared in the configuration.
    declared: HashSet<MethodHash>,
    /// Accounts of the endpoints that start slowly.
    accounts: Accounts,
    /// Buffer for decoding JWTs.
    scratch: RefCell<Vec<u8>>,
    /// Buffers for the members to avoid in a second pick, and those tried of the near ones.
    avoided: RefCell<(Vec<usize>, Vec<usize>)>,
}

/// Limit of endpoints on trial that are excluded from a pick, to bound the search.
const MAX_TRIALS: usize = 64;

/// A picked endpoint.
pub struct Picked {
    /// Index in the set.
    pub index: usize,
    /// This request is the endpoint's trial request after an ejection.
    pub on_trial: bool,
}

impl WorkerSnapshot {
    pub fn new(
        snapshot: Arc<Snapshot>,
        pools: Box<[Rc<Pool>]>,
        (methods, calls, unimplemented): (
            &Rc<StreamingMethods>,
            &Rc<MethodMetrics>,
            &Rc<UnimplementedMethods>,
        ),
        rng: &mut fastrand::Rng,
    ) -> WorkerSnapshot {
        let (methods, calls) = (Rc::clone(methods), Rc::clone(calls));
        let unimplemented = Rc::clone(unimplemented);
        let declared = snapshot.spec.streams.iter().map(|path| methods.hash(path.as_bytes()));
        let declared = declared.collect();
        WorkerSnapshot {
            accounts: Accounts::new(&snapshot.ramps, rng),
            snapshot,
            pools,
            methods,
            calls,
            unimplemented,
            declared,
            scratch: RefCell::default(),
            avoided: RefCell::default(),
        }
    }

    /// Whether any method streams, so that a request's must be looked up.
    fn knows_streams(&self) -> bool {
        !self.declared.is_empty() || !self.methods.is_empty()
    }

    /// Whether the method of this path is declared as streaming.
    pub fn declares_stream(&self, path: &[u8]) -> bool {
        !self.declared.is_empty() && self.declared.contains(&self.methods.hash(path))
    }

    /// The initial classification of a gRPC request.
    pub fn initial_class(&self, head: &Headers) -> InitialClass {
        let (called, method) = self.calls.find(head, &self.methods);
        let (class, may_learn) =
            if self.knows_streams() { self.class_of(method) } else { (ExchangeClass::Call, false) };
        InitialClass { class, may_learn, called: Some(called) }
    }

    /// The initial class of a method's exchanges, and whether their outcomes may update what was
    /// learned.
    fn class_of(&self, method: MethodHash) -> (ExchangeClass, bool) {
        if self.declared.contains(&method) {
            (ExchangeClass::Stream, false) // declarations override what is learned
        } else if self.methods.streams(method) {
            (ExchangeClass::Stream, true)
        } else {
            (ExchangeClass::Call, true)
        }
    }

    /// The endpoint at `index`, if any.
    pub fn endpoint(&self, index: usize) -> Option<EndpointId> {
        self.pools.get(index).map(|pool| pool.endpoint().id())
    }

    /// Picks an endpoint for a request; `None` if no endpoint is eligible.
    pub fn pick(
        &self,
        worker: &Worker,
        key_cx: &KeyContext<'_>,
        class: ExchangeClass,
        tried: &[usize],
    ) -> Option<Picked> {
        let picker = self.snapshot.picker.as_ref()?;
        let mut scratch = self.scratch.borrow_mut();
        let key = self.key().and_then(|spec| key_cx.key(spec, &mut scratch));
        let key = key.as_ref().map(HashKey::bytes);
        let rng = &mut *worker.rng().borrow_mut();
        let now = worker.now();
        let plain = self.snapshot.ramps.is_empty() && self.snapshot.near.is_none();
        let pick = |cx: &mut PickCx<'_>| match plain {
            true => picker.pick(cx),
            false => self.pick_shaped(&**picker, cx),
        };
        let mut index = pick(&mut PickCx { key, class, tried, rng, now });
        let trials = &*self.snapshot.trials;
        if trials.is_empty() || !trials.contains(&index) {
            return (index < self.pools.len()).then_some(Picked { index, on_trial: false });
        }
        let on_trial = self.pools.get(index)?.endpoint().faults().begin_trial(now);
        if !on_trial && !self.snapshot.panic_mode {
            let tried = &[tried, trials.get(..MAX_TRIALS).unwrap_or(trials)].concat(); // allocates, but is rare
            index = pick(&mut PickCx { key, class, tried, rng, now });
        }
        (index < self.pools.len()).then_some(Picked { index, on_trial })
    }

    /// Picks while endpoints start slowly, or where a zone is preferred.
    #[inline(never)] // keeps the plain pick small
    fn pick_shaped(&self, picker: &dyn Picker, cx: &mut PickCx<'_>) -> usize {
        let Snapshot { ramps, near, .. } = &*self.snapshot;
        let (avoided, tried) = &mut *self.avoided.borrow_mut();
        ramps.pick(&self.accounts, avoided, cx, |cx| match near {
            None => picker.pick(cx),
            Some(near) => near.pick(picker, tried, cx, |picker, cx| picker.pick(cx)),
        })
    }

    /// How many exchanges of this class may be in flight at one endpoint, if there is a limit.
    pub fn limit_of_calls(&self, class: ExchangeClass) -> Option<u32> {
        let limits =
            self.snapshot.spec.concurrency.as_ref().filter(|_| class == ExchangeClass::Call);
        limits.and_then(|limits| limits.per_endpoint)
    }

    /// Whether the endpoint at `index` is on trial after an ejection.
    pub fn is_on_trial(&self, index: usize) -> bool {
        self.snapshot.trials.contains(&index)
    }

    /// Undoes a pick of which no attempt comes.
    pub fn put_back(&self, picked: &Picked, now: Time) {
        if picked.on_trial
            && let Some(pool) = self.pools.get(picked.index)
        {
            pool.endpoint().faults().end_trial(now, None);
        }
    }

    /// The `set-cookie` field for the affinity cookie, if the policy still issues one.
    pub fn set_cookie(&self, affinity_cookie: &AffinityCookie, secure: bool) -> Option<SetCookie> {
        match &self.key()?.source {
            KeySource::Cookie { name, issue: Some(issue) } => {
                Some(affinity_cookie.set_cookie(name, issue, secure))
            }
            _ => None,
        }
    }

    fn key(&self) -> Option<&KeySpec> {
        self.snapshot.spec.balancer.factory.key()
    }
}
