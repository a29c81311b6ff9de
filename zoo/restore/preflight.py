"""A look at the files of a run before a model is loaded. Imports no torch."""

from collections.abc import Sequence

from unifmir.errors import UnifmirError
from unifmir.restoration.image_check import check_image
from unifmir.restoration.restoration_options import Options
from unifmir.zoo.restore.model_choice import ModelChoice, known_configuration
from unifmir.zoo.restore.outputs import Job, RefusedFile, WorkList


def sort_out(jobs: Sequence[Job], task: str, choice: ModelChoice, options: Options) -> WorkList:
    """Sort out files that cannot be restored: shape, axes, number of planes, NaN.

    Parameters
    ----------
    jobs : sequence of Job
    task : str
        Name of a task.
    choice : ModelChoice
        The number of planes is looked at where its file says its configuration without being
        loaded: see `known_configuration`.
    options : Options
    """
    config = known_configuration(choice)
    fine, refused = [], []
    for job in jobs:
        try:
            source = job.opened()
            try:
                check_image(source, task, config, options)
            finally:
                source.close()
        except (UnifmirError, OSError) as error:
            refused.append(RefusedFile(job.source, error))
        else:
            fine.append(job)
    return WorkList(tuple(fine), (), tuple(refused))
