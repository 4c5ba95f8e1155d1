"""An S3 endpoint on loopback for tests: moto's server, spoken to over HTTP by the same clients as any other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def s3_server(bucket: str = "palenka") -> Iterator[dict[str, str]]:
    """Yield the environment with which clients find the server; the bucket is made. Needs the extra `test`."""
    import boto3
    from moto.core.model_instances import reset_model_data
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
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
        server.stop()
        reset_model_data()  # buckets live as long as the process, and the next server would have them


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
