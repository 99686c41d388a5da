"""Runs gRPC's interop suites directly and through a front, and prints case x {direct, clear text, TLS}.

    tests/interop/run                       through the gateway
    tests/interop/run --front haproxy       through a peer
    tests/interop/run --suite negative      one suite: interop, negative, js, http2

interop   the official client and server (Python, C-core), the cases that need no account
negative  the official misbehaving HTTP/2 servers; a case counts only if it passes directly
js        a client and a server on grpc-js
http2     the official http2_interop (Go, only where `go` is installed), against the front itself
"""

import collections
import os
import re
import shutil
import socket
import subprocess
import sys

import fronts

HOME = fronts.ROOT / ".venv/interop"
PYTHON = str(fronts.ROOT / ".venv/bin/python")
CASES = ("empty_unary large_unary server_streaming client_streaming ping_pong cancel_after_begin cancel_after_first_response "
         "empty_stream status_code_and_message unimplemented_method unimplemented_service custom_metadata "
         "timeout_on_sleeping_server special_status_message").split()
NEGATIVE = "data_frame_padding goaway max_streams no_df_padding_sanity_test ping rst_after_data rst_after_header rst_during_data".split()
CERTIFICATE = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"


class Servers:
    """Servers that end with us."""

    def __init__(self):
        self.running = []

    def start(self, command, port, **options):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        self.running.append(process)
        fronts.wait_for((fronts.HOST, port), timeout=20)

    def stop(self):
        for process in self.running:
            process.kill()
            process.wait()


def python_client(module, port, case, tls=None):
    command = [PYTHON, "-m", module, "--server_host=localhost", f"--server_port={port}", f"--test_case={case}"]
    env = dict(os.environ, PYTHONPATH=str(HOME / "pi"))
    if tls:
        command.append("--use_tls=true")
        env[CERTIFICATE] = str(tls)
    try:
        done = subprocess.run(command, cwd=HOME / "pi", env=env, capture_output=True, text=True, timeout=12)
    except subprocess.TimeoutExpired:
        return "no end within 12 s"
    return "" if done.returncode == 0 else reason(done.stderr)


def reason(text):
    """The last line of a Python traceback that says something."""
    details = re.findall(r'details = "(.*)"', text)
    lines = [line for line in text.strip().splitlines() if line.strip() and line.strip() not in (">", "}")]
    return (details or lines or ["failed"])[-1].strip()[:150]


def interop(options, servers, table):
    port = fronts.free_port()
    servers.start([PYTHON, "-m", "tests.interop.server", f"--port={port}"], port, cwd=HOME / "pi", env=dict(os.environ, PYTHONPATH=str(HOME / "pi")))
    front = options.start([port])
    for case in CASES:
        row = table[f"interop/{case}"]
        row["direct"] = python_client("tests.interop.client", port, case)
        row["clear"] = python_client("tests.interop.client", front.plain[1], case)
        row["tls"] = python_client("tests.interop.client", front.tls[1], case, front.directory / "ca.pem")
    front.stop()


def negative_client(port, case):
    if case in ("data_frame_padding", "no_df_padding_sanity_test"):
        return python_client("tests.interop.client", port, "large_unary")
    return python_client("tests.http2.negative_http2_client", port, case)


def free_ports(number):
    """The first of so many free ports in a row."""
    while True:
        base = 20000 + fronts.free_port() % 10000
        sockets = []
        try:
            for port in range(base, base + number):
                sockets.append(socket.create_server((fronts.HOST, port)))
            return base
        except OSError:
            pass
        finally:
            for opened in sockets:
                opened.close()


def negative(options, servers, table):
    def fresh():
        base = free_ports(len(NEGATIVE))
        servers.start([PYTHON, "http2_test/http2_test_server.py", f"--base_port={base}"], base, cwd=HOME / "pi",
                      env=dict(os.environ, PYTHONPATH=f"{HOME}/pi:{HOME}/pi/http2_test"))
        return base
    # The servers keep count of connections: each run has its own.
    direct, through = fresh(), fresh()
    for i, case in enumerate(NEGATIVE):
        row = table[f"negative/{case}"]
        row["direct"] = negative_client(direct + i, case)
        front = options.start([through + i])
        row["clear"] = negative_client(front.plain[1], case)
        if row["clear"] and not front.alive():
            row["clear"] = "the front died"
        front.stop()


def js(options, servers, table):
    port = fronts.free_port()
    suite = str(fronts.ROOT / "tests/interop/js/suite.js")
    env = dict(os.environ, INTEROP_JS=str(HOME / "js"))
    servers.start(["node", suite, "server", str(port)], port, env=env)
    front = options.start([port])

    def drive(column, *arguments):
        done = subprocess.run(["node", suite, "client", *arguments], env=env, capture_output=True, text=True, timeout=60)
        for outcome, case, why in re.findall(r"^(passed|failed) (\w+)(?:: (.*))?$", done.stdout, re.M):
            table[f"js/{case}"][column] = "" if outcome == "passed" else why or "failed"
    drive("direct", f"localhost:{port}")
    drive("clear", f"localhost:{front.plain[1]}")
    drive("tls", f"localhost:{front.tls[1]}", str(front.directory / "ca.pem"))
    front.stop()


def http2(options, servers, table):
    binary = HOME / "http2_interop"
    if not binary.exists():
        print("http2: skipped, `go` was not there when the sources were fetched", file=sys.stderr)
        return
    port = fronts.free_port()
    servers.start([PYTHON, "-m", "tests.interop.server", f"--port={port}"], port, cwd=HOME / "pi", env=dict(os.environ, PYTHONPATH=str(HOME / "pi")))
    front = options.start([port])
    for column, address, flags in (("direct", (fronts.HOST, port), ["-use_tls=false", "-test_case=framing"]),
                                   ("clear", front.plain, ["-use_tls=false", "-test_case=framing"]), ("tls", front.tls, ["-use_tls=true", "-test_case=tls"])):
        done = subprocess.run([str(binary), "-test.v", "-server_host=127.0.0.1", f"-server_port={address[1]}", *flags],
                              capture_output=True, text=True, timeout=60, env=dict(os.environ, SSL_CERT_FILE=str(front.directory / "ca.pem")))
        parts = re.split(r"^=== RUN\s+(\w+)\n", done.stdout, flags=re.M)[1:]
        for case, text in zip(parts[::2], parts[1::2]):
            if "--- PASS" in text:
                table[f"http2/{case}"][column] = ""
            elif "--- FAIL" in text:
                lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
                why = (lines or ["failed"])[0][:150]
                table[f"http2/{case}"][column] = why
                if column == "tls" and "no supported versions" in why:
                    table[f"http2/{case}"]["direct"] = why  # this Go speaks no TLS that old
    front.stop()


def report(table):
    passed = failed = 0
    print(f"{'case':44} {'direct':7} {'clear':7} {'tls':7}")
    for case, row in table.items():
        cells = []
        for column in ("direct", "clear", "tls"):
            cells.append("-" if column not in row else "FAIL" if row[column] else "ok")
            if column in row and column != "direct":
                if not row[column]:
                    passed += 1
                elif row.get("direct"):
                    cells[-1] = "(fail)"
                else:
                    failed += 1
        print(f"{case:44} {cells[0]:7} {cells[1]:7} {cells[2]:7}")
        for column, why in row.items():
            if why:
                print(f"    {column}: {why}")
    print("(fail): fails without a front too, and is not counted")
    print(f"{passed} passed, {failed} failed")
    return failed


def main():
    parser = fronts.arguments(__doc__)
    parser.add_argument("--suite", action="append", choices=["interop", "negative", "js", "http2"], help="a suite (default: all)")
    parser.add_argument("--profile", default="internal", choices=["edge", "internal"], help="profile of the gateway's listeners")
    options = parser.parse_args()
    subprocess.run([fronts.ROOT / "tests/interop/fetch"], check=True)
    options.start = lambda ports: fronts.start(options.front, ports, gateway=options.gateway, profile=options.profile)
    table = collections.defaultdict(dict)
    for name in options.suite or ["interop", "negative", "js", "http2"]:
        if name == "js" and not shutil.which("node"):
            print("js: skipped, there is no node", file=sys.stderr)
            continue
        servers = Servers()
        try:
            {"interop": interop, "negative": negative, "js": js, "http2": http2}[name](options, servers, table)
        finally:
            servers.stop()
    sys.exit(1 if report(table) else 0)


main()
