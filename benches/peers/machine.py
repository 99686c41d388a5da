"""When, on what and with which versions a run was made."""

import datetime
import os
import pathlib
import platform
import re
import subprocess

from setups import ENVOY

# Each program's way to say its version, and where in its words it is.
VERSIONS = {
    "HAProxy": (["haproxy", "-v"], r"version (\S+)"),
    "NGINX": (["nginx", "-v"], r"nginx/(\S+)"),
    "nghttpx": (["nghttpx", "--version"], r"nghttp2/(\S+)"),
    "Envoy": ([str(ENVOY), "--version"], r"/(\d+\.\d+\.\d+)/"),
    "h2load": (["h2load", "--version"], r"nghttp2/(\S+)"),
}


def version(command, pattern):
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else "?"


def processor():
    found = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.processor()


def describe(options):
    ours = {"Equipoise": ([options.gateway, "--version"], r"(\d+\.\d+\.\d+)")}
    versions = {name: version(*how) for name, how in (ours | VERSIONS).items()}
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    runs = f"{options.repeat} interleaved runs" + ("" if options.scale == 1 else f" with {options.scale:g} times the requests")
    quick = "**A quick run: it shows that all of it works. No figure of it means anything.**\n\n" if options.quick else ""
    return (f"{quick}Medians of {runs} of `benches/peers/run` on {datetime.date.today():%-d %B %Y}.\n"
            f"Machine: {os.cpu_count()} cores of {processor()}, {memory:.0f} GiB, Linux {platform.release()}.\n"
            f"Versions: {', '.join(f'{name} {number}' for name, number in versions.items())}.\n")
