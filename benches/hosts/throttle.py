"""throttle.py LISTEN TO RATE: passes connections on, each at RATE bytes a second at most in either direction."""

import socket
import sys
import threading
import time

SLACK_S = 0.01


def pump(source, sink, rate):
    since, passed = time.monotonic(), 0
    while data := source.recv(256 << 10):
        sink.sendall(data)
        now = time.monotonic()
        if passed / rate < now - since - SLACK_S:
            # It was idle: what it could have passed meanwhile is lost.
            since, passed = now - SLACK_S, 0
        passed += len(data)
        ahead = passed / rate - (time.monotonic() - since)
        if ahead > 0.001:
            time.sleep(ahead)
    sink.shutdown(socket.SHUT_WR)


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


listen, to, rate = address(sys.argv[1]), address(sys.argv[2]), float(sys.argv[3])
listener = socket.create_server(listen)
while True:
    here, _ = listener.accept()
    there = socket.create_connection(to)
    for way in (here, there):
        way.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for ends in ((here, there), (there, here)):
        threading.Thread(target=pump, args=(*ends, rate), daemon=True).start()
