"""Which folder is which package. Everything else stands in pyproject.toml.

The folders export, zoo, benchmarks and cli are the packages unifmir.export, unifmir.zoo,
unifmir.benchmarks and unifmir.cli; the studies inside benchmarks are not packaged.
A checkout also has them as links inside unifmir/, for editors and type checkers. They are looked
for at the top and not through the links: source archives and checkouts without links have none,
and with them nothing must be packaged twice.
"""

from setuptools import find_packages, setup

LAYERS = ("export", "zoo", "benchmarks", "cli")


def _tree(*folders: str) -> list[str]:
    return [pattern for folder in folders for pattern in (folder, f"{folder}.*")]


setup(
    packages=[
        "unifmir",
        *(f"unifmir.{name}" for name in find_packages("unifmir", exclude=_tree(*LAYERS))),
        *(
            f"unifmir.{name}"
            for name in find_packages(include=_tree(*LAYERS), exclude=_tree("benchmarks.studies"))
        ),
    ],
    package_dir={"unifmir": "unifmir", **{f"unifmir.{layer}": layer for layer in LAYERS}},
)
