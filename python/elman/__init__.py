"""Elman recurrent networks, stepped at the speed of the machine.

    h_t = tanh(W_hh h_(t-1) + W_xh x_t + b_h)
    y_t = sigmoid(W_hy h_t + b_y)

>>> import elman
>>> net = elman.Network(input_size=16, hidden_size=32, output_size=4, seed=0)
>>> net
Network(16 -> 32 tanh -> 4 sigmoid, float32, 1,700 parameters)

Importing this package imports nothing but its own modules; NumPy follows with the first array.
"""

try:
    from elman._core import available_isas, build_info, isa, set_isa
except ModuleNotFoundError as error:
    if error.name == "elman._core":
        error.add_note("elman's C++ extension is missing: was the package built (pip install .)?")
    raise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elman import plot, pure, reference, sklearn, training
    from elman._core import Stream
    from elman._loading import load
    from elman.activation import Activation
    from elman.errors import (
        ArgumentError,
        BusyError,
        DivergenceError,
        DTypeError,
        ElmanError,
        IsaError,
        LimitError,
        ModelFormatError,
        ShapeError,
        UnsupportedModelError,
        VerificationError,
    )
    from elman.initialization import EchoState, Identity
    from elman.interop.compare import compare
    from elman.interop.keras import from_keras
    from elman.interop.onnx import from_onnx
    from elman.interop.torch import from_torch
    from elman.network import Network
    from elman.ridge import ridge_readout
    from elman.training import (
        SGD,
        Adagrad,
        Adam,
        AdamW,
        RMSprop,
        backward,
        loss_and_gradients,
        train,
    )

__version__ = build_info()["version"]

__all__ = [  # noqa: RUF022
    "Activation",
    "Adagrad",
    "Adam",
    "AdamW",
    "ArgumentError",
    "BusyError",
    "DTypeError",
    "DivergenceError",
    "EchoState",
    "ElmanError",
    "Identity",
    "IsaError",
    "LimitError",
    "ModelFormatError",
    "Network",
    "RMSprop",
    "SGD",
    "ShapeError",
    "Stream",
    "UnsupportedModelError",
    "VerificationError",
    "available_isas",
    "backward",
    "build_info",
    "compare",
    "from_keras",
    "from_onnx",
    "from_torch",
    "isa",
    "load",
    "loss_and_gradients",
    "plot",
    "pure",
    "reference",
    "ridge_readout",
    "set_isa",
    "sklearn",
    "train",
    "training",
]

_HOMES = {
    "Activation": "elman.activation",
    "Network": "elman.network",
    "Stream": "elman._core",
    "load": "elman._loading",
    "Adagrad": "elman.training",
    "Adam": "elman.training",
    "AdamW": "elman.training",
    "RMSprop": "elman.training",
    "SGD": "elman.training",
    "EchoState": "elman.initialization",
    "Identity": "elman.initialization",
    "compare": "elman.interop.compare",
    "from_keras": "elman.interop.keras",
    "from_onnx": "elman.interop.onnx",
    "from_torch": "elman.interop.torch",
    "ridge_readout": "elman.ridge",
    "backward": "elman.training",
    "loss_and_gradients": "elman.training",
    "train": "elman.training",
}
_MODULES = ("plot", "pure", "reference", "sklearn", "training")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'elman' has no attribute {name!r}")
    if name in _MODULES:
        value = _import(f"elman.{name}")
    else:
        value = getattr(_import(_HOMES.get(name, "elman.errors")), name)
    globals()[name] = value
    return value


def _import(module: str) -> object:
    return __import__(module, fromlist=["*"])


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
