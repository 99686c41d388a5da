"""How each front is set up: it writes its configuration to `setup.directory` and gives its command.

Every one as its users would for gRPC: HTTP/2 on both sides, 1 MiB a stream and 16 MiB a connection under way
where that can be set and helps, connections to backends kept, no access log, no request ids, TLS beside clear text.
With `protocol="http1"` it speaks HTTP/1.1 in front instead, and to backends what costs it less: HTTP/2, but for
NGINX, which cannot, and for HAProxy and Envoy, whose answers h2load then takes for failed.
"""

import dataclasses
import pathlib

HOST = "127.0.0.1"
ROOT = pathlib.Path(__file__).resolve().parents[2]
# Where `tests/harness/envoy` and benches/peers/run put what Debian does not have.
ENVOY = ROOT / "target/peers-envoy/bin/envoy"
RELAY = ROOT / "target/peers/release/peers-relay"
# More than anything here opens, and less than descriptors are usually allowed.
CONNECTIONS = 18_000


@dataclasses.dataclass
class Setup:
    directory: pathlib.Path  # has ca.pem, cert.pem, key.pem and both.pem
    plain: int
    tls: int
    other: tuple[int, int]  # free ports for whatever else
    backends: list[int]
    gateway: str
    profile: str
    protocol: str
    workers: int
    streams: int

    @property
    def http1(self):
        return self.protocol == "http1"

    def each(self, line, between="\n"):
        return between.join(line.format(i=i, host=HOST, port=port) for i, port in enumerate(self.backends))

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return str(path)


def equipoise(s):
    config = s.write("gateway.yaml", f"""\
workers: {s.workers}
listeners:
  - {{ address: {HOST}:{s.plain}, profile: {s.profile} }}
  - {{ address: {HOST}:{s.tls}, profile: {s.profile}, tls: {{ cert: cert.pem, key: key.pem }} }}
control: {{ address: {HOST}:{s.other[0]} }}
metrics: {{ address: {HOST}:{s.other[1]} }}
services:
  backend:
    protocol: {"grpc" if s.http1 else s.protocol}
    endpoints: [ {s.each("{{ address: {host}:{port} }}", ", ")} ]
routes:
  - match: {{ path_prefix: / }}
    service: backend
""")
    return [s.gateway, "serve", "--config", config]


def haproxy(s):
    """A buffer holds a frame of 16 KiB and its fields, or some requests of that size fail. So do some with a larger window."""
    proto, alpn = ("", "http/1.1") if s.http1 else (" proto h2", "h2")
    config = s.write("haproxy.cfg", f"""\
global
  nbthread {s.workers}
  maxconn {CONNECTIONS}
  no strict-limits
  tune.h2.max-concurrent-streams {s.streams}
  tune.bufsize 32768
defaults
  mode http
  timeout connect 1s
  timeout client 300s
  timeout server 300s
  timeout http-request 10s
  timeout http-keep-alive 300s
  http-reuse always
frontend front
  bind {HOST}:{s.plain}{proto}
  bind {HOST}:{s.tls} ssl crt {s.directory}/both.pem alpn {alpn}
  default_backend back
backend back
  balance roundrobin
{s.each("  server b{i} {host}:{port}" + proto)}
""")
    return ["haproxy", "-f", config, "-db"]


def nghttpx(s):
    return ["nghttpx", "--conf=/dev/null", f"-f{HOST},{s.plain};no-tls", f"-f{HOST},{s.tls}", f"-n{s.workers}",
            "--no-ocsp", "--no-via", "--no-server-rewrite", "--log-level=ERROR", "--accesslog-file=/dev/null",
            f"--frontend-http2-max-concurrent-streams={s.streams}",
            "--frontend-http2-window-size=1M", "--frontend-http2-connection-window-size=16M",
            "--backend-http2-window-size=1M", "--backend-http2-connection-window-size=16M",
            "--backend-connections-per-host=1024",
            *s.each("-b{host},{port};/;proto=h2").split(), f"{s.directory}/key.pem", f"{s.directory}/cert.pem"]


def nginx(s):
    http2 = "" if s.http1 else " http2"
    to = ("proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection '';" if s.http1
          else "grpc_pass grpc://back; grpc_buffer_size 32k; grpc_read_timeout 300s; grpc_send_timeout 300s;")
    temporary = " ".join(f"{kind}_temp_path {s.directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = s.write("nginx.conf", f"""\
daemon off;
user root;
pid {s.directory}/pid;
error_log stderr error;
worker_processes {s.workers};
events {{ worker_connections {2 * CONNECTIONS}; }}  # each request has one of its own to a backend
http {{
  {temporary}
  access_log off;
  client_max_body_size 0;
  client_body_buffer_size 64k;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  client_header_timeout 300s;
  client_body_timeout 300s;
  http2_max_concurrent_streams {s.streams};
  http2_body_preread_size 1m;
  http2_chunk_size 16k;
  upstream back {{
{s.each("    server {host}:{port};")}
    keepalive 1024;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
  }}
  server {{
    listen {HOST}:{s.plain}{http2} backlog=4096;
    listen {HOST}:{s.tls} ssl{http2} backlog=4096;
    ssl_certificate {s.directory}/cert.pem;
    ssl_certificate_key {s.directory}/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    location / {{ {to} }}
  }}
}}
""")
    return ["nginx", "-e", "stderr", "-c", config]


def envoy(s):
    window = "initial_stream_window_size: 1048576, initial_connection_window_size: 16777216"
    types = "type.googleapis.com/envoy.extensions"
    upstream = "http_protocol_options: {}" if s.http1 else f"http2_protocol_options: {{ {window} }}"
    tls = f"""
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": {types}.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [ {"http/1.1" if s.http1 else "h2"} ]
            tls_certificates:
            - certificate_chain: {{ filename: {s.directory}/cert.pem }}
              private_key: {{ filename: {s.directory}/key.pem }}"""

    def listener(name, port, socket=""):
        return f"""
  - name: {name}
    address: {{ socket_address: {{ address: {HOST}, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {types}.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: {name}
          generate_request_id: false
          server_header_transformation: PASS_THROUGH
          stream_idle_timeout: 0s
          http2_protocol_options: {{ max_concurrent_streams: {s.streams}, {window} }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": {types}.filters.http.router.v3.Router
              suppress_envoy_headers: true
          route_config:
            virtual_hosts:
            - name: all
              domains: [ "*" ]
              routes: [ {{ match: {{ prefix: / }}, route: {{ cluster: back, timeout: 0s }} }} ]{socket}"""

    config = s.write("envoy.yaml", f"""\
static_resources:
  listeners:{listener("plain", s.plain)}{listener("tls", s.tls, tls)}
  clusters:
  - name: back
    type: STATIC
    connect_timeout: 1s
    lb_policy: ROUND_ROBIN
    circuit_breakers:
      thresholds: [ {{ max_connections: {CONNECTIONS}, max_pending_requests: {CONNECTIONS}, max_requests: {CONNECTIONS} }} ]
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": {types}.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{ {upstream} }}
    load_assignment:
      cluster_name: back
      endpoints:
      - lb_endpoints:
{s.each("        - endpoint: {{ address: {{ socket_address: {{ address: {host}, port_value: {port} }} }} }}")}
""")
    return [str(ENVOY), "-c", config, "--concurrency", str(s.workers), "--disable-hot-restart", "-l", "error"]


def relay(s):
    """Bytes copied, in clear text only."""
    return [str(RELAY), str(s.plain), *map(str, s.backends)]


COMMANDS = {front.__name__: front for front in (equipoise, haproxy, nghttpx, nginx, envoy, relay)}
DEBIAN = {"haproxy": "haproxy", "nghttpx": "nghttp2-proxy", "nginx": "nginx"}
