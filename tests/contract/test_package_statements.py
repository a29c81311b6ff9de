"""Statements on a model in its package: where they stand, and the score they reach."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.compat.canned import untested_package
from tests.compat.packages import inputs
from unifmir.export.credit import (
    Credit,
    ImageQuality,
    MeasuredCost,
    parse_maintainer,
    parse_person,
)
from unifmir.export.formats.bioimageio.card import credited_card
from unifmir.export.formats.bioimageio.lint import read_package
from unifmir.export.formats.bioimageio.package import build_package
from unifmir.export.formats.bioimageio.score import TARGET
from unifmir.tasks import TASKS
from unifmir.training.training_record import TrainingRecord

TRAINED = TrainingRecord(
    optimizer="torch.optim.Adam",
    optimizer_settings={"betas": [0.9, 0.999]},
    learning_rate=5e-5,
    loss="L1",
    epochs=3.0,
    hours=2.0,
    hardware="a processor",
    data="images of a test",
    source="a test",
)
STATED = Credit(
    licence="CC-BY-4.0",
    training=replace(
        TRAINED,
        learning_rate_schedule="constant",
        loss_settings={"l1_share": 1.0},
        batch_size=4,
        preprocessing="random patches",
        regularization="none",
        memory="2 GB",
    ),
    evaluations=(ImageQuality("12 images", 12, (("PSNR", "fitted PSNR", 31.5),), "a test"),),
    measured_costs=(MeasuredCost("3 ms on a machine", "4 MB on a machine"),),
    git_repo="https://example.org/repository",
    funded_by="A foundation, grant 1",
    packaged_by=(parse_person("Bo Builder <bo@example.org>"),),
    maintainers=(parse_maintainer("bo-hub <bo@example.org>"),),
)
"""Statements that docs/publishing.md asks for."""
QUALITY = ImageQuality(
    "12 images", 12, (("PSNR", "fitted PSNR", 31.5), ("SSIM", "fitted SSIM", 0.9)), "a test"
)


@pytest.mark.slow  # another package with the library's test
@pytest.mark.parametrize("task", TASKS)
def test_the_target_is_reached_with_all_that_an_export_takes(task: str, tmp_path: Path):
    given = inputs(task, tmp_path / "inputs")
    card = credited_card(given.card, replace(STATED, authors=given.card.authors))
    report = {"format": "onnx", "precision": "fp32", "passed": True, "cases": []}
    score = build_package(replace(given, card=card, reports=(report,)), tmp_path / "p.zip").score
    # An export runs no partner: they are expected by their rules.
    assert score.expected == ("ilastik", "biapy", "deepimagej")
    assert score.total >= TARGET


def test_facts_that_are_stated_reach_the_description(tmp_path: Path):
    plain = inputs("sr", tmp_path / "inputs")
    credit = Credit(
        authors=plain.card.authors,
        training=TRAINED,
        pixel_size_um=(("y", 0.1), ("x", 0.0626)),
        evaluations=(QUALITY,),
        measured_costs=(MeasuredCost("3 ms on a machine", "4 MB on a machine"),),
        git_repo="https://example.org/repository",
        funded_by="A foundation, grant 1",
    )
    given = replace(plain, card=credited_card(plain.card, credit))
    package = read_package(untested_package(given, tmp_path / "p.zip").path)
    stated = package.rdf["config"]["bioimageio"]
    assert stated["training"] == {
        "training_epochs": 3.0,
        "initial_learning_rate": 5e-5,
        "loss_function": "L1",
        "optimizer": "torch.optim.Adam",
        "optimizer_kwargs": {"betas": [0.9, 0.999]},
        "training_duration": 2.0,
    }
    assert stated["environmental_impact"] == {"hardware_type": "a processor", "hours_used": 2.0}
    assert stated["inference_time"] == "3 ms on a machine"
    assert stated["memory_requirements_inference"] == "4 MB on a machine"
    assert stated["funded_by"] == "A foundation, grant 1"
    assert stated["evaluations"][-1]["results"] == [[31.5], [0.9]]
    text = package.files["README.md"].decode("utf-8")
    assert "Data: images of a test." in text
    assert "Pixel size of the data: y 0.1, x 0.0626 micrometres." in text
    assert package.rdf["config"]["unifmir"]["pixel_size_um"] == {"y": 0.1, "x": 0.0626}
    assert "| PSNR | 31.5 | fitted PSNR |" in text
