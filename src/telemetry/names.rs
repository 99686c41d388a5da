//! The names, types, help texts and labels of all exported metrics.

/// A metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Metric {
    /// The name of the family.
    pub name: &'static str,
    /// Its type.
    pub kind: MetricKind,
    /// Its help text.
    pub help: &'static str,
    /// Label names, in the order in which values are given; `le` is implied.
    pub labels: &'static [&'static str],
}

/// A Prometheus metric type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricKind {
    /// Monotonic; reset by a restart.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Samples counted in cumulative buckets.
    Histogram,
}

impl MetricKind {
    /// Its name in the exposition format.
    pub const fn name(self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        }
    }
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal $labels:tt $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                kind: MetricKind::$kind,
                help: $help,
                labels: &$labels,
            };
        )*

        /// Every metric.
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    REQUESTS = Counter "equipoise_requests_total" ["service", "backend", "protocol", "code"]
        "Requests that are over, by gRPC code name or HTTP status.";
    REQUEST_DURATION = Histogram "equipoise_request_duration_seconds" ["service", "backend"]
        "Time from the request to the last byte of the response, of calls; without those that the client gave up.";
    RESPONSE_START = Histogram "equipoise_response_start_seconds" ["service"]
        "Time from the request to the head of the response, of calls.";
    BACKEND_LATENCY = Gauge "equipoise_backend_latency_seconds" ["service", "backend", "quantile"]
        "Quantiles of the calls of the last 30 s, to the last byte; absent without any.";
    BACKEND_WEIGHT = Gauge "equipoise_backend_weight" ["service", "backend"]
        "Weight that the balancer uses now; 0 while the backend takes no new requests, a part of it while it starts slowly.";
    BACKEND_IN_FLIGHT = Gauge "equipoise_backend_in_flight" ["service", "backend"]
        "Calls sent to the backend and not yet over; absent before the first.";
    BACKEND_OPEN_STREAMS = Gauge "equipoise_backend_open_streams" ["service", "backend"]
        "Streams that are open to the backend; absent before the first.";
    BACKEND_STREAM_AGE = Gauge "equipoise_backend_stream_age_seconds" ["service", "backend"]
        "How long the streams that are open have been so on average; absent without any.";
    STREAMS_OPENED = Counter "equipoise_streams_opened_total" ["service", "backend"]
        "Exchanges that began as streams or became some.";
    STREAMS_ENDED = Counter "equipoise_streams_ended_total" ["service", "backend"]
        "Streams that are over.";
    STREAM_MESSAGES = Counter "equipoise_stream_messages_total" ["service", "backend", "direction"]
        "Messages on streams: of clients (request) and of the backend (response).";
    BACKEND_EWMA = Gauge "equipoise_backend_ewma_seconds" ["service", "backend"]
        "Moving average of the time to a response that p2c_ewma balances by, a geometric one: failures count as the penalty; absent before the first request.";
    BACKEND_UP = Gauge "equipoise_backend_up" ["service", "backend"]
        "1 if the backend may take new requests and can be reached, else 0; absent while nobody knows; for `other`, how many may and can.";
    BACKEND_STATE = Gauge "equipoise_backend_state" ["service", "backend", "state"]
        "1 for the state that the backend is in: READY, CONNECTING, IDLE, DRAINING, UNHEALTHY or EJECTED.";
    SERVICE_PANIC = Gauge "equipoise_service_panic" ["service"]
        "1 if so few backends of the service are well that those that are not get requests too, else 0.";
    BACKEND_SUCCESS_RATIO = Gauge "equipoise_backend_success_ratio" ["service", "backend"]
        "Share of the requests of the last 30 s that succeeded; absent before the first request.";
    METHOD_REQUESTS = Counter "equipoise_method_requests_total" ["service", "method", "code"]
        "gRPC calls and streams that are over, by method and code; methods that no backend has shown to know are `other`.";
    METHOD_DURATION = Histogram "equipoise_method_duration_seconds" ["service", "method"]
        "Time from the request to the last byte of the response, of gRPC calls, by method; without those that the client gave up.";
    ACCEPTED = Counter "equipoise_accepted_total" []
        "Requests that came; each has one outcome, or is open.";
    OUTCOMES = Counter "equipoise_outcomes_total" ["outcome"]
        "Requests that are over, whoever has answered them.";
    OPEN_EXCHANGES = Gauge "equipoise_open_exchanges" []
        "Requests that came and have no outcome yet.";
    RETRIES = Counter "equipoise_retries_total" ["service", "result"]
        "Failed attempts that another one might make good: requests that were retried by the route's policy and succeeded (success) or failed in the end (failure), sent again as no backend had begun them (transparent), and attempts that were not retried as the budget was spent (budget), the body was not kept any more (body), too little time was left (deadline) or the backend said so (pushback).";
    HEDGES = Counter "equipoise_hedges_total" ["service", "result"]
        "Attempts beside another one: whose response reached the client (won), that were cancelled as another was answered first (lost), of which one failed while the other went on (failed), and that were not made as the budget was spent (budget); absent before the first.";
    REQUEST_ATTEMPTS = Histogram "equipoise_request_attempts" ["service"]
        "Attempts that a request took, of routes with retries or hedging.";
    RETRY_BUDGET_LEFT = Gauge "equipoise_retry_budget_left" ["service"]
        "Retries and hedges that the service may have now; of services with routes that have retries or hedging.";
    BACKEND_RETRIED = Counter "equipoise_backend_retried_total" ["service", "backend"]
        "Failed attempts at the backend that were followed by another attempt: equipoise_requests_total counts the last one of a request.";
    UNIMPLEMENTED_RETRIES = Counter "equipoise_unimplemented_retries_total" ["service"]
        "Requests sent to another backend, as the one before does not implement the method.";
    DEADLINE_EXCEEDED = Counter "equipoise_deadline_exceeded_total" ["service", "where"]
        "Requests whose time was up: before a backend had them (unsent), while the head of a response was waited for (head), in the midst of it (body), or in what is likely a stream that the route's time-out has cut (stream); absent before the first.";
    DRAIN_CUTS = Counter "equipoise_drain_cut_total" ["service"]
        "Requests that were cut off with UNAVAILABLE because their backend had been removed, or drained with a limit, and the time to finish was over.";
    EJECTIONS = Counter "equipoise_ejections_total" ["service", "reason"]
        "Times that backends of the service were ejected for what they answered: for faults in a row (faults), a fault on trial (relapse), a lower success ratio than that of the others (ratio), a higher latency (latency), or by an operator (hand). Absent before the first.";
    HEALTH_CHECKS = Counter "equipoise_health_checks_total" ["service", "result"]
        "Checks of the health of the service's backends: success, failure or timeout; one that several services share counts for each. Absent before the first.";
    DISCOVERY_UP = Gauge "equipoise_discovery_up" ["service", "source"]
        "1 while the source of the service's backends answers, 0 while it fails: then its last backends stay.";
    DISCOVERY_ENDPOINTS = Gauge "equipoise_discovery_endpoints" ["service", "source"]
        "Backends that the source told of last.";
    DISCOVERY_UPDATES = Counter "equipoise_discovery_updates_total" ["service", "source"]
        "Times that the source told of other backends than before.";
    DISCOVERY_ERRORS = Counter "equipoise_discovery_errors_total" ["service", "source"]
        "Failures of the source, and entries of it that could not be used.";
    DISCOVERY_LAST_SUCCESS = Gauge "equipoise_discovery_last_success_timestamp_seconds" ["service", "source"]
        "When the source last answered, in Unix time. Absent before the first answer.";
    NEAR_REQUESTS = Gauge "equipoise_near_requests_ratio" ["service"]
        "The part of the service's requests that goes to backends in the gateway's own zone alone; the rest goes to all. Of services that prefer their zone.";
    CONCURRENCY_LIMIT = Gauge "equipoise_concurrency_limit" ["service"]
        "Calls of the service that may be in flight now: by its limits, of the backends that may take requests. Absent without a limit of calls.";
    CONCURRENCY_LEARNED = Gauge "equipoise_concurrency_learned_limit" ["service"]
        "The limit of calls in flight that is learnt from how long they take, whether it applies or is observed. Absent while calls do not wait.";
    WOULD_REFUSE = Counter "equipoise_would_refuse_total" ["service"]
        "Calls that the learnt limit would have refused, were it not only observed.";
    CONCURRENCY_CALLS = Gauge "equipoise_concurrency_calls" ["service"]
        "Calls of the service in flight, of services with limits.";
    CONCURRENCY_WAITING = Gauge "equipoise_concurrency_waiting" ["service"]
        "Calls of the service that wait until others have ended, of services with limits.";
    CONCURRENCY_STREAMS = Gauge "equipoise_concurrency_streams" ["service"]
        "Open streams of the service, of services with limits.";
    MIRRORED = Counter "equipoise_mirrored_total" ["service", "result"]
        "Copies of requests for a service that is a mirror, by how they ended; absent before the first.";
    REJECTED = Counter "equipoise_rejected_total" ["service", "route", "reason"]
        "Requests that no backend has answered, because the gateway would not or could not pass them on; service and route are empty where there was none yet.";
    CONNECTIONS = Gauge "equipoise_connections" ["side"]
        "Open connections, with clients (downstream) and with backends (upstream).";
    CONNECTIONS_CLOSED = Counter "equipoise_connections_closed_total" ["side", "reason"]
        "Connections that were closed, by the limit that was passed or the other reason.";
    CONNECTIONS_REFUSED = Counter "equipoise_connections_refused_total" ["listener", "reason"]
        "Connections that were closed at once, or could not be accepted, by the address that they came to.";
    CONTROL_REFUSED = Counter "equipoise_control_refused_total" ["reason"]
        "Calls, streams and connections that the control API has refused: nobody had proved who they are (unauthenticated), or they may not (denied), one has as many open as one may (calls, streams) or calls too often (rate), a TLS handshake failed (handshake), another user came by the Unix socket (user), or the gateway itself (own).";
    WORKERS = Gauge "equipoise_workers" []
        "Threads that carry requests.";
    FOLDED = Gauge "equipoise_metrics_folded_series" ["metric"]
        "Label sets of the metric that are summed up under the name `other`, beyond the series budget.";
    CONFIG_RELOADS = Counter "equipoise_config_reloads_total" ["result"]
        "Reloads of the configuration; one with an error has changed nothing.";
    CONFIG_LOADED = Gauge "equipoise_config_last_reload_success_timestamp_seconds" []
        "When the configuration that is in effect was loaded, in seconds since 1970.";
    CONFIG_IN_SYNC = Gauge "equipoise_config_in_sync" []
        "1 if the configuration as it stands in its files is in effect, 0 if it was refused or could not be applied.";
    CONFIG_RESTART_NEEDED = Gauge "equipoise_config_restart_needed" []
        "1 if keys of the configuration have changed that wait for the next start, else 0.";
    JOURNAL_UP = Gauge "equipoise_overrides_journal_up" []
        "1 if what operators change can be kept in the journal, 0 if changes are refused; absent without a journal.";
    JOURNAL_FAILURES = Counter "equipoise_overrides_journal_failures_total" ["reason"]
        "Failures of the journal of overrides: a line could not be written (write) or synced (sync), a new file could not be written (rewrite), the disk did not answer in time (stuck), or at the start the last line was cut off (torn) or lines were damaged (corrupt); absent without a journal.";
    AUDIT_UP = Gauge "equipoise_audit_up" []
        "1 if the last lines of the audit could be written, 0 if not: then changes are refused where it is strict; absent without an audit.";
    AUDIT_FAILURES = Counter "equipoise_audit_failures_total" ["reason"]
        "Failures of the audit: lines could not be written or synced (write), the disk did not answer in time (stuck), a line was given up as too many waited (lost), or a refusal has no line of its own as there were too many (suppressed); absent without an audit.";
    LOG_DROPPED = Counter "equipoise_log_lines_dropped_total" ["reason"]
        "Lines of the log that were not written: the queue was full, or they could not be (unwritable).";
    PANICS = Counter "equipoise_panics_total" []
        "Errors in the gateway's own program, each with a line in the log.";
    TASKS_ENDED = Counter "equipoise_tasks_ended_total" ["task"]
        "Parts of the gateway that ended though nobody asked for it; all but a worker are started again.";
    CERTIFICATE_EXPIRY = Gauge "equipoise_certificate_expiry_timestamp_seconds" ["file", "subject"]
        "When a certificate that is used ceases to be valid, in seconds since 1970; the 200 that do so first.";
    BUILD_INFO = Gauge "equipoise_build_info" ["version"]
        "1; the label says which version runs.";
    PROCESS_CPU = Counter "process_cpu_seconds_total" []
        "CPU time used, user and system.";
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes" []
        "Memory that is in RAM.";
    PROCESS_OPEN_FDS = Gauge "process_open_fds" []
        "Open file descriptors.";
    PROCESS_MAX_FDS = Gauge "process_max_fds" []
        "File descriptors that may be open.";
    PROCESS_THREADS = Gauge "process_threads" []
        "Threads of the operating system.";
    PROCESS_START = Gauge "process_start_time_seconds" []
        "When the process started, in seconds since 1970.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let mut seen = HashSet::new();
        for metric in METRICS {
            let Metric { name, help, .. } = metric;
            assert!(seen.insert(name), "{name} is there twice");
            let plain = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(name.chars().all(plain), "{name}");
            let counter = metric.kind == MetricKind::Counter;
            assert_eq!(name.ends_with("_total"), counter, "{name}");
            let histogram = metric.kind == MetricKind::Histogram;
            assert!(
                !histogram || name.ends_with("_seconds") || name.ends_with("_attempts"),
                "{name}"
            );
            assert!(help.ends_with('.') && !help.contains(['\n', '\\']), "{name}");
            let labels: HashSet<_> = metric.labels.iter().collect();
            assert_eq!(labels.len(), metric.labels.len(), "{name}");
            assert!(!labels.contains(&"le"), "{name}");
        }
    }
}
