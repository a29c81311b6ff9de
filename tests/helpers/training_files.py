"""Checkpoint files as training code leaves them: the kinds that people report trouble with.

Each has its source: an issue of a public repository, or the code that writes such files.
"""

import argparse
import collections
import io
import pickle
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

State = dict[str, Tensor]


def averaged(state: State) -> State:
    """A running average that differs from the weights."""
    return {k: v * 1.001 if v.is_floating_point() else v for k, v in state.items()}


def behind(prefix: str, state: State) -> "collections.OrderedDict[str, Tensor]":
    """The state dict with a prefix before every key."""
    return collections.OrderedDict((prefix + key, value) for key, value in state.items())


def flat(state: State) -> State:
    """Keys without dots, as latent diffusion's `LitEma` registers its buffers."""
    return {key.replace(".", ""): value for key, value in state.items()}


LOADED: dict[str, Callable[[State], Any]] = {
    "plain.pt": lambda s: s,
    "params.pth": lambda s: {"params": s},
    # CAREamics/careamics#520
    "lightning.ckpt": lambda s: {
        "state_dict": behind("model.", s),
        "epoch": 3,
        "global_step": 10,
        "pytorch-lightning_version": "2.2.0",
        "optimizer_states": [],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 1e-4},
    },
    "lightning_net.ckpt": lambda s: {"state_dict": behind("net.", s), "epoch": 3},
    "lightning_loss.ckpt": lambda s: {
        "state_dict": {
            **behind("model.", s),
            "criterion.vgg.features.weight": torch.zeros(2, 2),
            "criterion.conv_first.weight": torch.zeros(2, 2),
            "val_psnr.total": torch.zeros(()),
        }
    },
    # Lightning-AI/pytorch-lightning#20545
    "averaged_model.pt": lambda s: {**behind("module.", s), "n_averaged": torch.tensor(5)},
    "ddp_compile.pt": lambda s: behind("module._orig_mod.", s),
    "compile_ddp.pt": lambda s: behind("_orig_mod.module.", s),
    "nested_extras.pt": lambda s: {
        "model": s,
        "optimizer": {
            "state": {0: {"exp_avg": torch.zeros(3)}},
            "param_groups": [{"lr": 1e-4, "params": [0]}],
        },
        "best_psnr": torch.tensor(31.2),
        "rng_state": torch.zeros(5056, dtype=torch.uint8),
        "epoch": 7,
    },
    "nested_twice.pt": lambda s: {"model": {"state_dict": behind("net.", s)}, "epoch": 1},
    "settings_named_model.pt": lambda s: {"model": {"depth": 4}, "state_dict": s},
    "tutorial.tar": lambda s: {"model_state_dict": s, "optimizer_state_dict": {}, "loss": 0.1},
    "model_best.pth.tar": lambda s: {"state_dict": behind("module.", s), "arch": "unifmir"},
    "netG.pth": lambda s: {"netG": s},
    "ema_only.pth": lambda s: {"ema": s, "epoch": 1},
    "weights_key.pth": lambda s: {"weights": s},
    "parameters.pt": lambda s: {
        k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in s.items()
    },
    # ultralytics/yolov3#1471: thop counts in every module
    "thop.pt": lambda s: {
        **s,
        "total_ops": torch.zeros(1),
        "total_params": torch.zeros(1),
        "norm.total_ops": torch.zeros(1, dtype=torch.float64),
    },
    "flat_epoch.pt": lambda s: {**s, "epoch": 7},
    "loss_module.pt": lambda s: {
        **s,
        "criterion.vgg.weight": torch.zeros(2, 2),
        "perceptual_loss.features.weight": torch.zeros(2, 2),
        "val_metrics.psnr.total": torch.zeros(()),
    },
}
"""Files of torch.save with one set of weights."""

TWO_SETS: dict[str, Callable[[State], Any]] = {
    # xinntao/Real-ESRGAN#82
    "params_and_ema.pth": lambda s: {"params": s, "params_ema": averaged(s)},
    "model_and_ema.pth": lambda s: {"model": s, "model_ema": averaged(s), "epoch": 1},
    "state_dict_ema.pth.tar": lambda s: {"state_dict": s, "state_dict_ema": averaged(s)},
    # MeteoSwiss/ldcast#12
    "lightning_ema.ckpt": lambda s: {
        "state_dict": {**behind("model.", s), **behind("model_ema.", averaged(s))}
    },
    "lightning_flat_ema.ckpt": lambda s: {
        "state_dict": {
            **behind("model.", s),
            **behind("model_ema.", flat(averaged(s))),
            "model_ema.decay": torch.tensor(0.999),
            "model_ema.num_updates": torch.tensor(3),
        }
    },
    "ema_beside.pt": lambda s: {**s, **behind("ema_model.", averaged(s))},
    # Lightning's WeightAveraging
    "weight_averaging.ckpt": lambda s: {
        "state_dict": behind("model.", averaged(s)),
        "current_model_state": behind("model.", s),
        "averaging_state": {"n_averaged": torch.tensor(5)},
    },
}
"""Files of torch.save with the weights and their running average."""

UNSAFE: dict[str, Callable[[State], Any]] = {
    # hhaentze/MRSegmentator#19
    "with_args.pth": lambda s: {
        "model": s,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}},
        "args": argparse.Namespace(lr=1e-4, scale=2),
    },
    # constantinpape/torch-em#488
    "numpy_scalar.pth": lambda s: {"model": s, "best_psnr": np.float64(31.2), "epoch": 3},
    "lightning_args.ckpt": lambda s: {
        "state_dict": behind("model.", s),
        "hyper_parameters": argparse.Namespace(lr=1e-4),
    },
    "of 'two' names.pt": lambda s: {"state_dict": s, "args": argparse.Namespace()},
}
"""Files of torch.save with more than weights_only allows beside one set of weights."""


def write_containers(state: State, folder: Path) -> None:
    """Write the weights in containers other than a new file of torch.save."""
    torch.save(state, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    # The place of a GPU, which no machine of the tests has, is written beside each storage.
    with patch.object(torch.serialization, "location_tag", lambda _: "cuda:0"):
        torch.save(state, folder / "from_cuda.pt")
        torch.save(state, folder / "from_cuda_legacy.pt", _use_new_zipfile_serialization=False)
    foreign = {"format": "pt", "modelspec.title": "my \u00b5 model", "config": "{}"}
    save_file(state, folder / "foreign_meta.safetensors", metadata=foreign)
    save_file(state, folder / "no_meta.safetensors")
    save_file(dict(behind("module.", state)), folder / "prefix.safetensors")


def write_archives(state: State, folder: Path) -> list[Path]:
    """Write the weights in archives that others made of a file of torch.save."""
    plain = folder / "plain.pt"
    torch.save(state, plain)
    notes = {"__MACOSX/._plain.pt": b"x", "README.txt": b"trained on ..."}
    shutil.copy(plain, folder / "zip_extra.pt")
    with zipfile.ZipFile(folder / "zip_extra.pt", "a") as archive:
        for name, content in notes.items():
            archive.writestr(name, content)
    _packed_again(plain, folder / "zip_deflated.pt", ["archive/{}"], zipfile.ZIP_DEFLATED)
    _packed_again(plain, folder / "notes_first.pt", ["archive/{}"], before=notes)
    _packed_again(plain, folder / "without_folder.pt", ["{}"])
    _packed_again(plain, folder / "in_a_folder.pt", ["best/archive/{}"], zipfile.ZIP_DEFLATED)
    plain.unlink()
    return sorted(folder.iterdir())


def _packed_again(
    plain: Path,
    target: Path,
    places: list[str],
    compression: int = zipfile.ZIP_STORED,
    before: dict[str, bytes] | None = None,
) -> None:
    """Write the records of a file of torch.save to another archive, at each of some places."""
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name, content in (before or {}).items():
            new.writestr(name, content)
        for place in places:
            for member in old.infolist():
                new.writestr(place.format(member.filename.partition("/")[2]), old.read(member))


def write_tar(state: State, path: Path) -> None:
    """Write the weights as torch did before 0.1.10, of which PyTorch still reads what it needs."""
    storages, tensors, pickled = io.BytesIO(), io.BytesIO(), io.BytesIO()
    names = {id(tensor): number for number, tensor in enumerate(state.values())}
    pickle.dump(len(state), storages, protocol=2)
    pickle.dump(len(state), tensors, protocol=2)
    for tensor in state.values():
        number, flat = names[id(tensor)], tensor.contiguous().reshape(-1)
        kind = torch.FloatStorage if tensor.is_floating_point() else torch.LongStorage
        pickle.dump((number, "cpu", kind), storages, protocol=2)
        storages.write(struct.pack("<q", flat.numel()) + flat.numpy().tobytes())
        pickle.dump((len(state) + number, number, torch.FloatTensor), tensors, protocol=2)
        shape, strides = tensor.shape, tensor.contiguous().stride()
        tensors.write(struct.pack(f"<ii{2 * len(shape) + 1}q", len(shape), 0, *shape, *strides, 0))
    pickle.dump([], storages, protocol=2)
    pickler = pickle.Pickler(pickled, protocol=2)
    pickler.persistent_id = lambda one: (  # type: ignore[method-assign]
        len(state) + names[id(one)] if id(one) in names else None
    )
    pickler.dump(dict(state))
    with tarfile.open(path, "w") as tar:
        parts = {"storages": storages, "tensors": tensors, "pickle": pickled}
        for name, part in {"sys_info": io.BytesIO(pickle.dumps({})), **parts}.items():
            member = tarfile.TarInfo(name)
            member.size = len(part.getvalue())
            tar.addfile(member, io.BytesIO(part.getvalue()))


def write_refused(state: State, folder: Path) -> dict[str, str]:
    """Write files that hold no readable network; by name, what their refusal says."""
    plain = folder / "plain.pt"
    torch.save(state, plain)
    torch.save(
        {"generator": state, "discriminator": {"a.weight": torch.zeros(2, 2)}}, folder / "gan.pth"
    )
    torch.save(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3)), folder / "whole_module.pt")
    torch.save({**state, "extra.vgg.weight": torch.zeros(2)}, folder / "another_part.pt")
    with zipfile.ZipFile(folder / "in_a_zip.zip", "w") as archive:
        archive.write(plain, "model_best.pt")
    _packed_again(plain, folder / "two_in_a_zip.pt", ["one/{}", "two/{}"])
    with tarfile.open(folder / "notes.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("notes.txt"), io.BytesIO())
    content = plain.read_bytes()
    (folder / "half_download.pt").write_bytes(content[: len(content) // 2])
    (folder / "html.pt").write_bytes(b"<!DOCTYPE html><html><head><title>Quota exceeded</title>")
    (folder / "lfs.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    return {
        "gan.pth": "entries are not plain tensors under a name: 'generator'",
        "whole_module.pt": "torch.nn.modules.container.Sequential",
        "another_part.pt": "extra.vgg.weight",
        "two_in_a_zip.pt": "several checkpoints in one zip (one/, two/)",
        "in_a_zip.zip": "holding model_best.pt",
        "notes.tar": "a tar archive: unpack it first",
        "half_download.pt": "damaged or incomplete",
        "html.pt": "a web page",
        "lfs.pt": "git lfs pull",
    }
