"""An S3 endpoint on loopback for tests: moto's server, spoken to over HTTP by the same clients as any other."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# in a process of its own, for moto's buckets belong to the process; it ends when its input does
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), sep=":", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def s3_server(bucket: str = "palenka") -> Iterator[dict[str, str]]:
    """Yield the environment with which clients find the server; the bucket is made. Needs the extra `test`."""
    import boto3

    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", SERVER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a line for each request
                text=True,
            )
        )
        stack.callback(server.terminate)
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        if not address:
            raise RuntimeError("moto's server did not start; is the extra `test` installed?")
        environment = {
            "AWS_ENDPOINT_URL": f"http://{address}",
            "MLFLOW_S3_ENDPOINT_URL": f"http://{address}",
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
