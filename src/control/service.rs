//! The control API's methods.

use std::time::Duration;

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::access::Control;
use super::changes::terms;
use super::drain::DrainWatcher;
use super::watch::StatePublisher;
use super::{
    audit, changes, convert, explain_route, explain_service, policy, proto, sources, split,
};
use crate::overrides::Subject;
use crate::service::{Change, SplitChange};

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
        let (by, request) = audit::signed(request)?;
        let change = Change::SetWeights(request.weights);
        let terms = terms(request.expected_revision, request.allow_empty, request.ttl)?;
        let revision = self.change(by, &request.service, change, terms).await?;
        Ok(Response::new(proto::SetWeightsResponse { revision, durable: self.durable() }))
    }

    async fn drain_backend(
        &self,
        request: Request<proto::DrainBackendRequest>,
    ) -> Result<Response<proto::DrainBackendResponse>, Status> {
        let (by, request) = audit::signed(request)?;
        let timeout = request.timeout.map(super::drain::timeout).transpose();
        let timeout = timeout.inspect_err(|unreadable| {
            let change = Change::Drain { address: request.backend.clone(), timeout: None };
            audit::refused(&request.service, &by, &change, unreadable.message());
        })?;
        let change = Change::Drain { address: request.backend, timeout };
        let terms = terms(request.expected_revision, request.allow_empty, request.ttl)?;
        let revision = self.change(by, &request.service, change, terms).await?;
        Ok(Response::new(proto::DrainBackendResponse { revision, durable: self.durable() }))
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
        let (by, request) = audit::signed(request)?;
        let change = Change::Undrain(request.backend);
        let terms = terms(request.expected_revision, request.allow_empty, request.ttl)?;
        let revision = self.change(by, &request.service, change, terms).await?;
        Ok(Response::new(proto::UndrainBackendResponse { revision, durable: self.durable() }))
    }

    async fn eject_backend(
        &self,
        request: Request<proto::EjectBackendRequest>,
    ) -> Result<Response<proto::EjectBackendResponse>, Status> {
        let (by, request) = audit::signed(request)?;
        let time = request.time.map(Duration::try_from).transpose();
        let time = time.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let change = Change::Eject { address: request.backend, time };
        let terms = terms(request.expected_revision, true, None)?;
        let revision = self.change(by, &request.service, change, terms).await?;
        let warning = self.find(&request.service)?.view().ejection_warning();
        let warning = warning.unwrap_or_default();
        Ok(Response::new(proto::EjectBackendResponse {
            revision,
            warning,
            durable: self.durable(),
        }))
    }

    async fn heal_backend(
        &self,
        request: Request<proto::HealBackendRequest>,
    ) -> Result<Response<proto::HealBackendResponse>, Status> {
        let (by, request) = audit::signed(request)?;
        let change = Change::Heal(request.backend);
        let terms = terms(request.expected_revision, true, request.ttl)?;
        let revision = self.change(by, &request.service, change, terms).await?;
        Ok(Response::new(proto::HealBackendResponse { revision, durable: self.durable() }))
    }

    async fn add_backends(
        &self,
        request: Request<proto::AddBackendsRequest>,
    ) -> Result<Response<proto::AddBackendsResponse>, Status> {
        let (by, request) = audit::signed(request)?;
        let backends = request.backends.into_iter().map(convert::new_backend).collect();
        let change = Change::Add(backends);
        let terms = terms(request.expected_revision, true, request.ttl)?;
        let revision = self.change(by, &request.service, change, terms).await?;
        Ok(Response::new(proto::AddBackendsResponse { revision, durable: self.durable() }))
    }

    async fn remove_backends(
        &self,
        request: Request<proto::RemoveBackendsRequest>,
    ) -> Result<Response<proto::RemoveBackendsResponse>, Status> {
        let (by, request) = audit::signed(request)?;
        let change = Change::Remove(request.addresses);
        let terms = terms(request.expected_revision, request.allow_empty, request.ttl)?;
        let revision = self.change(by, &request.service, change, terms).await?;
        Ok(Response::new(proto::RemoveBackendsResponse { revision, durable: self.durable() }))
    }

    async fn set_policy(
        &self,
        request: Request<proto::SetPolicyRequest>,
    ) -> Result<Response<proto::SetPolicyResponse>, Status> {
        let (by, request) = audit::signed(request)?;
        let settings = policy::settings(request.settings.unwrap_or_default());
        let settings = settings.inspect_err(|unreadable| {
            let change = Change::SetPolicy { policy: request.policy.clone(), settings: Vec::new() };
            audit::refused(&request.service, &by, &change, unreadable.message());
        });
        let change = Change::SetPolicy { policy: request.policy, settings: settings? };
        let terms = terms(request.expected_revision, true, request.ttl)?;
        let revision = self.change(by, &request.service, change, terms).await?;
        Ok(Response::new(proto::SetPolicyResponse { revision, durable: self.durable() }))
    }

    async fn reset_service(
        &self,
        request: Request<proto::ResetServiceRequest>,
    ) -> Result<Response<proto::ResetServiceResponse>, Status> {
        let (by, request) = audit::signed(request)?;
        let change = Change::Reset(request.backends);
        let terms = terms(request.expected_revision, request.allow_empty, request.ttl)?;
        let revision = self.change(by, &request.service, change, terms).await?;
        Ok(Response::new(proto::ResetServiceResponse { revision, durable: self.durable() }))
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
        let (by, request) = audit::signed(request)?;
        let terms = terms(request.expected_revision, true, request.ttl)?;
        let change = SplitChange::Set(request.weights.into_iter().collect());
        let revision = split::change(&self.registry, request.route, change, terms, by).await?;
        Ok(Response::new(proto::SetSplitResponse { revision, durable: self.durable() }))
    }

    async fn reset_split(
        &self,
        request: Request<proto::ResetSplitRequest>,
    ) -> Result<Response<proto::ResetSplitResponse>, Status> {
        let (by, request) = audit::signed(request)?;
        let terms = terms(request.expected_revision, true, request.ttl)?;
        let change = SplitChange::Reset;
        let revision = split::change(&self.registry, request.route, change, terms, by).await?;
        Ok(Response::new(proto::ResetSplitResponse { revision, durable: self.durable() }))
    }

    async fn list_changes(
        &self,
        request: Request<proto::ListChangesRequest>,
    ) -> Result<Response<proto::ListChangesResponse>, Status> {
        let proto::ListChangesRequest { service, route } = request.into_inner();
        let log = match changes::subject(&service, &route)? {
            Subject::Service(name) => self.find(&name)?.view().changes().clone(),
            Subject::Route(_) => split::changes(&self.registry, &route)?,
        };
        Ok(Response::new(changes::list(&log, self.durable())))
    }

    async fn revert_change(
        &self,
        request: Request<proto::RevertChangeRequest>,
    ) -> Result<Response<proto::RevertChangeResponse>, Status> {
        let (by, request) = audit::signed(request)?;
        let proto::RevertChangeRequest { service, route, revision, .. } = request;
        let terms = terms(request.expected_revision, request.allow_empty, request.ttl)?;
        let revision = match changes::subject(&service, &route)? {
            Subject::Service(_) => {
                self.change(by, &service, Change::Revert(revision), terms).await?
            }
            Subject::Route(_) => {
                let change = SplitChange::Revert(revision);
                split::change(&self.registry, route, change, terms, by).await?
            }
        };
        Ok(Response::new(proto::RevertChangeResponse { revision, durable: self.durable() }))
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
        let (by, request) = audit::signed(request)?;
        super::log_level::set(&by, &request.level).map(Response::new)
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
