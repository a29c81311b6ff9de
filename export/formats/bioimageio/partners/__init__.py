"""Programs that take packages of the zoo, and what each says of one: one row a partner."""

from typing import TYPE_CHECKING

from unifmir.registry import Registry

if TYPE_CHECKING:
    from unifmir.export.formats.bioimageio.partners.base import Partner

_HERE = "unifmir.export.formats.bioimageio.partners"

PARTNERS: "Registry[Partner]" = Registry(
    "partner",
    [
        ("core-0.9.6", f"{_HERE}.core_releases:CORE_0_9_6"),
        ("core-0.11.0", f"{_HERE}.core_releases:CORE_0_11_0"),
        ("bioengine", f"{_HERE}.core_releases:BIOENGINE"),
        ("ilastik", f"{_HERE}.core_releases:ILASTIK"),
        ("biapy", f"{_HERE}.biapy_check:BIAPY"),
        ("deepimagej", f"{_HERE}.deepimagej:DEEPIMAGEJ"),
        ("jdll", f"{_HERE}.jdll:JDLL"),
        ("jdll-torch", f"{_HERE}.jdll:JDLL_TORCH"),
        ("qupath", f"{_HERE}.qupath:QUPATH"),
    ],
)
