"""TorchScript files of `unifmir export` are checkpoints of the weights they store."""

import pytest
import torch

import unifmir
from tests.helpers.checkpoint_files import refusal, same_weights, written
from tests.helpers.quick_rows import few_quick
from tests.helpers.script_archives import example, traced
from unifmir.checkpoint.inspection import inspect_file
from unifmir.checkpoint.loading import load_file
from unifmir.export.formats.torchscript import narrow_storage
from unifmir.precision.variants import DTYPES


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.jit itself is deprecated
@pytest.mark.parametrize("precision", few_quick(("fp32", "fp16", "bf16"), {"fp16"}))
def test_an_export_of_our_own_is_a_checkpoint_of_the_weights_it_stores(
    precision, tiny_single, tmp_path
):
    network = tiny_single("sr")
    if precision == "bf16":  # else refused: rounded to 8 bits, random weights give another picture
        network = network.bfloat16().float()
    (made,) = unifmir.export(network, tmp_path, formats=("torchscript",), precision=precision)
    with torch.no_grad():
        stored = dict(torch.jit.load(str(made.path)).named_parameters())
    narrow = {key: value for key, value in stored.items() if key.endswith(".original")}
    wanted = {
        key.removeprefix("network.").replace("parametrizations.", "").removesuffix(".original"): (
            value.dtype,
            value.float(),
        )
        for key, value in stored.items()
    }
    state = load_file(made.path).state_dict()
    assert state.keys() == wanted.keys()
    assert all(torch.equal(state[key], value) for key, (_, value) in wanted.items())
    dtype = DTYPES[precision]
    assert bool(narrow) == (precision != "fp32")
    assert all(value.dtype == dtype for value in narrow.values())
    assert same_weights(load_file(made.path), network) == (precision != "fp16")
    found = inspect_file(made.path)
    assert (found.format, found.task) == ("torchscript", "sr")
    assert str(dtype).removeprefix("torch.") in found.dtypes


def test_a_parametrized_weight_of_others_is_not_taken_for_the_weight(tiny_single, tmp_path):
    network = tiny_single("sr").half().float()
    narrow = narrow_storage(network, torch.float16)
    path = written(traced(narrow, example(network)), tmp_path)
    assert "parametrizations.weight.original" in refusal(path)
