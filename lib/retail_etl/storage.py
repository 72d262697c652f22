"""Objects by name, in a folder or in an S3 bucket: what manifests, raw objects and gates need.

Objects are created once and never rewritten; the lease alone is replaced, by compare-and-swap. Both are atomic: an
object is there whole, or not at all.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from hashlib import sha256
from io import SEEK_CUR, SEEK_END, SEEK_SET, BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlparse

from retail_etl.errors import ConfigurationError, StorageError

_KEYS_AT_ONCE = 1000  # as many as S3 takes
_S3_PART = 1 << 20


@dataclass(frozen=True)
class Stored:
    """A file as it lies there, hidden ones among them. `changed_at` is in UTC."""

    bytes: int
    changed_at: datetime


class Storage(Protocol):
    """A place for objects. Names are relative, with `/` between their parts.

    StorageError, with the object's name and what to do, where the place cannot be read or written.
    """

    def create(self, name: str, data: bytes) -> bool:
        """Write a new object; False, and nothing written, where one of that name exists."""
        ...

    def read(self, name: str) -> bytes | None:
        """The object's bytes; None where there is none."""
        ...

    def open(self, name: str) -> BinaryIO | None:
        """The object to be read in parts, wherever they lie in it; None where there is none."""
        ...

    def read_version(self, name: str) -> tuple[bytes, str] | None:
        """The object's bytes, and what tells this version from others; None where there is none."""
        ...

    def replace(self, name: str, data: bytes, version: str) -> bool:
        """Put new bytes in the place of that version; False, and nothing written, where it is another one by now."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is an object of that name."""
        ...

    def sizes(self, prefix: str) -> dict[str, int]:
        """Name → bytes of every object below the prefix (`a/b/`)."""
        ...

    def files(self, prefix: str) -> dict[str, Stored]:
        """Name → file, of all that lies below the prefix (`a/b/`): objects, and what writers that died left there."""
        ...

    def remove(self, names: Sequence[str]) -> None:
        """Delete files; those that are gone already count as deleted."""
        ...

    def uri(self, name: str) -> str:
        """The name as Spark reads it."""
        ...


class Folder:
    """Storage in a folder of a file system."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def create(self, name: str, data: bytes) -> bool:
        """See `Storage`. A hard link to a finished temporary file is both atomic and exclusive."""
        target = self._root / name
        with self._explained("written", name):
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", suffix=".tmp") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                try:
                    os.link(file.name, target)
                except FileExistsError:
                    return False
        return True

    def read(self, name: str) -> bytes | None:
        """See `Storage`."""
        path = self._root / name
        with self._explained("read", name):
            return path.read_bytes() if path.is_file() else None

    def open(self, name: str) -> BinaryIO | None:
        """See `Storage`."""
        path = self._root / name
        with self._explained("read", name):
            return path.open("rb") if path.is_file() else None

    def read_version(self, name: str) -> tuple[bytes, str] | None:
        """See `Storage`."""
        data = self.read(name)
        return None if data is None else (data, sha256(data).hexdigest())

    def replace(self, name: str, data: bytes, version: str) -> bool:
        """See `Storage`. The lock is the operating system's: it goes with the process that holds it."""
        target = self._root / name
        with self._explained("written", name), (target.parent / f".{target.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = self.read_version(name)
            if found is None or found[1] != version:
                return False
            new = target.parent / f".{target.name}.new"
            with new.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            new.replace(target)
        return True

    def exists(self, name: str) -> bool:
        """See `Storage`."""
        with self._explained("read", name):
            return (self._root / name).is_file()

    def sizes(self, prefix: str) -> dict[str, int]:
        """See `Storage`. Hidden files (checksums, temporary ones) are no objects."""
        with self._explained("read", prefix):
            files = (path for path in (self._root / prefix).rglob("*") if path.is_file() and path.name[0] not in "._")
            return {path.relative_to(self._root).as_posix(): path.stat().st_size for path in sorted(files)}

    def files(self, prefix: str) -> dict[str, Stored]:
        """See `Storage`."""
        with self._explained("read", prefix):
            found = [(path, path.stat()) for path in sorted((self._root / prefix).rglob("*")) if path.is_file()]
            return {
                path.relative_to(self._root).as_posix(): Stored(
                    at.st_size, datetime.fromtimestamp(at.st_mtime, timezone.utc)
                )
                for path, at in found
            }

    def remove(self, names: Sequence[str]) -> None:
        """See `Storage`. Folders that are empty then go too."""
        for name in names:
            with self._explained("deleted", name):
                (self._root / name).unlink(missing_ok=True)
        below = {parent for name in names for parent in (self._root / name).parents if self._root in parent.parents}
        for folder in sorted(below, reverse=True):  # the inner ones first
            with self._explained("deleted", folder.name):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()

    def uri(self, name: str) -> str:
        """See `Storage`."""
        # Not as_uri(): Hadoop takes a path as it is and would look for the escapes.
        return f"file://{self._root / name}"

    @contextmanager
    def _explained(self, done: str, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"{self._root / name} cannot be {done} ({error.strerror or error}). "
                "Check the disk's free space and the rights on the lake's folder, then run again."
            ) from error


class Bucket:
    """Storage below a prefix of an S3 bucket. Creation is a conditional PUT (`If-None-Match: *`)."""

    def __init__(self, bucket: str, prefix: str) -> None:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        self._s3: Any = boto3.client("s3")
        self._failures = (BotoCoreError, ClientError)
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def create(self, name: str, data: bytes) -> bool:
        """See `Storage`."""
        return self._put(name, data, IfNoneMatch="*")

    def _put(self, name: str, data: bytes, **condition: str) -> bool:
        with self._explained("written", name):
            try:
                self._s3.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data, **condition)
            except self._s3.exceptions.ClientError as error:
                # NoSuchKey: what was to be replaced is gone.
                if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"):
                    return False
                raise
        return True

    def read(self, name: str) -> bytes | None:
        """See `Storage`."""
        found = self.read_version(name)
        return None if found is None else found[0]

    def open(self, name: str) -> BinaryIO | None:
        """See `Storage`. One request for each part that is read."""
        size = self.sizes(name).get(name)
        return None if size is None else BufferedReader(_Ranges(partial(self._part, name), size), _S3_PART)

    def _part(self, name: str, first: int, last: int) -> bytes:
        with self._explained("read", name):
            found = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + name, Range=f"bytes={first}-{last}")
            data: bytes = found["Body"].read()
            return data

    def read_version(self, name: str) -> tuple[bytes, str] | None:
        """See `Storage`."""
        with self._explained("read", name):
            try:
                found = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + name)
            except self._s3.exceptions.NoSuchKey:
                return None
            return found["Body"].read(), found["ETag"]

    def replace(self, name: str, data: bytes, version: str) -> bool:
        """See `Storage`. A conditional PUT (`If-Match`)."""
        return self._put(name, data, IfMatch=version)

    def exists(self, name: str) -> bool:
        """See `Storage`."""
        with self._explained("read", name):
            try:
                self._s3.head_object(Bucket=self._bucket, Key=self._prefix + name)
            except self._s3.exceptions.ClientError as error:
                if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                    return False
                raise
        return True

    def sizes(self, prefix: str) -> dict[str, int]:
        """See `Storage`."""
        return {name: found.bytes for name, found in self.files(prefix).items()}

    def files(self, prefix: str) -> dict[str, Stored]:
        """See `Storage`."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)
        with self._explained("read", prefix):
            return {
                found["Key"].removeprefix(self._prefix): Stored(
                    found["Size"], found["LastModified"].astimezone(timezone.utc)
                )
                for page in pages
                for found in page.get("Contents", [])
            }

    def remove(self, names: Sequence[str]) -> None:
        """See `Storage`. Up to a thousand in one request."""
        for first in range(0, len(names), _KEYS_AT_ONCE):
            keys = [{"Key": self._prefix + name} for name in names[first : first + _KEYS_AT_ONCE]]
            with self._explained("deleted", names[first]):
                done = self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": keys, "Quiet": True})
            if errors := done.get("Errors"):
                worst = errors[0]
                raise StorageError(
                    f"s3://{self._bucket}/{worst['Key']} cannot be deleted ({worst['Message']}), and "
                    f"{len(errors) - 1} more. Check what the role may do in the bucket, then run again."
                )

    def uri(self, name: str) -> str:
        """See `Storage`."""
        return f"s3://{self._bucket}/{self._prefix}{name}"

    @contextmanager
    def _explained(self, done: str, name: str) -> Iterator[None]:
        try:
            yield
        except self._failures as error:
            raise StorageError(
                f"{self.uri(name)} cannot be {done} ({error}). "
                "Check that the bucket is there and what the role may do in it, then run again."
            ) from error


class _Ranges(RawIOBase):
    """A file whose bytes `part(first, last)` gives."""

    def __init__(self, part: Callable[[int, int], bytes], size: int) -> None:
        self._part, self._size, self._place = part, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        self._place = offset + {SEEK_SET: 0, SEEK_CUR: self._place, SEEK_END: self._size}[whence]
        return self._place

    def readinto(self, buffer: Any) -> int:
        last = min(self._place + len(buffer), self._size) - 1
        data = self._part(self._place, last) if last >= self._place else b""
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


def open_storage(location: str) -> Storage:
    """The storage at `s3://bucket/prefix`, `file:///folder` or a plain folder name, which is made where missing."""
    parts = urlparse(location)
    if parts.scheme == "s3":
        return Bucket(parts.netloc, parts.path)
    if parts.scheme not in ("", "file"):
        raise ConfigurationError(f"'{location}' is no place for a lake: give a folder, or s3://bucket/prefix.")
    root = Path(parts.path if parts.scheme else location)
    if root.exists() and not root.is_dir():
        raise ConfigurationError(f"'{location}' is a file: a lake needs a folder of its own.")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"The folder '{location}' cannot be made: {error.strerror}.") from error
    return Folder(root)
