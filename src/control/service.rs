//! The control API's methods.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::drain::DrainWatcher;
use super::watch::{StatePublisher, Streams};
use super::{audit, convert, explain_route, explain_service, policy, proto, sources, split};
use crate::service::{Author, Change, Preconditions, Registry, Service, SplitChange};
use crate::text::nearest;

/// Implements the API for the services of a registry.
pub(super) struct Control {
    registry: Arc<Registry>,
    streams: Streams,
}

impl Control {
    /// Streams end when `stop` turns true.
    pub(super) fn new(registry: Arc<Registry>, stop: watch::Receiver<bool>) -> Control {
        Control { registry, streams: Streams::new(stop) }
    }

    fn find(&self, name: &str) -> Result<Arc<Service>, Status> {
        self.registry.get(name).ok_or_else(|| {
            let name: String = name.chars().take(64).collect();
            let services = self.registry.list();
            let known: Vec<&str> = services.iter().map(|service| service.name()).collect();
            let near = nearest(&name, known.iter().copied());
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            Status::not_found(format!("there is no service `{name}`{near}"))
        })
    }

    async fn change(
        &self,
        by: Author,
        service: &str,
        change: Change,
        conditions: Preconditions,
    ) -> Result<u64, Status> {
        let found = self.find(service).inspect_err(|unknown| {
            audit::refused(service, &by, &change, unknown.message());
        });
        let result = found?.change(change, conditions, by).await;
        result.map_err(|error| convert::refusal(&error))
    }
}

#[tonic::async_trait]
impl proto::control_server::Control for Control {
    type WatchServiceStream = ReceiverStream<Result<proto::Service, Status>>;
    type WatchDrainStream = ReceiverStream<Result<proto::DrainProgress, Status>>;

    async fn list_services(
        &self,
        _: Request<proto::ListServicesRequest>,
    ) -> Result<Response<proto::ListServicesResponse>, Status> {
        let services = self.registry.list();
        let services = services.iter().map(|s| convert::summary(&s.view())).collect();
        Ok(Response::new(proto::ListServicesResponse { services }))
    }

    async fn get_service(
        &self,
        request: Request<proto::GetServiceRequest>,
    ) -> Result<Response<proto::Service>, Status> {
        let proto::GetServiceRequest { service, since_revision } = request.into_inner();
        let view = self.find(&service)?.view();
        convert::service(&view, since_revision).map(Response::new)
    }

    async fn watch_service(
        &self,
        request: Request<proto::WatchServiceRequest>,
    ) -> Result<Response<Self::WatchServiceStream>, Status> {
        let request = request.into_inner();
        let service = self.find(&request.service)?;
        let interval = super::watch::interval(request.interval)?;
        let since = request.since_revision;
        convert::service(&service.view(), since)?;
        let feed = StatePublisher { views: service.watch(), interval, since };
        let states = self.streams.start(|sender| feed.publish(sender))?;
        Ok(Response::new(ReceiverStream::new(states)))
    }

    async fn set_weights(
        &self,
        request: Request<proto::SetWeightsRequest>,
    ) -> Result<Response<proto::SetWeightsResponse>, Status> {
        let by = audit::author(&request);
        let request = request.into_inner();
        let change = Change::SetWeights(request.weights);
        let conditions = conditions(request.expected_revision, request.allow_empty);
        let revision = self.change(by, &request.service, change, conditions).await?;
        Ok(Response::new(proto::SetWeightsResponse { revision }))
    }

    async fn drain_backend(
        &self,
        request: Request<proto::DrainBackendRequest>,
    ) -> Result<Response<proto::DrainBackendResponse>, Status> {
        let by = audit::author(&request);
        let request = request.into_inner();
        let timeout = request.timeout.map(super::drain::timeout).transpose();
        let timeout = timeout.inspect_err(|unreadable| {
            let change = Change::Drain { address: request.backend.clone(), timeout: None };
            audit::refused(&request.service, &by, &change, unreadable.message());
        })?;
        let change = Change::Drain { address: request.backend, timeout };
        let conditions = conditions(request.expected_revision, request.allow_empty);
        let revision = self.change(by, &request.service, change, conditions).await?;
        Ok(Response::new(proto::DrainBackendResponse { revision }))
    }

    async fn watch_drain(
        &self,
        request: Request<proto::WatchDrainRequest>,
    ) -> Result<Response<Self::WatchDrainStream>, Status> {
        let proto::WatchDrainRequest { service, backend } = request.into_inner();
        let watcher = DrainWatcher::new(self.find(&service)?.watch(), &backend)?;
        let progress = self.streams.start(|sender| watcher.follow(sender))?;
        Ok(Response::new(ReceiverStream::new(progress)))
    }

    async fn undrain_backend(
        &self,
        request: Request<proto::UndrainBackendRequest>,
    ) -> Result<Response<proto::UndrainBackendResponse>, Status> {
        let by = audit::author(&request);
        let request = request.into_inner();
        let change = Change::Undrain(request.backend);
        let conditions = conditions(request.expected_revision, request.allow_empty);
        let revision = self.change(by, &request.service, change, conditions).await?;
        Ok(Response::new(proto::UndrainBackendResponse { revision }))
    }

    async fn eject_backend(
        &self,
        request: Request<proto::EjectBackendRequest>,
    ) -> Result<Response<proto::EjectBackendResponse>, Status> {
        let by = audit::author(&request);
        let request = request.into_inner();
        let time = request.time.map(Duration::try_from).transpose();
        let time = time.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let change = Change::Eject { address: request.backend, time };
        let conditions = conditions(request.expected_revision, true);
        let revision = self.change(by, &request.service, change, conditions).await?;
        let warning = self.find(&request.service)?.view().ejection_warning();
        let warning = warning.unwrap_or_default();
        Ok(Response::new(proto::EjectBackendResponse { revision, warning }))
    }

    async fn heal_backend(
        &self,
        request: Request<proto::HealBackendRequest>,
    ) -> Result<Response<proto::HealBackendResponse>, Status> {
        let by = audit::author(&request);
        let request = request.into_inner();
        let change = Change::Heal(request.backend);
        let conditions = conditions(request.expected_revision, true);
        let revision = self.change(by, &request.service, change, conditions).await?;
        Ok(Response::new(proto::HealBackendResponse { revision }))
    }

    async fn add_backends(
        &self,
        request: Request<proto::AddBackendsRequest>,
    ) -> Result<Response<proto::AddBackendsResponse>, Status> {
        let by = audit::author(&request);
        let request = request.into_inner();
        let backends = request.backends.into_iter().map(convert::new_backend).collect();
        let change = Change::Add(backends);
        let conditions = conditions(request.expected_revision, true);
        let revision = self.change(by, &request.service, change, conditions).await?;
        Ok(Response::new(proto::AddBackendsResponse { revision }))
    }

    async fn remove_backends(
        &self,
        request: Request<proto::RemoveBackendsRequest>,
    ) -> Result<Response<proto::RemoveBackendsResponse>, Status> {
        let by = audit::author(&request);
        let request = request.into_inner();
        let change = Change::Remove(request.addresses);
        let conditions = conditions(request.expected_revision, request.allow_empty);
        let revision = self.change(by, &request.service, change, conditions).await?;
        Ok(Response::new(proto::RemoveBackendsResponse { revision }))
    }

    async fn set_policy(
        &self,
        request: Request<proto::SetPolicyRequest>,
    ) -> Result<Response<proto::SetPolicyResponse>, Status> {
        let by = audit::author(&request);
        let request = request.into_inner();
        let settings = policy::settings(request.settings.unwrap_or_default());
        let settings = settings.inspect_err(|unreadable| {
            let change = Change::SetPolicy { policy: request.policy.clone(), settings: Vec::new() };
            audit::refused(&request.service, &by, &change, unreadable.message());
        });
        let change = Change::SetPolicy { policy: request.policy, settings: settings? };
        let conditions = conditions(request.expected_revision, true);
        let revision = self.change(by, &request.service, change, conditions).await?;
        Ok(Response::new(proto::SetPolicyResponse { revision }))
    }

    async fn reset_service(
        &self,
        request: Request<proto::ResetServiceRequest>,
    ) -> Result<Response<proto::ResetServiceResponse>, Status> {
        let by = audit::author(&request);
        let request = request.into_inner();
        let change = Change::Reset(request.backends);
        let conditions = conditions(request.expected_revision, request.allow_empty);
        let revision = self.change(by, &request.service, change, conditions).await?;
        Ok(Response::new(proto::ResetServiceResponse { revision }))
    }

    async fn list_splits(
        &self,
        _: Request<proto::ListSplitsRequest>,
    ) -> Result<Response<proto::ListSplitsResponse>, Status> {
        Ok(Response::new(split::list(&self.registry)))
    }

    async fn get_split(
        &self,
        request: Request<proto::GetSplitRequest>,
    ) -> Result<Response<proto::Split>, Status> {
        split::get(&self.registry, &request.into_inner().route).map(Response::new)
    }

    async fn set_split(
        &self,
        request: Request<proto::SetSplitRequest>,
    ) -> Result<Response<proto::SetSplitResponse>, Status> {
        let by = audit::author(&request);
        let proto::SetSplitRequest { route, weights, expected_revision } = request.into_inner();
        let change = SplitChange::Set(weights.into_iter().collect());
        let revision = split::change(&self.registry, &route, &change, expected_revision, &by)?;
        Ok(Response::new(proto::SetSplitResponse { revision }))
    }

    async fn reset_split(
        &self,
        request: Request<proto::ResetSplitRequest>,
    ) -> Result<Response<proto::ResetSplitResponse>, Status> {
        let by = audit::author(&request);
        let proto::ResetSplitRequest { route, expected_revision: expected } = request.into_inner();
        let change = SplitChange::Reset;
        let revision = split::change(&self.registry, &route, &change, expected, &by)?;
        Ok(Response::new(proto::ResetSplitResponse { revision }))
    }

    async fn explain_route(
        &self,
        request: Request<proto::ExplainRouteRequest>,
    ) -> Result<Response<proto::ExplainRouteResponse>, Status> {
        let routing = self.registry.routing();
        explain_route::explain(&routing.routes, request.into_inner()).map(Response::new)
    }

    async fn explain_service(
        &self,
        request: Request<proto::ExplainServiceRequest>,
    ) -> Result<Response<proto::ExplainServiceResponse>, Status> {
        let service = self.find(&request.into_inner().service)?;
        let retries = explain_service::retries(&self.registry.routing().routes, service.name());
        // Thousands of picks would keep the API's thread from answering others.
        let explained = tokio::task::spawn_blocking(move || {
            let explained = explain_service::explain(&service);
            proto::ExplainServiceResponse { retries, ..explained }
        });
        let explained = explained.await.map_err(|_| Status::internal("the explanation failed"))?;
        Ok(Response::new(explained))
    }

    async fn get_log_level(
        &self,
        _: Request<proto::GetLogLevelRequest>,
    ) -> Result<Response<proto::LogLevel>, Status> {
        super::log_level::get().map(Response::new)
    }

    async fn set_log_level(
        &self,
        request: Request<proto::SetLogLevelRequest>,
    ) -> Result<Response<proto::LogLevel>, Status> {
        let by = audit::author(&request);
        super::log_level::set(&by, &request.into_inner().level).map(Response::new)
    }

    async fn list_sources(
        &self,
        request: Request<proto::ListSourcesRequest>,
    ) -> Result<Response<proto::ListSourcesResponse>, Status> {
        let proto::ListSourcesRequest { service } = request.into_inner();
        if !service.is_empty() {
            self.find(&service)?;
        }
        Ok(Response::new(sources::list(&self.registry, &service)))
    }

    async fn list_methods(
        &self,
        request: Request<proto::ListMethodsRequest>,
    ) -> Result<Response<proto::ListMethodsResponse>, Status> {
        let service = self.find(&request.into_inner().service)?;
        Ok(Response::new(super::methods::list(service.methods())))
    }
}

fn conditions(expected_revision: Option<u64>, allow_empty: bool) -> Preconditions {
    Preconditions { expected_revision, allow_empty }
}
