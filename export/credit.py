"""Credit for a model: the people, licence and citations that a published package names.

People are named only if somebody gave them: no checkpoint says whose it is.
"""

import re
from dataclasses import dataclass, replace

from unifmir.errors import ExportError
from unifmir.training.training_record import TrainingRecord

PERSON = "NAME [<ORCID>] [<E-MAIL>] [<@GITHUB_USER>] [AFFILIATION]"
"""Form in which a person is given as text; with nothing in brackets, 'NAME <> AFFILIATION'."""
MAINTAINER = "GITHUB_USER [<ORCID>] [<E-MAIL>] [AFFILIATION]"
"""Form in which a maintainer is given as text: the format asks for the user, not the name."""
MAX_CHARACTERS = 300
"""Limit of a person's text."""
_BRACKETS = re.compile(r"<([^<>]*)>")
_ORCID = re.compile(r"\d{4}-\d{4}-\d{4}-\d{3}[\dX]")
_EMAIL = re.compile(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@([A-Za-z0-9-]+\.)+[A-Za-z]{2,}")
_GITHUB_USER = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Person:
    """An author, packager or maintainer. Empty strings are left out of the package."""

    name: str
    affiliation: str = ""
    orcid: str = ""
    github_user: str = ""
    email: str = ""
    """Address by which BioImage.IO gives the person rights to the model."""


@dataclass(frozen=True, slots=True)
class Citation:
    """One entry of `cite`; `doi` without a host in front, or `url`."""

    text: str
    doi: str = ""
    url: str = ""

    @property
    def link(self) -> str:
        """Web address of the work; empty where none is known."""
        return f"https://doi.org/{self.doi}" if self.doi else self.url

    def __str__(self) -> str:
        return f"{self.text} {self.link}".rstrip()


@dataclass(frozen=True, slots=True)
class ImageQuality:
    """Figures of one model on held-out images of one task."""

    dataset: str
    """Images in words."""
    sample_count: int
    figures: tuple[tuple[str, str, float], ...]
    """Short name of a metric, at most 16 characters, what it is, and its mean."""
    source: str
    """Command or publication that the figures are from."""


@dataclass(frozen=True, slots=True)
class MeasuredCost:
    """Sentences on one measurement of time and memory, each with its machine."""

    time: str
    memory: str
    """Empty where only the time was measured."""


@dataclass(frozen=True, slots=True)
class PackageRecipe:
    """Texts of a package of one model; empty: those of its task."""

    name: str = ""
    description: str = ""
    target_structure: tuple[str, ...] = ()
    modality: str = ""
    settings: str = ""
    """Recommended settings: what images to give, and how."""
    cite: tuple[Citation, ...] = ()
    derived_from: str = ""
    """Id in the zoo of the package that holds the same weights."""
    published_figures: tuple[str, ...] = ()
    """Sentences on the figures that a publication prints of the model."""


@dataclass(frozen=True, slots=True)
class Credit:
    """Statements on a model: what a published package says and no checkpoint knows."""

    authors: tuple[Person, ...] = ()
    """Authors of the weights; a package names none when empty."""
    licence: str = ""
    """SPDX identifier of the weights' licence; empty: none is known, and a package says none."""
    training_data: str = ""
    """Training data in words; left out of the description when empty."""
    training: TrainingRecord | None = None
    """Facts of the training."""
    pixel_size_um: tuple[tuple[str, float], ...] = ()
    """Pixel size of the training data by the input's axes; empty where it is not known."""
    evaluations: tuple[ImageQuality, ...] = ()
    """Restoration quality on images whose truth is known."""
    measured_costs: tuple[MeasuredCost, ...] = ()
    """Times and memory of benchmarks."""
    git_repo: str = ""
    """Address of the repository that the model is developed in."""
    funded_by: str = ""
    """Funding of the training, as those who trained acknowledge it."""
    recipe: PackageRecipe | None = None
    """Texts of the package instead of those of its task."""
    packaged_by: tuple[Person, ...] = ()
    """Makers of the package."""
    maintainers: tuple[Person, ...] = ()
    """People who answer for the package, each with a GitHub user."""


def parse_person(text: str) -> Person:
    """A person from text of the form `PERSON`.

    Raises
    ------
    ExportError
        There is no name, or something in angle brackets is no ORCID, e-mail or GitHub user.
    """
    name, _, rest = text.partition("<")
    name = name.strip()
    if not 0 < len(text) <= MAX_CHARACTERS or not name or set("/\\>\n") & set(name):
        raise ExportError(
            f"{text[:80]!r} names no person: expected {PERSON}, the name without slashes, in at "
            f"most {MAX_CHARACTERS} characters"
        )
    person = Person(name)
    if "<" not in text:
        if "," in name:
            raise ExportError(
                f"{text[:80]!r}: whether an affiliation or a name follows the comma cannot be "
                "told. Write 'NAME <> AFFILIATION', or 'NAME, FIRST NAME <>'"
            )
        return person
    for given in _BRACKETS.findall(f"<{rest}"):
        person = _with(person, given.strip(), text)
    affiliation = " ".join(_BRACKETS.sub(" ", f"<{rest}").split()).strip(" ,;")
    if set("<>") & set(affiliation):
        raise ExportError(f"{text[:80]!r}: an angle bracket is open; expected {PERSON}")
    return replace(person, affiliation=affiliation)


def parse_maintainer(text: str) -> Person:
    """A maintainer from text of the form `MAINTAINER`.

    Raises
    ------
    ExportError
        The text does not begin with a GitHub user, or is otherwise not of the form.
    """
    person = parse_person(text)
    if person.github_user or not _is_github_user(person.name):
        raise ExportError(f"{text[:80]!r} begins with no GitHub user: expected {MAINTAINER}")
    return replace(person, name="", github_user=person.name)


def checked_licence(text: str) -> str:
    """The SPDX identifier of a licence, as packages carry it.

    Raises
    ------
    ExportError
        It is none that the format of packages knows.
    """
    # Here, as it takes as long to import as torch.
    from bioimageio.spec.generic.v0_3 import DeprecatedLicenseId, LicenseId

    for known in (LicenseId, DeprecatedLicenseId):
        try:
            return str(known(text))
        except ValueError:
            continue
    raise ExportError(
        f"{text[:80]!r} is no licence that BioImage.IO knows: expected an SPDX identifier such as "
        "CC-BY-4.0 or BSD-3-Clause (https://spdx.org/licenses)"
    )


def _with(person: Person, given: str, text: str) -> Person:
    """A person with what stands in one pair of brackets; an empty one ends the name."""
    if not given:
        return person
    if _ORCID.fullmatch(given):
        if not _has_checksum(given):
            raise ExportError(
                f"{given} is no ORCID: its last character is not the checksum of the others"
            )
        return replace(person, orcid=given)
    if _EMAIL.fullmatch(given):
        return replace(person, email=given)
    if given.startswith("@") and _is_github_user(given[1:]):
        return replace(person, github_user=given[1:])
    raise ExportError(
        f"{given[:80]!r} in {text[:80]!r} is no ORCID (0000-0000-0000-0000), e-mail or @GITHUB_USER"
    )


def _is_github_user(text: str) -> bool:
    return len(text) <= 39 and _GITHUB_USER.fullmatch(text) is not None


def _has_checksum(orcid: str) -> bool:
    """Whether an ORCID ends in its check character (ISO 7064, MOD 11-2)."""
    characters = orcid.replace("-", "")
    digits, check = characters[:-1], characters[-1]
    total = 0
    for digit in digits:
        total = (total + int(digit)) * 2
    return check == "0123456789X"[(12 - total % 11) % 11]
