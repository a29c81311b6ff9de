"""Record what csbdeep's own networks compute, for `tests/golden/test_csbdeep.py`.

In an environment of its own, with Python 3.11::

    pip install csbdeep==0.8.2 tensorflow-cpu==2.16.2 tf_keras==2.16.0 keras==3.15.1
    python tests/golden/csbdeep/make.py

Small CARE and ProjectionCARE networks are built by csbdeep, filled with seeded random weights and
biases, and saved by csbdeep or Keras, once with Keras 2 and once with Keras 3. For each Keras
there is `keras<n>.json`: versions, cases, and the parameters of csbdeep's full-size networks.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
SMALL = {"unet_n_first": 3}
PROJECTION = {"unet_n_depth": 3, "unet_n_first": 2, "proj_n_filt": 4}
CUSTOM = {"unet_n_depth": 1, "unet_kern_size": 5, "unet_n_first": 4, "unet_residual": False}
CASES: dict[int, list[dict[str, Any]]] = {
    2: [
        {"name": "care", "axes": "ZYX", "config": SMALL, "sizes": [[8, 12, 16], [4, 4, 4]]},
        {
            "name": "care-2d",
            "axes": "YX",
            "config": {**SMALL, "unet_kern_size": 3},
            "sizes": [[16, 20], [4, 8]],
        },
        {"name": "projection", "axes": "ZYX", "config": PROJECTION, "sizes": [[5, 16, 32]]},
        {"name": "whole-model", "axes": "YX", "config": CUSTOM, "sizes": [[6, 10]]},
        {
            "name": "probabilistic",
            "axes": "YX",
            "config": {"unet_n_depth": 1, "unet_n_first": 2, "probabilistic": True},
            "sizes": [[2, 2]],
        },
    ],
    3: [
        {"name": "care-2d-keras3", "axes": "YX", "config": CUSTOM, "sizes": [[6, 10]]},
        {
            "name": "whole-projection-keras3",
            "axes": "ZYX",
            "config": PROJECTION,
            "sizes": [[3, 32, 16]],
        },
    ],
}
"""By Keras version. Sizes are multiples of what the network halves: csbdeep's need that."""
SEEDS = {2: 0, 3: 13}
"""Of the first case. Chosen so that no layer of these narrow networks is dead behind its ReLU."""
FULL_SIZE = {
    "care": ("ZYX", {}),
    "care-2d": ("YX", {"unet_kern_size": 3}),
    "care-projection": ("ZYX", {"unet_n_depth": 3}),
}
"""The published networks: csbdeep's defaults but for what is named here."""


def build(name: str, axes: str, config: dict[str, Any]) -> Any:
    """The Keras model of one of csbdeep's networks."""
    models = import_module("csbdeep.models")
    if "projection" in name:
        projection = import_module("csbdeep.models.care_projection")
        settings = projection.ProjectionConfig(axes, **config)
        return models.ProjectionCARE(settings, name=None, basedir=None).keras_model
    settings = models.Config(axes, **config)
    return models.CARE(settings, name=None, basedir=None).keras_model


def fill(model: Any, rng: np.random.Generator) -> None:
    """Random weights that keep the activations' size, and biases that are not zero."""
    values = []
    for weight in model.get_weights():
        spread = 0.1 if weight.ndim == 1 else np.sqrt(2 / np.prod(weight.shape[:-1]))
        values.append(rng.normal(0, spread, weight.shape).astype(np.float32))
    model.set_weights(values)


def record(case: dict[str, Any], seed: int) -> None:
    """Write the weights of a case, and its inputs and outputs in the layout of PyTorch."""
    rng = np.random.default_rng(seed)
    model = build(case["name"], case["axes"], case["config"])
    fill(model, rng)
    write = model.save if case["name"].startswith("whole") else model.save_weights
    write(str(HERE / f"{case['name']}.h5"))
    arrays: dict[str, Any] = {}
    for index, size in enumerate(case["sizes"]):
        image = rng.random((2, *size, 1), dtype=np.float32)
        arrays[f"x{index}"] = np.moveaxis(image, -1, 1)
        output = np.asarray(model(image, training=False))
        if output.std() < 0.05 * np.abs(output).max():
            raise SystemExit(f"{case['name']}: almost constant, so it tests little: other seed")
        arrays[f"y{index}"] = np.moveaxis(output, -1, 1)
    np.savez_compressed(HERE / f"{case['name']}.npz", **arrays)


def make(keras: int) -> None:
    """All cases of one Keras version."""
    for seed, case in enumerate(CASES[keras], start=SEEDS[keras]):
        record(case, seed)
    distributions = ["csbdeep", "tensorflow-cpu", "tf_keras" if keras == 2 else "keras", "h5py"]
    index = {
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in [*distributions, "numpy"]},
        },
        "cases": CASES[keras],
        "parameters": {
            name: build(name, axes, config).count_params()
            for name, (axes, config) in FULL_SIZE.items()
        },
    }
    text = json.dumps(index, indent=2) + "\n"
    (HERE / f"keras{keras}.json").write_text(text, encoding="utf-8")


def main() -> None:
    """Each Keras version in a process of its own: csbdeep chooses when it is imported."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keras", type=int, choices=sorted(CASES), help="only this version")
    keras: int | None = parser.parse_args().keras
    if keras is not None:
        make(keras)
        return
    for number in CASES:
        environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1" if number == 2 else "0"}
        command = [sys.executable, __file__, "--keras", str(number)]
        subprocess.run(command, check=True, env=environment)


if __name__ == "__main__":
    main()
