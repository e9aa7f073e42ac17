"""An S3 server for tests: moto in a separate process."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.service import free_port

ACCESS_KEY = "AKIAEXAMPLEOFTHETESTS"
SECRET_KEY = "s3-secret-that-no-job-may-see"
START_SECONDS = 60.0


class S3Server:
    """The server's address and direct access to its buckets."""

    def __init__(self, endpoint: str) -> None:
        import boto3  # every worker imports this module, and few need the server

        self.client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )
        self.variables = {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "MLFLOW_S3_ENDPOINT_URL": endpoint,
        }
        """Environment variables with which MLflow stores artifacts there."""

    def make_bucket(self, name: str) -> None:
        self.client.create_bucket(Bucket=name)

    def remove_bucket(self, name: str) -> None:
        for key in self.files(name):
            self.client.delete_object(Bucket=name, Key=key)
        self.client.delete_bucket(Bucket=name)

    def files(self, bucket: str, prefix: str = "") -> dict[str, int]:
        """The keys below a prefix, with their sizes."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", [])}

    def read(self, bucket: str, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content


@contextmanager
def running_s3(directory: Path) -> Iterator[S3Server]:
    """Start the server, wait until it responds, and stop it at the end."""
    port = free_port()
    log = directory / "s3.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            env={k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = S3Server(f"http://127.0.0.1:{port}")
    try:
        _wait_for_answer(server, process, log)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait_for_answer(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    from botocore.exceptions import ClientError, EndpointConnectionError

    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            server.client.list_buckets()
        except (EndpointConnectionError, ClientError):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"the S3 server did not come up:\n{log.read_text()[-2000:]}")
