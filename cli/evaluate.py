"""`unifmir evaluate`: a model on simulated images, or restored image files against the truth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unifmir.cli import output
from unifmir.cli.choices import SplitChoice, TaskChoice
from unifmir.cli.evaluation_files import EvaluationFiles, measured
from unifmir.errors import ImageError, UnifmirError
from unifmir.tasks import multitask_parts
from unifmir.text_tables import aligned

if TYPE_CHECKING:
    from unifmir.metrics.paired_comparison import PairedDifference
    from unifmir.metrics.scores import Score
    from unifmir.training.evaluation import Evaluation


def evaluate(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL|RESTORED",
            help="Checkpoint file or zoo id; or, before TRUTH, restored images: a file or folder.",
        ),
    ] = None,
    truth: Annotated[
        Path | None, typer.Argument(help="The images that the restored ones should be.")
    ] = None,
    named: Annotated[
        str | None, typer.Option("--model", help="Checkpoint file or zoo id, as MODEL.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="With a model: dataset of `unifmir data prepare`, and not simulated."),
    ] = None,
    split: Annotated[SplitChoice, typer.Option(help="With --data: the part of it.")] = "test",
    against: Annotated[
        str | None,
        typer.Option(
            help="What to compare with, image by image: other restored images of the same truth; "
            "with --data a second model, checkpoint file or zoo id."
        ),
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--csv", help="Write the figures of every image there.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Labelled objects of each truth, as images of the same names: scores of the "
            "segmentation by a pixel classifier that learns from other truths."
        ),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Folder for a picture of each: restored, truth and difference."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="HTML page of it all: figures, box plots, pictures of errors."),
    ] = None,
    tasks: Annotated[
        list[TaskChoice] | None, typer.Option("--task", help="Repeatable; all it can do if none.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Held-out images per task.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the held-out images.")] = 0,
    untrained: output.UntrainedFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Measure how near restored images are to the truth.

    Given two files or folders, the first is held against the second, image by image. Given a
    model, it restores held-out simulated images, or those of a dataset (--data), and is shown
    beside the simple methods of the task and, with --data, a second model (--against). An image
    that cannot be measured does not stop the others; the exit code is 1 then.
    """
    if (model is None) == (named is None):
        raise typer.BadParameter("give a model, or restored images and their truth")
    given = model or named or ""
    if truth is not None:
        if tasks or untrained or data or named:
            raise typer.BadParameter(
                "--model, --data, --task and --untrained belong to a model, not to image files"
            )
        other = None if against is None else Path(against)
        with (written := EvaluationFiles(table, pictures, report)).held():
            _evaluate_files(Path(given), truth, other, labels, written, as_json=as_json)
        return
    if against and data is None:
        raise typer.BadParameter("--against belongs to images and datasets: give TRUTH or --data")
    if labels and data is None:
        raise typer.BadParameter("--labels belongs to images and datasets: give TRUTH or --data")
    if data is not None:
        if tasks:
            raise typer.BadParameter("--data has one task: leave --task out")
        models = [given] if against is None else [given, against]
        with (written := EvaluationFiles(table, pictures, report)).held():
            _evaluate_dataset(models, data, split, labels, written, untrained, as_json=as_json)
        return
    if table or pictures or report:
        raise typer.BadParameter(
            "--csv, --pictures and --report belong to image files and datasets: give TRUTH or "
            "--data"
        )
    _evaluate_model(given, tasks, images, seed, untrained=untrained, as_json=as_json)


def _evaluate_model(
    model: str,
    tasks: list[TaskChoice] | None,
    images: int,
    seed: int,
    *,
    untrained: bool,
    as_json: bool,
) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from unifmir.training.evaluation import evaluate as run
    from unifmir.zoo.catalogue.load import load_trained

    network = load_trained(model, untrained=untrained)
    able = list(multitask_parts()) if network.kind == "multitask" else [network.task]
    names = [task.value for task in tasks] if tasks else able
    with Progress(console=Console(stderr=True)) as bar:
        progress = bar.add_task("evaluating", total=images * len(names))
        results = [
            run(network, name, images=images, seed=seed, on_image=lambda: bar.advance(progress))
            for name in names
        ]
    document = {
        "model": network.source.name,
        "sha256": network.source.sha256,
        "tasks": {result.task: result.to_dict() for result in results},
    }
    output.print_result(document, _model_table(results), as_json=as_json)


def _model_table(results: "list[Evaluation]") -> str:
    from unifmir.metrics import METRICS
    from unifmir.metrics.base import FIT

    rows = []
    for result in results:
        best = result.baselines[result.best_baseline]
        for name, metric in METRICS.items():
            pair = [f"{one[name]:.{metric.decimals}f}" for one in (result.model, best)]
            rows.append((result.task, metric.heading, *pair, result.best_baseline))
    columns = ("task", "metric", "model", "simple", "best simple method")
    gains = ", ".join(f"{result.task} {result.gain_db:+.2f} dB" for result in results)
    images = results[0].images
    return (
        f"{aligned(columns, rows)}\n\nfitted: after {FIT}; unfitted: before, with intensities as "
        f"`--intensity percentile` brings them back. Images a task: {images}. Gain in fitted PSNR "
        f"over the best simple method: {gains}"
    )


def _evaluate_files(
    restored: Path,
    truth: Path,
    against: Path | None,
    labels: Path | None,
    written: EvaluationFiles,
    *,
    as_json: bool,
) -> None:
    from unifmir.metrics.labelled_pairs import add_segmentation
    from unifmir.metrics.paired_comparison import compare_scores

    scores, failed = _scores_of(restored, truth, written)
    others: dict[str, Score] = {}
    if against is not None:
        others, other_failed = _scores_of(against, truth, None)
        failed |= other_failed
    if labels is not None:
        places = [restored] if against is None else [restored, against]
        scores, others = add_segmentation(places, truth, labels, [scores, others])
    differences = compare_scores(scores, others)
    sets = {"restored": scores, "against": others} if others else {"restored": scores}
    written.write(f"{restored.name} against {truth.name}", sets, failed)
    document = {
        "restored": str(restored),
        "truth": str(truth),
        "images": scores,
        "against": {"restored": str(against), "images": others} if against else None,
        "differences": {name: one.to_dict() for name, one in differences.items()},
        "failed": failed,
    }
    output.print_result(document, _file_table(scores, others, differences), as_json=as_json)
    for place, reason in failed.items():
        output.note(f"{place}: {reason}")
    if failed:
        output.check_failed(f"images that could not be measured: {len(failed)}")


def _evaluate_dataset(
    models: Sequence[str],
    data: Path,
    split: SplitChoice,
    labels: Path | None,
    written: EvaluationFiles,
    untrained: bool,
    *,
    as_json: bool,
) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from unifmir.datasets.stored_dataset import StoredDataset
    from unifmir.training.dataset_evaluation import RestoredPatches, evaluate_on_dataset
    from unifmir.zoo.catalogue.load import load_trained

    dataset = StoredDataset(data)
    network, *rivals = (
        load_trained(model, untrained=untrained, task=dataset.task.name) for model in models
    )
    rival = rivals[0] if rivals else None
    with Progress(console=Console(stderr=True), transient=True) as bar:
        progress = bar.add_task("evaluating", total=len(dataset.manifest.of(split)))

        def on_image(image: RestoredPatches) -> None:
            written.draw(image.name, image.restored, image.truth)
            bar.advance(progress)

        found = evaluate_on_dataset(
            network, dataset, split, rival=rival, labels=labels, on_image=on_image
        )
    best = found.best_baseline
    # The first of the others is what the page compares the model with.
    others = {best: found.baselines[best], **found.baselines}
    if found.rival is not None:
        others = {"against": found.rival, **others}
    names = " against ".join(one.source.name for one in (network, *rivals))
    written.write(f"{names} on {dataset.path.name}", {"model": found.images, **others})
    document = {
        "model": network.source.name,
        "sha256": network.source.sha256,
        "dataset": dataset.path.name,
        "manifest_sha256": dataset.sha256,
        **found.to_dict(),
        "against": None,
    }
    other = f"{best}, the best simple method"
    if rival is not None:
        other, sha256 = rival.source.name, rival.source.sha256
        document["against"] = {"model": other, "sha256": sha256, "images": found.rival}
    told = (
        f"{_file_table(found.images, next(iter(others.values())), found.differences)}\n"
        f"The other: {other}. Patches: {found.patches}, of which whole images: "
        f"{found.whole_images}; each scaled as its whole image, intensities by the exact inverse."
    )
    output.print_result(document, told, as_json=as_json)


def _scores_of(
    restored: Path, truth: Path, written: EvaluationFiles | None
) -> "tuple[dict[str, Score], dict[str, str]]":
    """Scores by image, and why others have none."""
    from rich.console import Console
    from rich.progress import Progress

    from unifmir.metrics.image_pairs import MEASURED, find_image_pairs, read_pair
    from unifmir.metrics.scores import score

    found = find_image_pairs(restored, truth)
    failed = {str(path): reason for path, reason in found.unpaired.items()}
    scores = {}
    with Progress(console=Console(stderr=True), transient=True) as bar:
        progress = bar.add_task("measuring", total=len(found.pairs))
        for pair in found.pairs:
            try:
                one, other = read_pair(pair)
                if written is not None:
                    written.draw(pair.name, one, other)
                scores[pair.name] = score(one, other, MEASURED)
            except UnifmirError as error:
                failed[str(pair.restored)] = str(error)
            bar.advance(progress)
    if not scores:
        raise ImageError("; ".join(f"{place}: {reason}" for place, reason in failed.items()))
    return scores, failed


def _file_table(
    scores: "Mapping[str, Score]",
    others: "Mapping[str, Score]",
    differences: "Mapping[str, PairedDifference]",
) -> str:
    from unifmir.metrics.base import FIT
    from unifmir.metrics.paired_comparison import interval_of_mean
    from unifmir.metrics.scores import mean_score

    sets = [list(one.values()) for one in (scores, others) if one]
    means = [mean_score(rows) for rows in sets]
    lines = []
    for name, metric in measured(scores).items():
        digits = metric.decimals
        line = [metric.heading, *(f"{mean[name]:.{digits}f}" for mean in means)]
        if others:
            line += _told_difference(differences.get(name), digits)
        else:
            ends = interval_of_mean([row[name] for row in sets[0]])
            line.append("" if ends is None else f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}")
        lines.append(tuple(line))
    columns: Sequence[str] = ("metric", "mean", "95 % interval of the mean")
    if others:
        columns = ("metric", "mean", "mean of the other", "difference", "95 % interval", "p")
    text = f"{aligned(columns, lines)}\n\nImages: {len(scores)}. Fitted: after {FIT}."
    return f"{text} p: Wilcoxon's signed-rank test." if others else text


def _told_difference(difference: "PairedDifference | None", digits: int) -> Sequence[str]:
    if difference is None:
        return ("", "", "")
    low, high, p = difference.low, difference.high, difference.p
    interval = "" if low is None else f"{low:+.{digits}f} to {high:+.{digits}f}"
    return (
        f"{difference.mean:+.{digits}f}",
        interval,
        "fewer than 6 images" if p is None and difference.images < 6 else _told_p(p),
    )


def _told_p(p: float | None) -> str:
    return "" if p is None else f"{p:.2g}"
