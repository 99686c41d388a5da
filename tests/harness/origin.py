"""A plain HTTP/2 backend in clear text that records what reaches it.

`Origin()` answers every request 200; for gRPC content types an echo of the request's bytes and
`grpc-status: 0` in trailers, for everything else `body`. A request with `x-tokens: n` gets n messages
of 3 bytes, each in a frame of its own. `Apart` is the same in a process of its own.
"""

import asyncio
import collections
import json
import subprocess
import sys
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings


class Origin:
    """Runs on a thread of its own until the process ends."""

    def __init__(self, body=b"hello from the origin\n", delay=0.0, max_streams=10000, port=0):
        self.body, self.delay, self.max_streams = body, delay, max_streams
        self.counts = collections.Counter()
        self.requests = []
        self.keep_requests = False
        self.reset_times = []
        self.connections = 0
        self.open_streams = 0
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        threading.Thread(target=self._run, args=(port, ready), daemon=True).start()
        ready.wait()

    def _run(self, port, ready):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(self.loop.create_server(lambda: _Connection(self), "127.0.0.1", port, backlog=1024))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()

    def reset_rate(self):
        """The largest number of resets in any one second."""
        times, best, start = sorted(self.reset_times), 0, 0
        for end, at in enumerate(times):
            while at - times[start] > 1.0:
                start += 1
            best = max(best, end - start + 1)
        return best


class _Connection(asyncio.Protocol):
    def __init__(self, origin):
        self.origin = origin
        self.requests = {}
        self.waiting = {}

    def connection_made(self, transport):
        self.transport = transport
        self.origin.connections += 1
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding=None, validate_inbound_headers=False, validate_outbound_headers=False,
            normalize_inbound_headers=False))
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values={
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.origin.max_streams,
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(1 << 26)
        self.flush()

    def flush(self):
        out = self.h2.data_to_send()
        if out:
            self.transport.write(out)

    def data_received(self, data):
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self.origin.counts["protocol error"] += 1
            self.flush()
            self.transport.close()
            return
        for event in events:
            self.handle(event)
        self.flush()

    def handle(self, event):
        o = self.origin
        o.counts[type(event).__name__] += 1
        if isinstance(event, h2.events.RequestReceived):
            headers = [(bytes(k), bytes(v)) for k, v in event.headers]
            self.requests[event.stream_id] = (headers, bytearray())
            o.open_streams += 1
            if o.keep_requests:
                o.requests.append(headers)
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if event.stream_id in self.requests:
                self.requests[event.stream_id][1].extend(event.data)
        elif isinstance(event, h2.events.StreamEnded):
            if o.delay:
                o.loop.call_later(o.delay, self.answer, event.stream_id)
            else:
                self.answer(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            o.reset_times.append(time.monotonic())
            self.forget(event.stream_id)
        elif isinstance(event, h2.events.WindowUpdated):
            for stream in list(self.waiting):
                self.push(stream)

    def forget(self, stream):
        self.waiting.pop(stream, None)
        if self.requests.pop(stream, None) is not None:
            self.origin.open_streams -= 1

    def answer(self, stream):
        if stream not in self.requests or self.transport.is_closing():
            return
        headers, body = self.requests[stream]
        kind = dict(headers).get(b"content-type", b"")
        tokens = int(dict(headers).get(b"x-tokens", b"0"))
        if tokens:
            body = b"\0\0\0\0\x03tok" * tokens
        grpc = kind.startswith(b"application/grpc")
        answer = bytes(body) if grpc else self.origin.body
        if dict(headers).get(b":method") == b"HEAD":
            answer = b""
        try:
            self.h2.send_headers(stream, [(b":status", b"200"), (b"content-type", kind or b"text/plain")],
                                 end_stream=not answer and not grpc)
            if not answer and not grpc:
                self.forget(stream)
            else:
                self.waiting[stream] = [answer, [(b"grpc-status", b"0")] if grpc else None, 8 if tokens else 16384]
                self.push(stream)
        except h2.exceptions.ProtocolError:
            self.forget(stream)
        self.flush()

    def push(self, stream):
        left, trailers, most = self.waiting[stream]
        left = memoryview(left)
        try:
            while left:
                size = min(len(left), self.h2.local_flow_control_window(stream), most)
                if size <= 0:
                    self.waiting[stream][0] = left
                    return
                last = size == len(left) and trailers is None
                self.h2.send_data(stream, bytes(left[:size]), end_stream=last)
                left = left[size:]
            if trailers is not None:
                self.h2.send_headers(stream, trailers, end_stream=True)
        except h2.exceptions.ProtocolError:
            pass
        self.forget(stream)

    def connection_lost(self, error):
        for stream in list(self.requests):
            self.forget(stream)
        self.origin.connections -= 1


class Apart:
    """An `Origin` in a process of its own, so that it does not share a Python lock with the attacker."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def reset(self):
        return self.ask("reset")

    def stats(self):
        """counts, resets, reset_rate, open_streams, connections, paths."""
        return self.ask("stats")

    def stop(self):
        self.process.kill()
        self.process.wait()


def main():
    origin = Origin()
    origin.keep_requests = True
    print(origin.port, flush=True)
    for line in sys.stdin:
        if line.strip() == "reset":
            origin.counts.clear()
            origin.reset_times.clear()
            origin.requests.clear()
        paths = [dict(r).get(b":path", b"").decode("latin-1") for r in origin.requests[-1000:]]
        print(json.dumps({"counts": origin.counts, "resets": len(origin.reset_times), "reset_rate": origin.reset_rate(),
                          "open_streams": origin.open_streams, "connections": origin.connections, "paths": paths}), flush=True)


if __name__ == "__main__":
    main()
