"""How far the package's three weight formats are from the fp32 network, as an evaluation."""

import warnings
from pathlib import Path

import numpy as np
import torch

from unifmir.errors import ExportError
from unifmir.export.bioimageio import rdf
from unifmir.export.bioimageio.card import Evaluation
from unifmir.model import image_interface
from unifmir.networks.base import Network

_TOLERANCE = 1e-3
"""The zoo's: |difference| <= 1e-3 + 1e-3 |expected|."""


def agreement_rows(
    network: Network,
    image: np.ndarray,
    restored: np.ndarray,
    folder: Path,
    data_source: str,
    image_note: str,
) -> tuple[Evaluation, ...]:
    """Run each format on the normalised test input.

    Parameters
    ----------
    network : Network
        The fp32 network.
    image : ndarray
        Normalised test input.
    restored : ndarray
        What the module with the stored weights makes of it: the state dict's result.
    folder : Path
        Holds the weight files.
    data_source : str
        Web address of the image; without one the description cannot hold the row.

    Raises
    ------
    ExportError
        A format does not reproduce the test output.
    """
    outputs = {
        "state dict": restored,
        "torchscript": _torchscript(folder / rdf.FILES["torchscript"], image),
        "onnx": _onnx(folder / rdf.FILES["onnx"], image),
    }
    for name, output in outputs.items():
        # isclose with NaN on either side is False, so they count as different.
        if output.shape != restored.shape or not np.isclose(
            output, restored, rtol=_TOLERANCE, atol=_TOLERANCE
        ).all():
            raise ExportError(
                f"the {name} file does not reproduce the test output of shape {restored.shape}; "
                "was it exported from the same network?"
            )
    if not data_source:
        return ()
    with torch.inference_mode():
        reference = image_interface(network)(torch.from_numpy(image)).numpy()
    extent = float(reference.max() - reference.min())
    differences = [float(np.abs(output - reference).max()) for output in outputs.values()]
    # Three digits: the last bits depend on the machine, and packages are byte-identical.
    largest = tuple(float(f"{d / extent:.0e}") for d in differences)
    return (
        Evaluation(
            dataset_id="unifmir-samples",
            dataset_source=data_source,
            dataset_role="unknown",
            sample_count=1,
            factors=tuple(outputs),
            factors_long=tuple(f"weights as {name}" for name in outputs),
            metrics=("max deviation",),
            metrics_long=("largest deviation from the fp32 PyTorch network, of the output range",),
            results=(largest,),
            summary=f"Fidelity of the files, not restoration quality. Image: {image_note}",
        ),
    )


def _torchscript(path: Path, image: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings(), torch.inference_mode():
        # torch.jit is announced as deprecated; it is what deepImageJ and Icy load.
        warnings.simplefilter("ignore")
        output: np.ndarray = torch.jit.load(path, "cpu")(torch.from_numpy(image)).numpy()
    return output


def _onnx(path: Path, image: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    output: np.ndarray = session.run(None, {session.get_inputs()[0].name: image})[0]
    return output
