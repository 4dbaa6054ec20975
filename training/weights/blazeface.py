"""MediaPipe's face detectors, rebuilt in Keras from their published TFLite files.

V. Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019, and
the full-range models that followed. Each anchor gives a score (a logit) and 16 numbers in pixels of
the input: box centre x, y, width, height, then x, y of the eye at picture left, the eye at picture
right, the tip of the nose, the mouth, and two points near the ears. Centre and points are relative
to the anchor.

Only the dense full-range model survives int8 as it is: on 243 pictures its points move by 0.28
pixels of 192 on average. The sparse one moves by 2 and loses faces, and so does the one for the
back camera: what they compute where there is no face takes up the range.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contract.ops import decode
from contract.spec import Floats
from training.weights import heads, layers, tflite_graph
from training.weights.layers import Pixels

_PIXELS = Pixels(zero=127.5, span=127.5)

FULL_RANGE_SPANS, BACK_SPANS = decode.FULL_RANGE.spans, decode.BACK.spans


def model(file: Path, spans: Floats | None = None) -> Any:
    """The network of one file.

    Args:
        file: as fetched.
        spans: (2, 17) the least and the largest value of each column that matter. Each column is
            then clipped to its span and given as 0 to 6 (`heads`). Without spans the columns are
            as published.

    Returns:
        Keras model from (size, size, 3) float32 RGB pixels from 0 to 255 to (anchors, 17) float32.

    Raises:
        DataError: the file is no TFLite file, or holds operators that these detectors lack.
    """
    graph = tflite_graph.read(file)
    return layers.build(file, graph if spans is None else heads.spread(graph, spans), _PIXELS)
