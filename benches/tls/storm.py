#!/usr/bin/env python3
"""What calls on open connections feel of a storm of new TLS clients.

    benches/tls/storm.py --gateway target/release/equipoise --tools benches/peers/tools/target/release

The gateway has one core and one worker, clients and backend the other core. Calls come at 300 a second on two
connections, by h2load; new clients make a whole handshake and go, at a fixed rate. Prints the quantiles of the
calls' time without and with the storm. It needs root: gateway, backend and calls run before all else that the
machine does (SCHED_FIFO), so that other work does not count.
"""

import argparse
import pathlib
import socket
import subprocess
import tempfile
import time

GATEWAY, OTHERS = "0", "1"
FIRST = ["chrt", "--fifo", "50", "taskset", "--cpu-list"]
KEYS = {"ecdsa": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}


def free():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def calls(port, seconds, folder):
    """Milliseconds of each call, sorted."""
    log, body = folder / "calls.log", folder / "body"
    log.unlink(missing_ok=True)
    body.write_bytes(b"\0\0\0\0\x05hello")
    command = [*FIRST, OTHERS, "h2load", "-c", "2", "-m", "8", "--rps", "150", "-D", str(seconds)]
    command += ["--log-file", log, "-d", body, "-H", "content-type: application/grpc", "-H", "te: trailers"]
    subprocess.run([*command, f"https://127.0.0.1:{port}/a.B/C"], check=True, stdout=subprocess.DEVNULL)
    rows = [line.split() for line in log.read_text().splitlines()]
    assert all(row[1] == "200" for row in rows), "calls have failed"
    return sorted(int(row[2]) / 1000 for row in rows)


def told(name, times, note=""):
    def at(part):
        return times[min(len(times) - 1, int(len(times) * part))]

    print(f"{name:<12} calls {len(times):>5}  p50 {at(.5):6.2f} ms  p99 {at(.99):6.2f} ms  max {times[-1]:6.2f} ms  {note}")
    return at(.99)


def measure(args, kind, folder):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", *KEYS[kind], "-nodes", "-days", "2", "-subj", "/CN=gateway.test",
         "-addext", "subjectAltName=DNS:gateway.test", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True)
    port, backend = free(), free()
    (folder / "gateway.yaml").write_text(
        f"workers: 1\nlisteners: [ {{ address: 127.0.0.1:{port}, tls: {{ cert: cert.pem, key: key.pem }} }} ]\n"
        f"control: {{ address: 127.0.0.1:{free()}, socket: off }}\nmetrics: 127.0.0.1:{free()}\n"
        f"services: {{ echo: {{ endpoints: [ 127.0.0.1:{backend} ] }} }}\nroutes: [ echo ]\n")
    serve = [args.gateway, "serve", "--config", folder / "gateway.yaml"]
    running = [
        subprocess.Popen([*FIRST, OTHERS, args.tools / "peers-echo", str(backend)]),
        subprocess.Popen([*FIRST, GATEWAY, *serve], stderr=subprocess.DEVNULL),
    ]
    try:
        time.sleep(1.5)
        calls(port, 1, folder)  # warm
        for _ in range(args.rounds):
            calm = told(f"{kind} calm", calls(port, args.seconds, folder))
            storm = ["taskset", "--cpu-list", OTHERS, args.tools / "peers-storm"]
            storm += [str(port), str(args.rate), str(args.seconds + 1)]
            storm = subprocess.Popen(storm, stdout=subprocess.PIPE, text=True)
            time.sleep(0.5)
            times = calls(port, args.seconds, folder)
            stormy = told(f"{kind} storm", times, storm.communicate()[0].strip())
            print(f"{kind}: p99 is {stormy / calm:.1f} times that of calm", flush=True)
    finally:
        for one in running:
            one.terminate()
            one.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--gateway", type=pathlib.Path, required=True)
    parser.add_argument("--tools", type=pathlib.Path, required=True)
    parser.add_argument("--rate", type=int, default=2000, help="new clients a second")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--kinds", default="ecdsa")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for kind in args.kinds.split(","):
            measure(args, kind, pathlib.Path(folder))


if __name__ == "__main__":
    main()
