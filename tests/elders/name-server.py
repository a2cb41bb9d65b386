"""A name server at 192.0.2.1 that knows db.example.test and, after six seconds, late.example.test."""
import socket
import struct
import threading
import time

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("192.0.2.1", 53))


def answer(query, client):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    name, end = ".".join(labels).lower(), at + 5
    (kind,) = struct.unpack(">H", query[at + 1 : at + 3])
    if labels[0] == "late":
        time.sleep(6)
    known = name in ("db.example.test", "late.example.test")
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\x63" if known and kind == 1 else b""
    flags = b"\x81\x80" if known else b"\x81\x83"
    counts = struct.pack(">HHHH", 1, 1 if record else 0, 0, 0)
    server.sendto(query[:2] + flags + counts + query[12:end] + record, client)


while True:
    threading.Thread(target=answer, args=server.recvfrom(512), daemon=True).start()
