"""MediaPipe's face mesh, rebuilt and reduced: compared with its own file run by LiteRT."""

import numpy as np
import pytest
from weights_files import fetched

from contract.ops import decode, drawn, image
from training.datasets import DataError
from training.weights import BACK, FACE_MESH, face_mesh

pytestmark = [
    pytest.mark.training,
    # Keras and TensorFlow are behind NumPy
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:(tensorflow|keras|google|numpy)\b"),
]

SIZE = decode.MESH.size


@pytest.fixture(scope="module")
def squares():
    """(n, 192, 192, 3) float32 pixels: drawn faces, noise, black and white."""
    rng = np.random.default_rng(0)
    made = [image.letterbox(drawn.face(seed), size=SIZE) for seed in range(3)]
    made += [rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.float32) for _ in range(2)]
    made += [np.full((SIZE, SIZE, 3), grey, np.float32) for grey in (0, 255)]
    return np.stack(made)


@pytest.fixture(scope="module")
def published(squares):
    """What the file itself gives: (n,) logits and (n, 468, 2) points."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(fetched(FACE_MESH)), num_threads=1)
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    ends = sorted(interpreter.get_output_details(), key=lambda end: end["shape"][-1])
    logits, points = [], []
    for pixels in squares:
        interpreter.set_tensor(given["index"], pixels[None] / np.float32(255))
        interpreter.invoke()
        logits.append(interpreter.get_tensor(ends[0]["index"]).item())
        points.append(interpreter.get_tensor(ends[1]["index"]).reshape(-1, 3)[:, :2])
    return np.array(logits), np.stack(points)


def test_it_gives_the_means_of_the_points_of_the_file(squares, published):
    logits, points = published
    found = face_mesh.model(fetched(FACE_MESH)).predict(squares, verbose=0)
    assert found.shape == (len(squares), 1, 17)
    assert np.abs(found[:, 0, 0] - logits).max() < 1e-3
    for i, group in enumerate(face_mesh.GROUPS):
        mean = points[:, list(group)].mean(axis=1)
        assert np.abs(found[:, 0, 1 + 2 * i : 3 + 2 * i] - mean).max() < 1e-3


def test_spread_it_says_the_same_of_faces(squares, published):
    logits, points = published
    rows = face_mesh.model(fetched(FACE_MESH), decode.MESH.spans).predict(squares, verbose=0)
    assert rows.min() >= 0
    assert rows.max() <= decode.TOP
    is_face = logits > 0
    assert is_face.any()
    assert not is_face.all()
    for row, of_file, face in zip(rows, points, is_face, strict=True):
        score, placed = decode.placed(row[0])
        assert (score > 0.5) == face
        if face:
            eyes = [of_file[list(face_mesh.GROUPS[i])].mean(axis=0) for i in (4, 5)]
            assert np.abs(placed[4:6] - eyes).max() < 0.01


def test_the_file_of_another_network_is_refused():
    with pytest.raises(DataError, match="fix"):
        face_mesh.model(fetched(BACK))
