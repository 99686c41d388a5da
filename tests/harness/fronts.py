"""Starts a front before backends: the gateway under test, or another one to compare with.

    front = start("haproxy", backends=[50051]); front.plain, front.tls are (host, port); front.stop()
"""

import argparse
import atexit
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import setups
from setups import HOST, ROOT

# A run that is ended takes what it started along.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def free_ports(count):
    with contextlib.ExitStack() as stack:
        return [stack.enter_context(socket.create_server((HOST, 0))).getsockname()[1] for _ in range(count)]


def free_port():
    return free_ports(1)[0]


def certificate(directory):
    """A key and a certificate for localhost as two PEM files, and the authority's in a third, ca.pem."""
    import datetime
    import ipaddress
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.timezone.utc)

    def signed(subject, key, issuer, by, extension, critical):
        subject, issuer = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in (subject, issuer))
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=30))
                .add_extension(extension, critical)
                .sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    names = [x509.DNSName("localhost"), x509.DNSName("foo.test.google.fr"), x509.IPAddress(ipaddress.ip_address(HOST))]
    (directory / "ca.pem").write_bytes(
        signed("authority", authority, "authority", authority, x509.BasicConstraints(ca=True, path_length=0), True))
    pem, secret = directory / "cert.pem", directory / "key.pem"
    pem.write_bytes(signed("localhost", key, "authority", authority, x509.SubjectAlternativeName(names), False))
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (directory / "both.pem").write_bytes(pem.read_bytes() + secret.read_bytes())
    return pem, secret


class Front:
    """A running front; `plain` and `tls` are its addresses."""

    def __init__(self, kind, process, setup):
        self.kind, self.process, self.setup, self.directory = kind, process, setup, setup.directory
        self.plain, self.tls = (HOST, setup.plain), (HOST, setup.tls)
        self.group, self.listed = [], float("-inf")
        atexit.register(self.stop)

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def pids(self):
        """The processes of the front: those of its process group."""
        if time.monotonic() - self.listed < 0.5:
            return self.group
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[2]) == self.process.pid:
                found.append(int(pid))
        self.group, self.listed = found, time.monotonic()
        return found

    def rss(self):
        """Resident memory of the process tree, in bytes."""
        total = 0
        for pid in self.pids():
            try:
                total += int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
            except OSError:
                pass
        return total * os.sysconf("SC_PAGE_SIZE")

    def cpu(self):
        """CPU seconds, user and system, of the process tree."""
        return self.times()[0]

    def times(self):
        """CPU of the process tree: seconds to the nanosecond, and ticks of user and of system."""
        seconds, user, system = 0.0, 0, 0
        for pid in self.pids():
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
                    seconds += int((thread / "schedstat").read_text().split()[0]) / 1e9
            except OSError:
                continue
            user, system = user + int(fields[11]), system + int(fields[12])
        return seconds, user, system

    def alive(self):
        return self.process.poll() is None

    def log(self):
        return (self.directory / "log").read_text(errors="replace")[-4000:]


def start(kind, backends, gateway="target/release/equipoise", profile="edge", protocol="grpc", workers=1, streams=100,
          cores=None, command=None):
    """`kind` is a name in setups.COMMANDS; `backends` are ports on loopback; `cores` as taskset takes them; `command`
    takes the place of what setups.COMMANDS has."""
    d = pathlib.Path(tempfile.mkdtemp(prefix="front-"))
    d.chmod(0o755)
    certificate(d)
    plain, tls, *other = free_ports(4)
    if kind in setups.DEBIAN:
        subprocess.run([ROOT / "tests/harness/debian", setups.DEBIAN[kind]], check=True)
    setup = setups.Setup(d, plain, tls, other, backends, str(gateway), profile, protocol, workers, streams)
    command = (command or setups.COMMANDS[kind])(setup)
    if cores is not None:
        command = ["taskset", "-c", cores, *command]
    with open(d / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    front = Front(kind, process, setup)
    wait_for(front.plain, process, front)
    if kind != "relay":
        wait_for(front.tls, process, front)
    time.sleep(0.2)  # until its workers have started
    return front


def wait_for(address, process=None, front=None, timeout=10):
    deadline = time.monotonic() + timeout
    while True:
        if process is not None and process.poll() is not None:
            raise SystemExit(f"{front.kind} ended with {process.returncode}:\n{front.log()}")
        try:
            socket.create_connection(address, timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit(f"nothing listens on {address[0]}:{address[1]}" + (f"\n{front.log()}" if front else ""))
            time.sleep(0.05)


def arguments(description):
    """The options all drivers share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--front", default="equipoise", choices=["equipoise", "haproxy", "nghttpx", "nginx"], help="what to start and test")
    parser.add_argument("--gateway", default=os.environ.get("EQUIPOISE", str(ROOT / "target/release/equipoise")),
                        help="the gateway's binary (or EQUIPOISE)")
    return parser
