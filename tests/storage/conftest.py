from __future__ import annotations

import pytest

from palenka_tune.storage import remote
from tests.support.s3 import s3_server


@pytest.fixture(scope="session")
def s3():
    """The environment of an S3 server that all tests share; each has a folder of its own in the bucket."""
    with s3_server() as environment:
        yield environment


@pytest.fixture(params=["s3", "file"])
def url(request, tmp_path, monkeypatch):
    """A storage of either kind, and a node's scratch folder."""
    monkeypatch.setenv("PALENKA_SCRATCH", str(tmp_path / "node1"))
    if request.param == "file":
        return f"file://{tmp_path}/shared"
    for name, value in request.getfixturevalue("s3").items():
        monkeypatch.setenv(name, value)
    remote._open.cache_clear()
    return f"s3://palenka/{tmp_path.name}"
