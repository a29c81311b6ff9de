"""Result of one time point and channel, read by boxes, as the network gives it."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from unifmir.images.base import Source
from unifmir.normalize import FloatImage
from unifmir.restoration.base import Predictor
from unifmir.restoration.geometry import Box, Size, slices
from unifmir.restoration.lazy_image import LazyRestoredImage, TileLimit
from unifmir.restoration.resampling import Resampled, View
from unifmir.restoration.sampling_levels import Level, level_view
from unifmir.restoration.tile_plan import RestorationPlan, box_of


@dataclass(frozen=True, slots=True)
class RestoredStack:
    """Restored stack in units of the normalised image; the network runs where it is read."""

    plan: RestorationPlan
    t: int
    c: int
    source: Source
    predictor: Predictor
    limit: TileLimit

    @property
    def size(self) -> Size:
        """Pixels along z, y and x."""
        return self.plan.out_shape[2:]

    def read(self, box: Box) -> FloatImage:
        """The mean over all samplings; limited to [0, 1] where the scaling says so.

        Raises
        ------
        TooLittleMemoryError
            As `LazyRestoredImage.read`.
        """
        kept = self._whole()[slices(box)] if self.plan.kept else self._computed(box)
        return kept.clip(0.0, 1.0) if self.plan.scalings[self.t][self.c].clip else kept

    def _whole(self) -> FloatImage:
        """All of a small stack, tile by tile, once."""
        memory, key = self.limit.stacks, self._key()
        if key not in memory:
            whole = np.empty(self.size, dtype=np.float32)
            for tile in self.plan.tiles_of(self.t, self.c):
                box = box_of(tile.write)
                whole[slices(box)] = self._computed(box)
            memory[key] = whole
        return memory[key]

    def _key(self) -> tuple[Hashable, ...]:
        """Tells this stack from others, and from itself in other tiles."""
        return self.t, self.c, self.plan.scalings[self.t][self.c], self.plan.tile_shape

    def _computed(self, box: Box) -> FloatImage:
        first, *others = (self._at(level) for level in self.plan.levels)
        total: FloatImage = first.read(box)
        for level in others:
            total = total + level.read(box)
        return total / np.float32(1 + len(others)) if others else total

    def _at(self, level: Level) -> View:
        """The result at one sampling, brought to the wanted one."""
        plan, t, c = self.plan, self.t, self.c
        restored: View = LazyRestoredImage(
            image=level_view(self.source, t, c, plan.base, level),
            geometry=plan.geometry,
            scaling=plan.scalings[t][c],
            predictor=self.predictor,
            limit=self.limit,
            batch=plan.batch,
            ramp=plan.ramp,
            pitch=(plan.tile_shape[2], plan.tile_shape[3], plan.tile_shape[4]),
            key=(level.size, *self._key()) if plan.ramp else None,
        )
        return restored if level.back is None else Resampled(restored, level.back)
