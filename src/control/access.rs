//! What the API's methods work on.

use std::sync::Arc;

use tokio::sync::watch;
use tonic::Status;

use super::audit::Call;
use super::changes::Asked;
use super::convert;
use super::guard::Permit;
use super::preview::{self, Answer};
use super::watch::Streams;
use crate::access::Role;
use crate::overrides::Field;
use crate::service::{Change, Registry, Service};
use crate::text::nearest;

/// Implements the API for the services of a registry.
pub(super) struct Control {
    pub(super) registry: Arc<Registry>,
    pub(super) streams: Streams,
}

impl Control {
    /// Streams end when `stop` turns true.
    pub(super) fn new(registry: Arc<Registry>, stop: watch::Receiver<bool>) -> Control {
        Control { registry, streams: Streams::new(stop) }
    }

    /// The service of this name, if the caller may call its method for it. Whoever may not is not told
    /// whether it is there.
    pub(super) fn find(&self, permit: &Permit, name: &str) -> Result<Arc<Service>, Status> {
        permit.check(name)?;
        self.registry.get(name).ok_or_else(|| {
            let name: String = name.chars().take(64).collect();
            let services = self.registry.list();
            let known = services.iter().map(|service| service.name());
            let known: Vec<&str> = known.filter(|known| permit.sees(known)).collect();
            let near = nearest(&name, known.iter().copied());
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            Status::not_found(format!("there is no service `{name}`{near}"))
        })
    }

    /// Whether the caller may revert the change that made this revision: what has edited more than how
    /// traffic is spread needs more.
    pub(super) fn may_revert(
        &self,
        permit: &Permit,
        service: &str,
        revision: u64,
    ) -> Result<(), Status> {
        let view = self.find(permit, service)?.view();
        let mut records = view.changes().records();
        let record = records.find(|record| record.revision == Some(revision));
        let of_operators =
            |field: &Field| matches!(field, Field::Weight(_) | Field::Drain(_) | Field::Eject(_));
        match record.is_none_or(|it| it.fields.iter().all(|edit| of_operators(&edit.field))) {
            true => Ok(()),
            false => permit.check_role(Role::Admin, service),
        }
    }

    /// Whether changes outlive the process.
    pub(super) fn durable(&self) -> bool {
        self.registry.keeps_changes()
    }

    /// Changes a service, or says what that would do.
    pub(super) async fn change(
        &self,
        call: Call,
        service: &str,
        change: Change,
        Asked { terms, dry_run }: Asked,
    ) -> Result<Answer, Status> {
        let found = self.find(&call.permit, service).inspect_err(|unknown| {
            self.refused(service, &call, &change, unknown.message());
        });
        let (service, durable) = (found?, self.durable());
        call.permit.told(); // from here on the service tells what becomes of it
        if dry_run {
            let preview = service.preview(change, terms, call.by).await;
            let preview = preview.map_err(|error| convert::refusal(&error))?;
            let (revision, preview) = (preview.current, Some(preview::service(preview)));
            return Ok(Answer { revision, durable, preview, warning: None });
        }
        let ejects = matches!(change, Change::Eject { .. });
        let result = service.change(change, terms, call.by).await;
        let revision = result.map_err(|error| convert::refusal(&error))?;
        let warning = if ejects { service.view().ejection_warning() } else { None };
        Ok(Answer { revision, durable, preview: None, warning })
    }
}
