"""How each gateway is set up for faults: as its users would who want failures to be seen early.

Equipoise runs as it comes, and in one column with the checks that the others have. HAProxy and Envoy balance by
the calls under way, check each backend five times a second by HTTP, and try another one where none could be connected
to; Envoy ejects by what is answered alone, as the rest is for its checks to see.
"""

import dataclasses
import os

from setups import ENVOY, HOST

TYPES = "type.googleapis.com/envoy.extensions"


@dataclasses.dataclass(frozen=True)
class Column:
    """A gateway in one set-up: a column of the table."""

    title: str
    kind: str
    workers: int = 1
    tls: bool = False  # to backends
    http1: bool = False  # to backends
    health: bool = False  # checked as the peers' are

    @property
    def ours(self):
        return self.kind in ("equipoise", "base")


COLUMNS = {
    "equipoise": Column("Equipoise", "equipoise"),
    "workers": Column("two workers, 1 : 9", "equipoise", workers=2),
    "tls": Column("TLS to backends", "equipoise", tls=True),
    "http1": Column("HTTP/1.1 to backends", "equipoise", http1=True),
    "health": Column("with health checks", "equipoise", health=True),
    "base": Column("version 1", "base"),
    "haproxy": Column("HAProxy", "haproxy"),
    "envoy": Column("Envoy", "envoy"),
}


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a run wants of a gateway."""

    column: Column
    binary: str
    backends: list  # addresses
    directory: str  # with ca.pem
    turns: bool = False  # round_robin instead of what it would do
    route: str = ""  # more keys of our route, such as `retry: {}`

    def command(self, front):
        """Writes its configuration and gives its command; `front` is what tests/harness/fronts.py has chosen."""
        return {"haproxy": haproxy, "envoy": envoy}.get(self.column.kind, equipoise)(self, front)

    def each(self, line, between="\n"):
        hosts = [address.rsplit(":", 1) for address in self.backends]
        return between.join(line.format(i=i, host=host, port=port) for i, (host, port) in enumerate(hosts))


def configuration(setup, front, reload=0):
    """The gateway's; each reload's differs from the one before."""
    tls = f"tls: {{ ca: {setup.directory}/ca.pem, server_name: localhost }}" if setup.column.tls else ""
    health = "health: { http: { path: /well }, interval: 200ms, timeout: 200ms, fall: 2, rise: 1 }" if setup.column.health else ""
    return f"""\
workers: {setup.column.workers}
drain_timeout: {30 + reload}s
listeners:
  - {{ address: {HOST}:{front.plain} }}
  - {{ address: {HOST}:{front.tls}, tls: {{ cert: cert.pem, key: key.pem }} }}
control: {{ address: {HOST}:{front.other[0]} }}
metrics: {{ address: {HOST}:{front.other[1]} }}
services:
  back:
    protocol: {"http1" if setup.column.http1 else "grpc"}
    {tls}
    {health}
    balancer: {{ policy: {"round_robin" if setup.turns else "p2c_ewma"} }}
    endpoints: [ {setup.each(f'{{{{ address: "{{host}}:{{port}}", weight: {1 + reload % 3} }}}}', ", ")} ]
routes: [ {{ service: back{', ' + setup.route if setup.route else ''} }} ]
"""


def equipoise(setup, front):
    return [setup.binary, "serve", "--config", front.write("gateway.yaml", configuration(setup, front))]


def haproxy(setup, front):
    config = front.write("haproxy.cfg", f"""\
global
  nbthread 1
  tune.bufsize 32768
  stats socket {front.directory}/admin level admin
defaults
  mode http
  timeout connect 1s
  timeout client 300s
  timeout server 300s
  timeout check 200ms
  http-reuse always
  option redispatch
frontend front
  bind {HOST}:{front.plain} proto h2
  bind {HOST}:{front.tls} ssl crt {front.directory}/both.pem alpn h2
  default_backend back
backend back
  balance {"roundrobin" if setup.turns else "leastconn"}
  option httpchk
  http-check send meth GET uri /well
  default-server proto h2 check check-proto h2 inter 200ms fall 2 rise 1 observe layer7 error-limit 5 on-error mark-down
{setup.each("  server b{i} {host}:{port}")}
""")
    return ["haproxy", "-W", "-db", "-f", config]


def envoy_endpoints(setup, front, weights=(1, 1, 1)):
    """In a file of their own, which takes effect when another takes its place."""
    listed = setup.each("    - endpoint: {{ address: {{ socket_address: {{ address: {host}, port_value: {port} }} }} }}\n"
                        "      load_balancing_weight: WEIGHT{i}")
    for i, weight in enumerate(weights):
        listed = listed.replace(f"WEIGHT{i}", str(weight))
    new = front.write("endpoints.new", f"""\
resources:
- "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
  cluster_name: back
  endpoints:
  - lb_endpoints:
{listed}
""")
    os.rename(new, front.directory / "endpoints.yaml")


def envoy(setup, front):
    envoy_endpoints(setup, front)
    tls = f"""
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": {TYPES}.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [ h2 ]
            tls_certificates:
            - certificate_chain: {{ filename: {front.directory}/cert.pem }}
              private_key: {{ filename: {front.directory}/key.pem }}"""

    def listener(name, port, socket=""):
        return f"""
  - name: {name}
    address: {{ socket_address: {{ address: {HOST}, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: {name}
          generate_request_id: false
          stream_idle_timeout: 0s
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ "@type": {TYPES}.filters.http.router.v3.Router }}
          route_config:
            virtual_hosts:
            - name: all
              domains: [ "*" ]
              routes:
              - match: {{ prefix: / }}
                route:
                  cluster: back
                  timeout: 0s
                  max_stream_duration: {{ grpc_timeout_header_max: 0s }}
                  retry_policy:
                    retry_on: connect-failure,refused-stream{',reset,unavailable' if setup.route.startswith('retry') else ''}
                    num_retries: 3
                    host_selection_retry_max_attempts: 5
                    retry_host_predicate:
                    - name: envoy.retry_host_predicates.previous_hosts
                      typed_config: {{ "@type": {TYPES}.retry.host.previous_hosts.v3.PreviousHostsPredicate }}{socket}"""

    config = front.write("envoy.yaml", f"""\
static_resources:
  listeners:{listener("plain", front.plain)}{listener("tls", front.tls, tls)}
  clusters:
  - name: back
    type: EDS
    eds_cluster_config: {{ eds_config: {{ path_config_source: {{ path: {front.directory}/endpoints.yaml }} }} }}
    connect_timeout: 1s
    lb_policy: {"ROUND_ROBIN" if setup.turns else "LEAST_REQUEST"}
    health_checks:
    - timeout: 0.2s
      interval: 0.2s
      unhealthy_threshold: 2
      healthy_threshold: 1
      no_traffic_interval: 0.2s
      http_health_check: {{ path: /well, codec_client_type: HTTP2 }}
    circuit_breakers: {{ thresholds: [ {{ max_retries: 1024 }} ] }}
    outlier_detection:
      consecutive_5xx: 5
      interval: 1s
      base_ejection_time: 30s
      max_ejection_percent: 50
      successful_active_health_check_uneject_host: false
      split_external_local_origin_errors: true
      enforcing_consecutive_local_origin_failure: 0
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": {TYPES}.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{ http2_protocol_options: {{}} }}
""")
    return [str(ENVOY), "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "error", "--service-node", "faults", "--service-cluster", "faults"]
