"""Where a static site goes: a folder, or a prefix of an S3 bucket. What an older site left in it goes."""

import mimetypes
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from retail_etl.errors import ConfigurationError, StorageError

INDEX = "index.html"
_UPLOADS = 8


def write_site(location: str, pages: Mapping[str, str], below: str) -> str:
    """Write the pages (name → HTML) and give the index's address; pages `below` (`a/`) that are not among them go.

    The index is written last and what is old deleted after it: whoever reads meanwhile finds every link's page.
    StorageError where the place cannot be written.
    """
    parts = urlsplit(location)
    if parts.scheme == "s3":
        return _write_bucket(parts.netloc, parts.path.strip("/"), pages, below)
    if parts.scheme not in ("", "file"):
        raise ConfigurationError(f"'{location}' is no place for a site: give a folder, or s3://bucket/prefix.")
    folder = Path(url2pathname(parts.path) if parts.scheme else location).absolute()
    try:
        return _write_folder(folder, pages, below)
    except OSError as error:
        raise StorageError(
            f"The site cannot be written in {folder} ({error.strerror or error}): check the disk's free space and the "
            "rights on that folder, or name another one with --output."
        ) from error


def _index_last(pages: Mapping[str, str]) -> list[str]:
    return sorted(pages, key=lambda name: name == INDEX)


def _write_folder(folder: Path, pages: Mapping[str, str], below: str) -> str:
    for name in _index_last(pages):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place: a browser that reloads sees the old page or the new one.
        new = path.with_name(f".{path.name}.new")
        new.write_text(pages[name], encoding="utf-8")
        new.replace(path)
    for path in (folder / below).rglob("*.html"):
        if path.relative_to(folder).as_posix() not in pages:
            path.unlink()
    return (folder / INDEX).as_uri()


def _write_bucket(bucket: str, prefix: str, pages: Mapping[str, str], below: str) -> str:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    root = f"{prefix}/" if prefix else ""

    def put(name: str) -> None:
        kind = f"{mimetypes.guess_type(name)[0]}; charset=utf-8"
        s3.put_object(Bucket=bucket, Key=root + name, Body=pages[name].encode(), ContentType=kind)

    try:
        s3: Any = boto3.client("s3")
        with ThreadPoolExecutor(_UPLOADS) as pool:
            list(pool.map(put, [name for name in pages if name != INDEX]))
        put(INDEX)
        for found in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=root + below):
            for key in (entry["Key"] for entry in found.get("Contents", [])):
                if key.endswith(".html") and key.removeprefix(root) not in pages:
                    s3.delete_object(Bucket=bucket, Key=key)
    except (BotoCoreError, ClientError) as error:
        raise StorageError(
            f"The site cannot be written in s3://{bucket}/{root} ({error}): check that the bucket is there and what "
            "the role may do in it, or name another place with --output."
        ) from error
    return f"s3://{bucket}/{root}{INDEX}"
