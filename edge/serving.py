"""What judges a pipeline's windows: bundle, profile and policy, exchanged when inference fails."""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path

from contract.spec import Detections, Window
from edge import gallery_file
from edge.activate import open_or_previous, open_previous
from edge.bundle import Bundle
from edge.config import PipelineConfig
from edge.errors import BundleError, ConfigError, EngineError, OutputError
from edge.gallery_file import Enrolled
from edge.healthy import HealthyWindows
from edge.pipeline import Pipeline
from edge.profile import ProfileMemory
from edge.trend import Trend

log = logging.getLogger(__name__)

_MAX_BAD = 10  # windows in a row whose output is not finite
_FORGIVEN = 1000  # windows after which a failed inference counts no more


class Serving:
    """One pipeline's model side. Not shared between threads.

    Attributes:
        bundle: in use.
        refused: why a newer bundle is not; None: there is none.
        pipeline: windows to detections.
        policy: detections to messages.
        healthy: raw windows of those the profile was learned from.
        trends: of the scores under this bundle, by level of urgency.
    """

    def __init__(
        self,
        config: PipelineConfig,
        bundle: Bundle,
        refused: str | None,
        *,
        state_dir: Path,
        base: Path,
    ) -> None:
        """Reads the profile back.

        Args:
            config: the `[[pipeline]]` table.
            bundle: verified.
            refused: why it is not a newer one.
            state_dir: where the profile is kept.
            base: folder that relative paths start from.

        Raises:
            ConfigError: the gallery is refused.
        """
        self._config = config
        self._base = base
        self._place = base / config.bundle
        self._profile = state_dir / f"{config.name}.profile.npz"
        self._state_dir = state_dir
        self._good = self._bad = self._failures = 0
        self.bundle, self.refused = bundle, refused
        self.pipeline = Pipeline(bundle.workload, bundle.engines, self._memory())
        self.policy = bundle.workload.policy(bundle.manifest.operating_point)
        self.healthy = self._healthy()
        self.trends: defaultdict[str, Trend] = defaultdict(Trend)

    def __call__(self, window: Window) -> Detections:
        """Judged detections of one window; none while the pipeline is still learning.

        Raises:
            OutputError: this window cannot be judged.
            EngineError: inference failed, or too many windows in a row could not be judged.
        """
        memory = self.pipeline.memory
        number = memory.gathered if memory.profile is None else None
        try:
            found = self.pipeline(window)
        except OutputError as error:
            self._bad += 1
            if self._bad < _MAX_BAD:
                raise
            raise EngineError(f"{self._bad} windows in a row: {error}") from error
        self._good += 1
        self._bad = 0
        if self.bundle.workload.explain is not None:
            if number is not None:
                self.healthy.keep(number, window)
            else:
                self.healthy.save_again()
        return found

    def recover(self, error: EngineError) -> None:
        """Start anew with the config's bundle; after the next failure with the one before it.

        Args:
            error: what failed.

        Raises:
            EngineError: both have failed, or there is none before it.
            BundleError: the config's bundle is refused by now, and there is none before it.
            ConfigError: people were enrolled with another model than the one that is left.
        """
        self._failures = 1 if self._good >= _FORGIVEN else self._failures + 1
        self._good = self._bad = 0
        engine, hop_s = self._config.engine, self._config.source.hop_s
        if self._failures == 1:
            log.warning("%s: %s; starting the pipeline anew", self._config.name, error)
            self._use(*open_or_previous(self._place, engine, hop_s=hop_s))
            return
        if self._failures > 2:
            raise error
        try:
            previous = open_previous(self._place, engine, hop_s=hop_s)
        except BundleError as none:
            log.error("%s: no other bundle to serve: %s", self._config.name, none)  # noqa: TRY400
            raise error from None
        log.error("%s: %s; model %s serves instead", self._config.name, error, previous.model_id)
        self._use(previous, f"inference failed: {error}"[:256])

    def _use(self, bundle: Bundle, refused: str | None) -> None:
        """Another bundle; what was learned stays where the model does, what was said always."""
        state = self.policy.state()
        memory = self.pipeline.memory
        point = bundle.manifest.operating_point
        is_same = (bundle.model_id, point) == (
            self.bundle.model_id,
            self.bundle.manifest.operating_point,
        )
        self.bundle, self.refused = bundle, refused
        memory = memory if is_same else self._memory()
        self.pipeline = Pipeline(bundle.workload, bundle.engines, memory)
        if not is_same:
            self.healthy = self._healthy()
            self.trends.clear()
        self.policy = bundle.workload.policy(point)
        self.policy.resume(state)

    def _healthy(self) -> HealthyWindows:
        memory = self.pipeline.memory
        name = f"{self._config.name}.healthy.{self.bundle.model_id}.npz"
        return HealthyWindows(
            self._state_dir / name, learned=memory.gathered, learn_windows=memory.learn_windows
        )

    def _memory(self) -> ProfileMemory:
        workload = self.bundle.workload
        return ProfileMemory(
            workload,
            self.bundle.model_id,
            self.bundle.manifest.operating_point,
            learn_windows=self._config.learn_windows or workload.learn_windows,
            path=self._profile,
            enrolled=enrolled(self._config, self.bundle, base=self._base),
            given=self.bundle.learned,
        )


def enrolled(config: PipelineConfig, bundle: Bundle, *, base: Path) -> Enrolled | None:
    """The people that a pipeline's gallery names; None: it has no gallery.

    Args:
        config: the `[[pipeline]]` table.
        bundle: that serves.
        base: folder that relative paths start from.

    Raises:
        ConfigError: the gallery or its key is refused, or the workload enrols nobody.
    """
    if config.gallery is None:
        return None
    if bundle.workload.learn is not None:
        why = f"{bundle.workload.name} learns, and enrols nobody; fix: leave it out"
        raise ConfigError(f"pipeline.gallery = {config.gallery!r}: {why}")
    return Enrolled(
        base / config.gallery,
        gallery_file.read_key(config.gallery_key, base=base, key="pipeline.gallery_key"),
        model_id=bundle.model_id,
        operating_point=bundle.manifest.operating_point,
        false_accepts_per_1000=config.false_accepts_per_1000,
    )
