//! Middleware before every method: who calls, and may they? What a call is about is in its message,
//! so that its method asks again, of the [`Permit`] that goes along.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::arrival::Certified;
use super::door::{Door, Held, Place, REVOKED};
use super::limit::Caller;
use crate::access::{Grants, Identity, MethodRule, Role, method};
use crate::audit::{Audit, Entry, Event};
use crate::model::ControlRefusal;
use crate::overrides::Author;

/// Maximum length of a name in the audit, in characters.
const MAX_NAME: usize = 128;

/// A tower layer that refuses whoever may not call.
#[derive(Clone, Debug)]
pub(super) struct Guard(pub Arc<Door>);

/// The layer's service.
#[derive(Clone, Debug)]
pub(super) struct Guarded<S> {
    inner: S,
    door: Arc<Door>,
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, door: Arc::clone(&self.0) }
    }
}

/// Who calls which method, and what they may. Every call that reaches a method has one.
#[derive(Clone, Debug)]
pub(super) struct Permit {
    pub who: Identity,
    pub rule: &'static MethodRule,
    pub grants: Grants,
    /// Its certificate, if it came with one.
    certified: Option<Certified>,
    /// Where the call has come from.
    from: Arc<str>,
    /// Whether the audit is told of it elsewhere.
    told: Arc<AtomicBool>,
    door: Arc<Door>,
}

impl Permit {
    /// That of a call.
    ///
    /// # Errors
    /// It has come past the guard.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Permit, Status> {
        let permit = request.extensions().get::<Permit>().cloned();
        permit.ok_or_else(|| Status::internal("nobody has asked who calls"))
    }

    /// Whether the method may be called for this service, there or not.
    ///
    /// # Errors
    /// PERMISSION_DENIED, with what is lacking.
    pub fn check(&self, service: &str) -> Result<(), Status> {
        self.check_role(self.rule.role, service)
    }

    /// As [`Permit::check`], for a call that needs more than its method does.
    ///
    /// # Errors
    /// As [`Permit::check`].
    pub fn check_role(&self, role: Role, service: &str) -> Result<(), Status> {
        let allowed = self.grants.call_for(&self.who, self.rule, role, service);
        allowed.map_err(|denied| {
            self.door.refusals().count(ControlRefusal::Denied);
            // A change has a line of its own, with what was asked for.
            if self.rule.role == Role::Read {
                self.door.refused(&self.by(), Some(&clip(service)), &denied.to_string());
            }
            Status::permission_denied(denied.to_string())
        })
    }

    /// Who calls what, as far as that is proved.
    fn by(&self) -> Author {
        let identity = Some(self.who.to_string().into());
        Author { identity, method: Some(self.rule.name), ..Author::from(&*self.from) }
    }

    /// The audit, if there is one.
    pub fn audit(&self) -> Option<&Arc<Audit>> {
        self.door.audit()
    }

    /// Notes that somebody else tells the audit what becomes of the change that is asked for.
    pub fn told(&self) {
        self.told.store(true, Relaxed);
    }

    /// Tells the audit of a change that was refused before anybody has read what it asks for.
    fn conclude(&self, response: &Response<Body>) {
        let Some(audit) = self.audit().filter(|_| self.rule.role > Role::Read) else { return };
        let status = Status::from_header_map(response.headers());
        if let Some(status) = status.filter(|status| status.code() != Code::Ok)
            && !self.told.load(Relaxed)
        {
            let error = format!("{}: {}", status.code(), status.message());
            audit.note(Entry::by(&self.by(), Event::Refused).because(&error));
        }
    }

    /// Whether the caller may see this service.
    pub fn sees(&self, service: &str) -> bool {
        self.grants.allow(Role::Read, service)
    }

    /// A place for a stream of the caller.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED.
    pub fn stream(&self) -> Result<Place, Status> {
        self.door.place(&self.who, Held::Stream)
    }

    /// Counts a stream that is refused as all places are taken.
    pub fn no_stream(&self) {
        self.door.refusals().count(ControlRefusal::Streams);
    }

    /// Why the call could not be made any more, if roles or tokens have changed since.
    pub fn revoked(&self, service: &str) -> Option<Status> {
        if self.certified.as_ref().is_some_and(|certificate| self.door.has_revoked(certificate)) {
            return Some(Status::unauthenticated(REVOKED));
        }
        let grants = self.door.grants(&self.who);
        let denied = grants.call_for(&self.who, self.rule, self.rule.role, service).err()?;
        Some(Status::permission_denied(format!("no longer: {denied}")))
    }
}

/// The beginning of a name that somebody may have made very long.
fn clip(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

/// Asks who calls and whether they may; the place among their calls is free when it is dropped.
fn admit(door: &Arc<Door>, request: &Request<Body>) -> Result<(Permit, Place), Status> {
    let count = |why| door.refusals().count(why);
    let caller = request.extensions().get::<Caller>();
    let caller =
        caller.ok_or_else(|| Status::internal("nobody knows where this call came from"))?;
    let from: Arc<str> = caller.arrival.to_string().into();
    let rule = method(request.uri().path());
    let tell = |who: Option<&Identity>, why: &str| {
        let (identity, method) = (who.map(|who| who.to_string().into()), rule.map(|it| it.name));
        door.refused(&Author { identity, method, ..Author::from(&*from) }, None, why);
    };
    let who = door.identify(caller, request.headers()).inspect_err(|status| {
        count(ControlRefusal::Unauthenticated);
        tell(None, status.message());
    })?;
    let place = door.place(&who, Held::Call);
    let place = place.inspect_err(|status| tell(Some(&who), status.message()))?;
    let rule = rule.ok_or_else(|| Status::unimplemented("the control API has no such method"))?;
    let (grants, certified) = (door.grants(&who), caller.certified.clone());
    grants.call(&who, rule).map_err(|denied| {
        count(ControlRefusal::Denied);
        tell(Some(&who), &denied.to_string());
        Status::permission_denied(denied.to_string())
    })?;
    let (told, door) = (Arc::default(), Arc::clone(door));
    Ok((Permit { who, rule, grants, certified, from, told, door }, place))
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match admit(&self.door, &request) {
            Ok((permit, place)) => {
                request.extensions_mut().insert(permit.clone());
                let answer = self.inner.call(request);
                Box::pin(async move {
                    let _until_it_begins = place;
                    let response = answer.await?;
                    permit.conclude(&response);
                    Ok(response)
                })
            }
            Err(status) => Box::pin(async move { Ok(status.into_http()) }),
        }
    }
}
