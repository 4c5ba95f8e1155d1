"""How the tests share the machine: two at a time, of which one at most has a Ray cluster, a database or a browser."""

import pytest

ALONE = ("ray", "cluster", "faults", "browser")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two for the whole suite; tests that were named run here, one after the other, where a debugger reaches them."""
    return 0 if config.args_source is pytest.Config.ArgsSource.ARGS else 2


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests go to one worker, which makes its fixtures once; all that want much of the machine to the same."""
    for item in items:
        heavy = any(item.get_closest_marker(name) for name in ALONE)
        item.add_marker(pytest.mark.xdist_group("alone" if heavy else item.nodeid.partition("::")[0]))
