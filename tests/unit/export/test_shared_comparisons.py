"""Artifacts of one export that hold the same file are run once."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compat.packages import network
from unifmir.checkpoint.saving import save
from unifmir.export.base import ExportJob
from unifmir.export.cases import example
from unifmir.export.credit import Credit
from unifmir.export.expected_outputs import ExpectedOutputs
from unifmir.export.formats.onnx import ONNX
from unifmir.export.lineage import lineage_of
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.base import HostSession
from unifmir.export.verification import check
from unifmir.hashing import sha256_of
from unifmir.model import image_interface
from unifmir.precision.element_types import Precision
from unifmir.precision.recipe import PrecisionRecipe
from unifmir.samples import sample


def test_a_file_that_was_compared_is_not_run_again_but_another_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = network("sr")
    parent = save(model, tmp_path / "parent.safetensors")
    lineage = lineage_of(model.config, "image", Precision("fp32"), parent)
    recipe = PrecisionRecipe("fp32")
    job = ExportJob(
        *(model, image_interface(model), example(model.config, "image"), lineage, recipe),
        *(17, Credit()),
    )
    first, same, other = (tmp_path / f"{name}.onnx" for name in ("first", "same", "other"))
    ONNX.write(job, first)
    shutil.copyfile(first, same)
    renamed = replace(lineage, parent={**lineage.parent, "name": "other.safetensors"})
    ONNX.write(replace(job, lineage=renamed), other)

    opened: list[str] = []
    honest = RUNTIMES["onnxruntime"].open

    def counted(path: Path, **options: Any) -> HostSession:
        opened.append(path.stem)
        session = honest(path, **options)
        # Another picture from the second file on: only who looks sees it.
        return HostSession(lambda image: session.run(image) + np.float32(len(opened) - 1), {})

    monkeypatch.setattr(RUNTIMES["onnxruntime"], "open", counted, raising=False)
    expected = ExpectedOutputs(model, sample("sr").image, seed=1)
    reports = [
        check(ONNX, path, expected, lineage, sha256=sha256_of(path))
        for path in (first, same, other)
    ]
    assert opened == ["first", "other"]
    assert [report.passed for report in reports] == [True, True, False]
    assert reports[1].results == reports[0].results
    assert [report.artifact for report in reports] == ["first.onnx", "same.onnx", "other.onnx"]
