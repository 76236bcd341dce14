"""A TCP proxy before a server: slow, or cut, as a bad network is."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Self

HOST, CHUNK = "127.0.0.1", 1 << 14


class TcpProxy:
    """Connections to `port` go to `target`. bytes_per_s: how fast, 0 for as fast as it can. After `cut_after` bytes to
    the server all connections end, and new ones are refused until `mend`."""

    def __init__(self, target: int, bytes_per_s: float = 0.0, cut_after: int | None = None) -> None:
        self.passed = self.cuts = 0
        self._target, self._speed, self._cut_after = target, bytes_per_s, cut_after
        self._broken = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self._end_all()

    def cut(self) -> None:
        """End every connection, and take none."""
        self.cuts += 1
        self._broken.set()
        self._end_all()

    def mend(self) -> None:
        self._broken.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._broken.is_set():
                    raise OSError
                server = socket.create_connection((HOST, self._target))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open |= {client, server}
            for source, target, counted in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(source, target, counted), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if self._speed:
                    time.sleep(len(data) / self._speed)
                if counted:
                    with self._lock:
                        self.passed += len(data)
                        due = self._cut_after is not None and self.passed >= self._cut_after
                        self._cut_after = None if due else self._cut_after  # once
                    if due:
                        self.cut()
                        break
                target.sendall(data)
        with self._lock:
            self._open -= {source, target}
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _end_all(self) -> None:
        with self._lock:
            left, self._open = self._open, set()
        for one in left:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
