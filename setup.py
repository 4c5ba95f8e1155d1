"""What pyproject.toml cannot say: `search_spaces/` lies at the top of the repository and travels inside the package.

Everything else about the distribution is in pyproject.toml.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["palenka_tune*"]), "palenka_tune.search_spaces"],
    package_dir={"palenka_tune.search_spaces": "search_spaces"},
    package_data={
        "palenka_tune": ["py.typed"],
        "palenka_tune.report": ["page.html", "page.css", "page.js"],
        "palenka_tune.search_spaces": ["*.yaml", "schema.json"],
    },
)
