//! Hot reload of the configuration.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Gateway, StartError};
use crate::config::{AuditPlan, ControlPlaces, LogPlan, MetricsPlan, OverridesPlan, Plan, Report};
use crate::route::RouteChanges;
use crate::service::{Environment, Registry, Routing, Service, StagedService};
use crate::text::listed;
use crate::upstream::OwnAddresses;

/// Settings that are fixed until a restart.
#[derive(Clone, Debug)]
pub(super) struct RestartSettings {
    workers: usize,
    worker_buffer: usize,
    flow_pause: Duration,
    dns_servers: Vec<SocketAddr>,
    control: ControlPlaces,
    metrics: MetricsPlan,
    log: LogPlan,
    overrides: OverridesPlan,
    audit: Option<AuditPlan>,
}

impl RestartSettings {
    pub(super) fn of(plan: &Plan) -> RestartSettings {
        RestartSettings {
            workers: plan.workers,
            worker_buffer: plan.worker_buffer,
            flow_pause: plan.flow_pause,
            dns_servers: plan.dns_servers.clone(),
            control: plan.control.places.clone(),
            metrics: plan.metrics.clone(),
            log: plan.log,
            overrides: plan.overrides.clone(),
            audit: plan.audit.clone(),
        }
    }

    /// The keys of fixed settings in which `plan` differs.
    fn differences(&self, plan: &Plan) -> impl Iterator<Item = &'static str> {
        let keys = [
            ("workers", self.workers != plan.workers),
            ("worker_buffer", self.worker_buffer != plan.worker_buffer),
            ("flow_pause", self.flow_pause != plan.flow_pause),
            ("dns", self.dns_servers != plan.dns_servers),
            ("control", self.control != plan.control.places),
            ("metrics", self.metrics != plan.metrics),
            ("log", self.log != plan.log),
            ("overrides", self.overrides != plan.overrides),
            ("audit", self.audit != plan.audit),
        ];
        keys.into_iter().filter_map(|(key, differs)| differs.then_some(key))
    }
}

/// The result of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// Applied.
    Done,
    /// The configuration has errors, which are permanent.
    Refused,
    /// A possibly transient failure, such as a port in use.
    Hindered,
}

impl Gateway {
    /// Applies a loaded configuration atomically: all of it, or nothing if it has an error or an
    /// address cannot be bound. The result is logged and counted. No connection or stream ends
    /// because of it, but connections of removed listeners are told to go away.
    pub async fn reload(&mut self, loaded: Result<Plan, Report>) -> Reloaded {
        self.last_errors.clear();
        self.retry(loaded).await
    }

    /// As [`Gateway::reload`], but a failure that was logged the last time is not logged again.
    pub async fn retry(&mut self, loaded: Result<Plan, Report>) -> Reloaded {
        let (reloaded, errors) = match loaded {
            Ok(plan) => match self.apply(plan).await {
                Ok(()) => (Reloaded::Done, Vec::new()),
                Err(error) => (Reloaded::Hindered, vec![error.to_string()]),
            },
            Err(report) => (Reloaded::Refused, report.lines()),
        };
        if reloaded == Reloaded::Done {
            self.reloads.succeed();
        } else {
            self.reloads.fail();
            if errors != self.last_errors {
                complain(&errors);
                self.note("the configuration was not reloaded", Some(&errors.join("; ")));
            }
        }
        self.last_errors = errors;
        reloaded
    }

    /// Tells the audit of a reload.
    fn note(&self, told: &str, error: Option<&str>) {
        if let Some(audit) = &self.overrides.audit {
            audit.reloaded(told, error);
        }
    }

    /// On an error nothing has changed.
    async fn apply(&mut self, plan: Plan) -> Result<(), StartError> {
        let listeners = self.listeners.prepare(&plan.listeners)?;
        for warning in &plan.warnings {
            tracing::warn!(%warning, "configuration");
        }
        let mut restart_needed = false;
        for key in self.fixed.differences(&plan) {
            restart_needed = true;
            tracing::warn!(key, "a change of this key takes effect at the next start");
        }
        self.reloads.set_restart_needed(restart_needed);
        let (services, routes) = (plan.services.len(), plan.routes.len());
        let (drain_delay, drain_timeout) = (plan.drain_delay, plan.drain_timeout);
        self.room.compare(&plan);
        self.certificates.replace(plan.certificates.clone());
        self.entrances.configure(&plan);
        let before = self.registry.routing();
        self.dialer.set_listeners(OwnAddresses::new(listeners.addresses(&self.listeners)));
        publish(&self.registry, &self.environment, plan).await;
        self.registry.retire(&before).await;
        self.listeners.commit(listeners, &self.workers);
        (self.drain_delay, self.drain_timeout) = (drain_delay, drain_timeout);
        let listeners = self.listeners().len();
        let routing = self.registry.routing();
        let number = routing.configuration;
        tracing::info!(listeners, services, routes, number, "configuration reloaded");
        let told = format!(
            "configuration {number}: listeners {listeners}, services {services}, routes {routes}"
        );
        self.note(&told, None);
        let configured = Arc::clone(routing.splits.configured());
        log_services(&before, &routing);
        log_routes(&configured.changes_since(before.splits.configured()));
        Ok(())
    }
}

fn complain(errors: &[String]) {
    for error in errors {
        tracing::error!(%error, "configuration");
    }
    let errors = errors.len();
    tracing::error!(errors, "the configuration was not reloaded: what was in effect still is");
}

/// Logs added and removed services, and overrides that are lost with them.
fn log_services(before: &Routing, after: &Routing) {
    let names = |routing: &Routing| -> HashSet<String> {
        routing.services.iter().map(|service| service.name().into()).collect()
    };
    let (old, new) = (names(before), names(after));
    for (what, names) in [("added", new.difference(&old)), ("removed", old.difference(&new))] {
        let names: Vec<_> = names.cloned().collect();
        let count = names.len();
        if count > 0 {
            tracing::info!(count, services = listed(names), "services {what}");
        }
    }
    for service in before.services.iter().filter(|service| !new.contains(service.name())) {
        let (service, ended) = (service.name(), Arc::clone(&service.view().overrides));
        if !ended.is_empty() {
            let overrides = listed(ended.iter().map(|one| one.to_string()).collect());
            let count = ended.len();
            tracing::warn!(
                service,
                count,
                overrides,
                "what operators wanted has ended: the configuration has this service no more",
            );
        }
    }
}

/// Logs the diff of the routes.
fn log_routes(changes: &RouteChanges<'_>) {
    let RouteChanges { added, changed, removed } = changes;
    for (what, names) in [("added", added), ("changed", changed), ("removed", removed)] {
        if !names.is_empty() {
            let routes = listed(names.iter().map(|name| String::from(*name)).collect());
            tracing::info!(count = names.len(), routes, "routes {what}");
        }
    }
}

/// Publishes the first configuration, once its sources have answered or have had their time.
pub async fn publish_first(registry: &Registry, environment: &Environment, plan: Plan) {
    publish(registry, environment, plan).await;
    await_first_sets(registry).await;
}

/// Publishes the routes and services of `plan` as one swap. Running services continue, with their
/// new configuration.
pub async fn publish(registry: &Registry, environment: &Environment, plan: Plan) {
    let mut staging = Vec::with_capacity(plan.services.len());
    for config in plan.services {
        let name = &config.spec.name;
        let running = registry.get(name).ok_or_else(|| registry.initial_state(name));
        let environment = environment.clone();
        // Concurrently, so that pickers are built in parallel.
        staging.push(tokio::spawn(async move {
            match running {
                Ok(service) => service.staged(config).await,
                Err(initial) => {
                    let build_pool = environment.build_pool.clone();
                    let start = move || Service::start_with(initial, config, &environment);
                    build_pool.run(start).await.into()
                }
            }
        }));
    }
    let mut staged: Vec<StagedService> = Vec::with_capacity(staging.len());
    for staging in staging {
        match staging.await {
            Ok(one) => staged.push(one),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => std::future::pending().await, // the runtime is shutting down
        }
    }
    registry.publish(plan.routes, staged).await;
}

/// Waits for the first answer of each source, for as long as its service allows.
pub(super) async fn await_first_sets(registry: &Registry) {
    let services = registry.routing().services.iter().map(Arc::clone).collect::<Vec<_>>();
    let waiting: JoinSet<()> = services
        .into_iter()
        .map(|service| async move { service.await_first_set().await })
        .collect();
    waiting.join_all().await;
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::RestartSettings;
    use crate::config;

    #[test]
    fn keys_that_need_a_restart_are_documented() {
        let rest = "listeners: [ '127.0.0.1:0' ]\nservices: { a: { endpoints: [ 'b:1' ] } }\nroutes: [ a ]\n";
        let other = "workers: 1023\nworker_buffer: 1MiB\nflow_pause: 0ms\ndns: { servers: [ 127.0.0.1 ] }\n\
                     control: 127.0.0.1:1\nmetrics: 127.0.0.1:2\nlog: { level: debug }\n\
                     overrides: { journal: { path: x } }\naudit: { path: y }\n";
        let before = config::parse(rest, Path::new("")).unwrap();
        let after = config::parse(&format!("{other}{rest}"), Path::new("")).unwrap();
        let mut differ: Vec<_> = RestartSettings::of(&before).differences(&after).collect();
        let rows = config::keys().section().rows();
        let mut told: Vec<_> = rows.filter(|row| row.restart()).map(|row| row.name()).collect();
        told.extend(["control", "metrics"]); // some of their keys
        differ.sort_unstable();
        told.sort_unstable();
        assert_eq!(differ, told);
    }
}
