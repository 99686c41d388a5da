//! The control API's methods.

use std::time::Duration;

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::access::Control;
use super::changes::asked;
use super::drain::DrainWatcher;
use super::watch::StatePublisher;
use super::{
    audit, changes, convert, explain_route, explain_service, policy, proto, sources, split, whoami,
};
use crate::overrides::Subject;
use crate::service::{Change, SplitChange};

#[tonic::async_trait]
impl proto::control_server::Control for Control {
    type WatchServiceStream = ReceiverStream<Result<proto::Service, Status>>;
    type WatchDrainStream = ReceiverStream<Result<proto::DrainProgress, Status>>;

    async fn who_am_i(
        &self,
        request: Request<proto::WhoAmIRequest>,
    ) -> Result<Response<proto::WhoAmIResponse>, Status> {
        let (permit, _) = audit::opened(request)?;
        Ok(Response::new(whoami::answer(&permit)))
    }

    async fn list_services(
        &self,
        request: Request<proto::ListServicesRequest>,
    ) -> Result<Response<proto::ListServicesResponse>, Status> {
        let (permit, _) = audit::opened(request)?;
        let services = self.registry.list();
        let seen = services.iter().filter(|service| permit.sees(service.name()));
        let services = seen.map(|service| convert::summary(&service.view())).collect();
        Ok(Response::new(proto::ListServicesResponse { services }))
    }

    async fn get_service(
        &self,
        request: Request<proto::GetServiceRequest>,
    ) -> Result<Response<proto::Service>, Status> {
        let (permit, request) = audit::opened(request)?;
        let proto::GetServiceRequest { service, since_revision } = request;
        let view = self.find(&permit, &service)?.view();
        convert::service(&view, since_revision).map(Response::new)
    }

    async fn watch_service(
        &self,
        request: Request<proto::WatchServiceRequest>,
    ) -> Result<Response<Self::WatchServiceStream>, Status> {
        let (permit, request) = audit::opened(request)?;
        let service = self.find(&permit, &request.service)?;
        let interval = super::watch::interval(request.interval)?;
        let since = request.since_revision;
        convert::service(&service.view(), since)?;
        let feed = StatePublisher { views: service.watch(), interval, since };
        let states =
            self.streams.start((permit, request.service), |sender| feed.publish(sender))?;
        Ok(Response::new(ReceiverStream::new(states)))
    }

    async fn set_weights(
        &self,
        request: Request<proto::SetWeightsRequest>,
    ) -> Result<Response<proto::SetWeightsResponse>, Status> {
        let (call, request) = audit::signed(request)?;
        let change = Change::SetWeights(request.weights);
        let asked =
            asked(request.expected_revision, request.allow_empty, request.ttl, request.dry_run)?;
        let answer = self.change(call, &request.service, change, asked).await?;
        Ok(Response::new(answer.into()))
    }

    async fn drain_backend(
        &self,
        request: Request<proto::DrainBackendRequest>,
    ) -> Result<Response<proto::DrainBackendResponse>, Status> {
        let (call, request) = audit::signed(request)?;
        let timeout = request.timeout.map(super::drain::timeout).transpose();
        let timeout = timeout.inspect_err(|unreadable| {
            let change = Change::Drain { address: request.backend.clone(), timeout: None };
            self.refused(&request.service, &call, &change, unreadable.message());
        })?;
        let change = Change::Drain { address: request.backend, timeout };
        let asked =
            asked(request.expected_revision, request.allow_empty, request.ttl, request.dry_run)?;
        let answer = self.change(call, &request.service, change, asked).await?;
        Ok(Response::new(answer.into()))
    }

    async fn watch_drain(
        &self,
        request: Request<proto::WatchDrainRequest>,
    ) -> Result<Response<Self::WatchDrainStream>, Status> {
        let (permit, proto::WatchDrainRequest { service, backend }) = audit::opened(request)?;
        let watcher = DrainWatcher::new(self.find(&permit, &service)?.watch(), &backend)?;
        let progress = self.streams.start((permit, service), |sender| watcher.follow(sender))?;
        Ok(Response::new(ReceiverStream::new(progress)))
    }

    async fn undrain_backend(
        &self,
        request: Request<proto::UndrainBackendRequest>,
    ) -> Result<Response<proto::UndrainBackendResponse>, Status> {
        let (call, request) = audit::signed(request)?;
        let change = Change::Undrain(request.backend);
        let asked =
            asked(request.expected_revision, request.allow_empty, request.ttl, request.dry_run)?;
        let answer = self.change(call, &request.service, change, asked).await?;
        Ok(Response::new(answer.into()))
    }

    async fn eject_backend(
        &self,
        request: Request<proto::EjectBackendRequest>,
    ) -> Result<Response<proto::EjectBackendResponse>, Status> {
        let (call, request) = audit::signed(request)?;
        let time = request.time.map(Duration::try_from).transpose();
        let time = time.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let change = Change::Eject { address: request.backend, time };
        let asked = asked(request.expected_revision, true, None, request.dry_run)?;
        let answer = self.change(call, &request.service, change, asked).await?;
        Ok(Response::new(answer.into()))
    }

    async fn heal_backend(
        &self,
        request: Request<proto::HealBackendRequest>,
    ) -> Result<Response<proto::HealBackendResponse>, Status> {
        let (call, request) = audit::signed(request)?;
        let change = Change::Heal(request.backend);
        let asked = asked(request.expected_revision, true, request.ttl, request.dry_run)?;
        let answer = self.change(call, &request.service, change, asked).await?;
        Ok(Response::new(answer.into()))
    }

    async fn add_backends(
        &self,
        request: Request<proto::AddBackendsRequest>,
    ) -> Result<Response<proto::AddBackendsResponse>, Status> {
        let (call, request) = audit::signed(request)?;
        let backends = request.backends.into_iter().map(convert::new_backend).collect();
        let change = Change::Add(backends);
        let asked = asked(request.expected_revision, true, request.ttl, request.dry_run)?;
        let answer = self.change(call, &request.service, change, asked).await?;
        Ok(Response::new(answer.into()))
    }

    async fn remove_backends(
        &self,
        request: Request<proto::RemoveBackendsRequest>,
    ) -> Result<Response<proto::RemoveBackendsResponse>, Status> {
        let (call, request) = audit::signed(request)?;
        let change = Change::Remove(request.addresses);
        let asked =
            asked(request.expected_revision, request.allow_empty, request.ttl, request.dry_run)?;
        let answer = self.change(call, &request.service, change, asked).await?;
        Ok(Response::new(answer.into()))
    }

    async fn set_policy(
        &self,
        request: Request<proto::SetPolicyRequest>,
    ) -> Result<Response<proto::SetPolicyResponse>, Status> {
        let (call, request) = audit::signed(request)?;
        let settings = policy::settings(request.settings.unwrap_or_default());
        let settings = settings.inspect_err(|unreadable| {
            let change = Change::SetPolicy { policy: request.policy.clone(), settings: Vec::new() };
            self.refused(&request.service, &call, &change, unreadable.message());
        });
        let change = Change::SetPolicy { policy: request.policy, settings: settings? };
        let asked = asked(request.expected_revision, true, request.ttl, request.dry_run)?;
        let answer = self.change(call, &request.service, change, asked).await?;
        Ok(Response::new(answer.into()))
    }

    async fn reset_service(
        &self,
        request: Request<proto::ResetServiceRequest>,
    ) -> Result<Response<proto::ResetServiceResponse>, Status> {
        let (call, request) = audit::signed(request)?;
        let change = Change::Reset(request.backends);
        let asked =
            asked(request.expected_revision, request.allow_empty, request.ttl, request.dry_run)?;
        let answer = self.change(call, &request.service, change, asked).await?;
        Ok(Response::new(answer.into()))
    }

    async fn list_splits(
        &self,
        request: Request<proto::ListSplitsRequest>,
    ) -> Result<Response<proto::ListSplitsResponse>, Status> {
        let (permit, _) = audit::opened(request)?;
        Ok(Response::new(split::list(&self.registry, &permit)))
    }

    async fn get_split(
        &self,
        request: Request<proto::GetSplitRequest>,
    ) -> Result<Response<proto::Split>, Status> {
        let (permit, request) = audit::opened(request)?;
        split::get(&self.registry, &permit, &request.route).map(Response::new)
    }

    async fn set_split(
        &self,
        request: Request<proto::SetSplitRequest>,
    ) -> Result<Response<proto::SetSplitResponse>, Status> {
        let (call, request) = audit::signed(request)?;
        let asked = asked(request.expected_revision, true, request.ttl, request.dry_run)?;
        let change = SplitChange::Set(request.weights.into_iter().collect());
        let answer = split::change(&self.registry, request.route, change, asked, call).await?;
        Ok(Response::new(answer.into()))
    }

    async fn reset_split(
        &self,
        request: Request<proto::ResetSplitRequest>,
    ) -> Result<Response<proto::ResetSplitResponse>, Status> {
        let (call, request) = audit::signed(request)?;
        let asked = asked(request.expected_revision, true, request.ttl, request.dry_run)?;
        let change = SplitChange::Reset;
        let answer = split::change(&self.registry, request.route, change, asked, call).await?;
        Ok(Response::new(answer.into()))
    }

    async fn list_changes(
        &self,
        request: Request<proto::ListChangesRequest>,
    ) -> Result<Response<proto::ListChangesResponse>, Status> {
        let (permit, proto::ListChangesRequest { service, route }) = audit::opened(request)?;
        let log = match changes::subject(&service, &route)? {
            Subject::Service(name) => self.find(&permit, &name)?.view().changes().clone(),
            Subject::Route(_) => split::changes(&self.registry, &permit, &route)?,
        };
        Ok(Response::new(changes::list(&log, self.durable())))
    }

    async fn revert_change(
        &self,
        request: Request<proto::RevertChangeRequest>,
    ) -> Result<Response<proto::RevertChangeResponse>, Status> {
        let (call, request) = audit::signed(request)?;
        let proto::RevertChangeRequest { service, route, revision, .. } = request;
        let asked =
            asked(request.expected_revision, request.allow_empty, request.ttl, request.dry_run)?;
        let answer = match changes::subject(&service, &route)? {
            Subject::Service(_) => {
                let change = Change::Revert(revision);
                let allowed = self.may_revert(&call.permit, &service, revision);
                allowed.inspect_err(|denied| {
                    self.refused(&service, &call, &change, denied.message());
                })?;
                self.change(call, &service, change, asked).await?
            }
            Subject::Route(_) => {
                let change = SplitChange::Revert(revision);
                split::change(&self.registry, route, change, asked, call).await?
            }
        };
        Ok(Response::new(answer.into()))
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
        let (permit, request) = audit::opened(request)?;
        let service = self.find(&permit, &request.service)?;
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
        let (call, request) = audit::signed(request)?;
        super::log_level::change(&call, &request).await.map(Response::new)
    }

    async fn list_sources(
        &self,
        request: Request<proto::ListSourcesRequest>,
    ) -> Result<Response<proto::ListSourcesResponse>, Status> {
        let (permit, proto::ListSourcesRequest { service }) = audit::opened(request)?;
        if !service.is_empty() {
            self.find(&permit, &service)?;
        }
        Ok(Response::new(sources::list(&self.registry, &permit, &service)))
    }

    async fn list_methods(
        &self,
        request: Request<proto::ListMethodsRequest>,
    ) -> Result<Response<proto::ListMethodsResponse>, Status> {
        let (permit, request) = audit::opened(request)?;
        let service = self.find(&permit, &request.service)?;
        Ok(Response::new(super::methods::list(service.methods())))
    }
}
