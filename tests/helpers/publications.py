"""Packages for the tests of publishing: small, and taken as checked."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from unifmir.hashing import sha256_of
from unifmir.zip_archive import write_zip
from unifmir.zoo.catalogue import transfer
from unifmir.zoo.publish import publishing, web_service
from unifmir.zoo.publish.publication import PackageFile, Publication

RDF: dict[str, Any] = {
    "name": "UniFMIR Trial",
    "description": "Denoising of nothing in particular, to see how a package is published well.",
    "type": "model",
    "format_version": "0.5.7",
    "version": "0.1.0",
    "license": "CC-BY-4.0",
    "authors": [
        {"name": "Ann Ash", "affiliation": "Here", "orcid": "0000-0002-1825-0097"},
        {"name": "Ben Birch"},
    ],
    "cite": [
        {"text": "Ash, A. Nothing in particular (2024).", "doi": "10.1038/s41592-024-02244-3"}
    ],
    "tags": ["denoising", "3d", "fluorescence-light-microscopy"],
    "git_repo": "https://example.org/unifmir",
    "timestamp": "2026-11-22T00:00:00+00:00",
    "documentation": "README.md",
    "config": {
        "bioimageio": {
            "task": "denoising",
            "evaluations": [
                {
                    "dataset_id": "planaria",
                    "evaluation_factors": ["low"],
                    "metrics": ["psnr"],
                    "results": [[40.25]],
                }
            ],
        }
    },
    "weights": {"onnx": {"source": "weights.onnx", "opset_version": 17}},
}
README = b"# UniFMIR Trial\n\n## Description\n\nNothing.\n\n## Validation\n\nNone.\n"
FILES = {
    "README.md": README,
    "rdf.yaml": b"name: UniFMIR Trial\n",
    "weights.onnx": bytes(range(256)) * 400,
}


def publication(
    folder: Path, files: dict[str, bytes] | None = None, rdf: dict[str, Any] | None = None
) -> Publication:
    """A package of these files, as `read_publication` would give it."""
    files = FILES if files is None else files
    path = folder / "trial.bioimageio.zip"
    write_zip(files, path)
    read = tuple(
        PackageFile(name, len(data), hashlib.sha256(data).hexdigest(), name == "weights.onnx")
        for name, data in sorted(files.items())
    )
    return Publication(path, sha256_of(path), rdf or RDF, read, ())


def given_package(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """The file of a package that publishing takes as read and checked."""
    made = publication(folder)
    patch.setattr(publishing, "read_publication", lambda _: made)
    return made.path


def without_waiting(patch: pytest.MonkeyPatch) -> None:
    """Two attempts, one after the other, and servers that must answer at once."""
    patch.setattr(transfer, "BACKOFF_S", 0.0)
    patch.setattr(transfer, "ATTEMPTS", 2)
    patch.setattr(web_service, "ANSWER_S", 0.15)
