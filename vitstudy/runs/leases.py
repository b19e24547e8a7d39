"""Leases: which worker owns a run. Works over shared file systems and needs no server.

A claim is made with link() (atomic); its mtime is the heartbeat; an expired claim is stolen by rename() (one thief wins).
Ages are taken between mtimes of the same file system, so clocks of machines do not matter.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from pathlib import Path
from types import TracebackType

LEASE_TTL_S = float(os.environ.get("VITSTUDY_LEASE_TTL", "30"))
"""Seconds without a heartbeat after which a run may be taken over."""


class Lease:
    """A claim that is held, kept alive by a thread. `lost` is set when somebody else took it."""

    def __init__(self, path: Path, token: str, ttl_s: float) -> None:
        self.path, self.token, self.ttl_s = path, token, ttl_s
        self.lost = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self.mine():
            self.path.unlink(missing_ok=True)

    def mine(self) -> bool:
        """Whether the claim on disk is still ours."""
        try:
            return self.path.read_text() == self.token
        except OSError:
            return False

    def _beat(self) -> None:
        while not self._stop.wait(self.ttl_s / 4):
            if not self.mine():
                self.lost.set()
                return
            try:
                os.utime(self.path)
            except OSError:
                self.lost.set()
                return


class Leases:
    """The claims of a store."""

    def __init__(self, root: Path, ttl_s: float) -> None:
        self.root, self.ttl_s = root, ttl_s

    def claim(self, key: str) -> Lease | None:
        """The lease on `key`, or None when a live one exists. Enter it (`with`) to start its heartbeat."""
        self.root.mkdir(parents=True, exist_ok=True)
        path, token = self.root / key, f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex}"
        temporary = self.root / f".{uuid.uuid4().hex}"
        temporary.write_text(token)
        try:
            if self._link(temporary, path):
                return Lease(path, token, self.ttl_s)
            age = self._age(path, temporary)
            if age is None or age < self.ttl_s:
                return None
            grave = self.root / f".stale-{uuid.uuid4().hex}"
            try:
                path.rename(grave)
            except FileNotFoundError:
                return None
            age = self._age(grave, temporary)
            if age is not None and age < self.ttl_s:  # another thief was faster: this is its fresh claim, give it back
                self._link(grave, path)
                grave.unlink()
                return None
            grave.unlink()
            return Lease(path, token, self.ttl_s) if self._link(temporary, path) else None
        finally:
            temporary.unlink()

    def held(self, key: str) -> bool:
        """Whether a live lease exists."""
        self.root.mkdir(parents=True, exist_ok=True)
        path, now = self.root / key, self.root / f".now-{uuid.uuid4().hex}"
        if not path.exists():
            return False
        now.touch()
        try:
            age = self._age(path, now)
        finally:
            now.unlink()
        return age is not None and age < self.ttl_s

    def release_dead(self, pids: set[int]) -> list[str]:
        """Break the leases of processes of this host that are known to have died; their keys."""
        host, freed = socket.gethostname(), []
        for path in self.root.glob("[!.]*"):
            try:
                owner, pid, _ = path.read_text().split()
            except (FileNotFoundError, ValueError):
                continue
            if owner == host and int(pid) in pids:
                path.unlink(missing_ok=True)
                freed.append(path.name)
        return freed

    @staticmethod
    def _link(source: Path, target: Path) -> bool:
        try:
            os.link(source, target)
        except FileExistsError:
            return False
        return True

    @staticmethod
    def _age(path: Path, now: Path) -> float | None:
        try:
            return now.stat().st_mtime - path.stat().st_mtime
        except FileNotFoundError:
            return None
