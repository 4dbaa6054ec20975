"""EfficientNet-Lite0, rebuilt: its file is read without PyTorch, its outputs are as published."""

import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest
from weights_files import fetched

from training.datasets import DataError
from training.weights import EFFICIENTNET_LITE0, efficientnet_lite0, torch_pickle

pytestmark = [
    pytest.mark.training,
    # Keras and TensorFlow are behind NumPy
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:(tensorflow|keras|google|numpy)\b"),
]


@pytest.fixture(scope="module")
def tensors():
    return torch_pickle.read(fetched(EFFICIENTNET_LITE0))


def test_the_file_holds_all_weights(tensors):
    assert len(tensors) == 296
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert tensors["_blocks.15._project_conv.weight"].shape == (320, 1152, 1, 1)
    numbers = sum(t.size for name, t in tensors.items() if not name.endswith("tracked"))
    assert numbers == 4_694_024
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())
    # of a trained network none of the variances of a batch norm is that of a fresh one
    assert all((t != 1).all() for name, t in tensors.items() if name.endswith("running_var"))


def normed(x, tensors, name):
    gain = tensors[f"{name}.weight"] / np.sqrt(tensors[f"{name}.running_var"] + 1e-3)
    shift = tensors[f"{name}.bias"] - tensors[f"{name}.running_mean"] * gain
    return x * gain + shift


def test_the_first_block_is_what_the_weights_say(tensors):
    """Convolutions written out, batch norms not folded."""
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    model = efficientnet_lite0.network((32, 32, 3), last=0, is_pretrained=True)
    found = np.asarray(model(pixels))[0]
    x = np.pad((pixels[0].astype(np.float64) - 127) / 128, ((0, 1), (0, 1), (0, 0)))
    kernel = tensors["_conv_stem.weight"].astype(np.float64)
    stem = np.zeros((16, 16, 32))
    for i in range(16):
        for j in range(16):
            patch = x[2 * i : 2 * i + 3, 2 * j : 2 * j + 3].transpose(2, 0, 1)
            stem[i, j] = (kernel * patch).sum(axis=(1, 2, 3))
    stem = np.pad(normed(stem, tensors, "_bn0").clip(0, 6), ((1, 1), (1, 1), (0, 0)))
    kernel = tensors["_blocks.0._depthwise_conv.weight"][:, 0].astype(np.float64)
    deep = np.zeros((16, 16, 32))
    for i in range(16):
        for j in range(16):
            deep[i, j] = (kernel * stem[i : i + 3, j : j + 3].transpose(2, 0, 1)).sum(axis=(1, 2))
    deep = normed(deep, tensors, "_blocks.0._bn1").clip(0, 6)
    project = tensors["_blocks.0._project_conv.weight"][..., 0, 0].astype(np.float64)
    expected = normed(deep @ project.T, tensors, "_blocks.0._bn2")
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_it_knows_what_it_was_trained_on(tensors):
    """A chessboard is 'crossword puzzle' (918) or the like, never an animal (0 to 397)."""
    board = 255.0 * ((np.indices((224, 224)) // 28).sum(axis=0) % 2)
    pixels = np.repeat(board[None, ..., None], 3, axis=3).astype(np.float32)
    features = np.asarray(efficientnet_lite0.network((224, 224, 3), is_pretrained=True)(pixels))
    kernel, bias, weights, classes = efficientnet_lite0.head(tensors)
    logits = np.clip(features @ kernel + bias, 0, 6).mean(axis=(1, 2)) @ weights + classes
    assert (np.argsort(logits[0])[-3:] > 397).all()


def written(file, state, storages):
    """A file of protocol 2, its globals written by hand."""

    def opcodes(shape, strides, key, numbers, offset):
        head = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage"
        named = b"X" + struct.pack("<I", len(key)) + key.encode()
        return b"".join(
            [
                head,
                b"ctorch\nFloatStorage\n",
                named,
                b"X\x03\x00\x00\x00cpu",
                b"J" + struct.pack("<i", numbers),
                b"NtQ",
                b"J" + struct.pack("<i", offset),
                *(
                    b"(" + b"".join(b"J" + struct.pack("<i", n) for n in some) + b"t"
                    for some in (shape, strides)
                ),
                b"\x89ccollections\nOrderedDict\n)RtR",
            ]
        )

    body = b"\x80\x02ccollections\nOrderedDict\n)R("
    for name, tensor in state.items():
        body += b"X" + struct.pack("<I", len(name)) + name.encode() + opcodes(*tensor)
    body += b"u."
    parts = [pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2), pickle.dumps({}, 2)]
    raw = b"".join([*parts, body, pickle.dumps(list(storages), 2)])
    for numbers in storages.values():
        raw += struct.pack("<q", len(numbers)) + np.asarray(numbers, "<f4").tobytes()
    file.write_bytes(raw)
    return file


def test_tensors_with_any_strides_are_read(tmp_path):
    state = {"a": ((2, 3), (1, 2), "k", 8, 1), "b": ((2,), (1,), "k", 8, 0)}
    read = torch_pickle.read(written(tmp_path / "x.pth", state, {"k": range(8)}))
    np.testing.assert_array_equal(read["a"], [[1, 3, 5], [2, 4, 6]])
    np.testing.assert_array_equal(read["b"], [0, 1])


def test_what_is_no_such_file_is_refused(tmp_path):
    file = tmp_path / "x.pth"
    bad = {"a": ((2, 3), (1, 2), "k", 8, 6)}
    with pytest.raises(DataError, match=r"lies outside its storage; fix: "):
        torch_pickle.read(written(file, bad, {"k": range(8)}))
    whole = written(file, {"a": ((2,), (1,), "k", 8, 0)}, {"k": range(8)}).read_bytes()
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        with pytest.raises(DataError, match="fix: "):
            torch_pickle.read(file)
    with pytest.raises(DataError, match="No such file"):
        torch_pickle.read(tmp_path / "none.pth")


def test_a_file_that_would_run_something_is_refused(tmp_path):
    file = tmp_path / "x.pth"
    head = [pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2), pickle.dumps({}, 2)]
    file.write_bytes(b"".join(head) + b"cos\nsystem\n(X\x04\x00\x00\x00truetR.")
    with pytest.raises(DataError, match=r"it asks for os.system"):
        torch_pickle.read(file)
    file.write_bytes(b"".join(head) + pickle.dumps(OrderedDict(), 2))
    with pytest.raises(DataError):
        torch_pickle.read(file)
