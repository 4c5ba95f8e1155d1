"""An S3 endpoint on loopback for tests: moto's server, spoken to over HTTP by the same clients as any other."""

from __future__ import annotations

import contextlib
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def s3_server(bucket: str = "palenka") -> Iterator[dict[str, str]]:
    """Yield the environment with which clients find the server; the bucket is made. Needs the extra `test`."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        environment = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "MLFLOW_S3_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        client = boto3.client(
            "s3",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=bucket)
        yield environment
    finally:
        # buckets live as long as the process, and the next server would have them
        urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", data=b"").close()
        server.stop()


@contextlib.contextmanager
def another_node(scratch: Path) -> Iterator[None]:
    """Be a node with a scratch folder of its own for a while."""
    before = os.environ.get("PALENKA_SCRATCH")
    os.environ["PALENKA_SCRATCH"] = str(scratch)
    try:
        yield
    finally:
        if before is None:
            del os.environ["PALENKA_SCRATCH"]
        else:
            os.environ["PALENKA_SCRATCH"] = before
