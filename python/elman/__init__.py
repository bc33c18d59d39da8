"""Elman recurrent networks with a C++ core: streaming, whole sequences, training.

    h_t = tanh(W_hh h_(t-1) + W_xh x_t + b_h)
    y_t = sigmoid(W_hy h_t + b_y)

>>> import elman
>>> net = elman.Network(input_size=16, hidden_size=32, output_size=4, seed=0)
>>> net
Network(16 -> 32 tanh -> 4 sigmoid, float32, 1,700 parameters)

Importing this package imports only its own modules; NumPy is imported with the first array.
"""

try:
    from elman._core import available_isas as available_isas
    from elman._core import build_info as build_info
    from elman._core import isa as isa
    from elman._core import set_isa as set_isa
except ModuleNotFoundError as error:
    if error.name == "elman._core":
        error.add_note("elman's C++ extension is missing: was the package built (pip install .)?")
    raise

# For type checkers, which treat a name imported as itself as public.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from elman import dask as dask
    from elman import dynamics as dynamics
    from elman import errors as errors
    from elman import plot as plot
    from elman import pure as pure
    from elman import ray as ray
    from elman import reference as reference
    from elman import sklearn as sklearn
    from elman import trace as trace
    from elman import training as training
    from elman import views as views
    from elman._compare import Comparison as Comparison
    from elman._compare import compare as compare
    from elman._core import Stream as Stream
    from elman._core import StreamPool as StreamPool
    from elman._isa import use_isa as use_isa
    from elman._loading import load as load
    from elman._network import Network as Network
    from elman._parameters import Layer as Layer
    from elman._parameters import Readout as Readout
    from elman._run import Run as Run
    from elman._table import Table as Table
    from elman.activation import Activation as Activation
    from elman.errors import ArgumentError as ArgumentError
    from elman.errors import ArgumentTypeError as ArgumentTypeError
    from elman.errors import BusyError as BusyError
    from elman.errors import DivergenceError as DivergenceError
    from elman.errors import DTypeError as DTypeError
    from elman.errors import ElmanError as ElmanError
    from elman.errors import IsaError as IsaError
    from elman.errors import LimitError as LimitError
    from elman.errors import ModelFormatError as ModelFormatError
    from elman.errors import ScalingWarning as ScalingWarning
    from elman.errors import ShapeError as ShapeError
    from elman.errors import TableError as TableError
    from elman.errors import UnsupportedModelError as UnsupportedModelError
    from elman.errors import VerificationError as VerificationError
    from elman.files.frame import Frame as Frame
    from elman.files.parts import FilesRun as FilesRun
    from elman.files.parts import Progress as Progress
    from elman.files.reading import read_table as read_table
    from elman.files.running import run_table as run_table
    from elman.files.stored import run_files as run_files
    from elman.forecasting.ahead import Forecast as Forecast
    from elman.forecasting.ahead import forecast as forecast
    from elman.forecasting.linear import linear_start as linear_start
    from elman.gradients import Gradients as Gradients
    from elman.initialization import EchoState as EchoState
    from elman.initialization import Identity as Identity
    from elman.interop.keras import from_keras as from_keras
    from elman.interop.keras.writing import to_keras as to_keras
    from elman.interop.onnx import from_onnx as from_onnx
    from elman.interop.onnx import to_onnx as to_onnx
    from elman.interop.state_dict import state_dict as state_dict
    from elman.interop.torch import from_torch as from_torch
    from elman.interop.torch.writing import TorchModules as TorchModules
    from elman.interop.torch.writing import to_torch as to_torch
    from elman.reference import VerificationReport as VerificationReport
    from elman.ridge import ridge_readout as ridge_readout
    from elman.trace import Trace as Trace
    from elman.training import SGD as SGD
    from elman.training import Adagrad as Adagrad
    from elman.training import Adam as Adam
    from elman.training import AdamW as AdamW
    from elman.training import Epoch as Epoch
    from elman.training import History as History
    from elman.training import RMSprop as RMSprop
    from elman.training import StopTraining as StopTraining
    from elman.training import Trainer as Trainer
    from elman.training import TrainResult as TrainResult
    from elman.training import backward as backward
    from elman.training import loss_and_gradients as loss_and_gradients
    from elman.training import train as train

__version__ = build_info()["version"]

# Every public name and its module, which is imported when the name is first used.
_HOMES = {
    "Activation": "elman.activation",
    "Adagrad": "elman.training",
    "Adam": "elman.training",
    "AdamW": "elman.training",
    "ArgumentError": "elman.errors",
    "ArgumentTypeError": "elman.errors",
    "BusyError": "elman.errors",
    "Comparison": "elman._compare",
    "DTypeError": "elman.errors",
    "DivergenceError": "elman.errors",
    "EchoState": "elman.initialization",
    "ElmanError": "elman.errors",
    "Epoch": "elman.training",
    "FilesRun": "elman.files.parts",
    "Forecast": "elman.forecasting.ahead",
    "Frame": "elman.files.frame",
    "Gradients": "elman.gradients",
    "History": "elman.training",
    "Identity": "elman.initialization",
    "IsaError": "elman.errors",
    "Layer": "elman._parameters",
    "LimitError": "elman.errors",
    "ModelFormatError": "elman.errors",
    "Network": "elman._network",
    "Progress": "elman.files.parts",
    "RMSprop": "elman.training",
    "Readout": "elman._parameters",
    "Run": "elman._run",
    "SGD": "elman.training",
    "ScalingWarning": "elman.errors",
    "ShapeError": "elman.errors",
    "StopTraining": "elman.training",
    "Stream": "elman._core",
    "StreamPool": "elman._core",
    "Table": "elman._table",
    "TableError": "elman.errors",
    "TorchModules": "elman.interop.torch.writing",
    "Trace": "elman.trace",
    "TrainResult": "elman.training",
    "Trainer": "elman.training",
    "UnsupportedModelError": "elman.errors",
    "VerificationError": "elman.errors",
    "VerificationReport": "elman.reference",
    "available_isas": "elman._core",
    "backward": "elman.training",
    "build_info": "elman._core",
    "compare": "elman._compare",
    "dynamics": "elman.dynamics",
    "errors": "elman.errors",
    "forecast": "elman.forecasting.ahead",
    "from_keras": "elman.interop.keras",
    "from_onnx": "elman.interop.onnx",
    "from_torch": "elman.interop.torch",
    "isa": "elman._core",
    "linear_start": "elman.forecasting.linear",
    "load": "elman._loading",
    "loss_and_gradients": "elman.training",
    "pure": "elman.pure",
    "read_table": "elman.files.reading",
    "reference": "elman.reference",
    "ridge_readout": "elman.ridge",
    "run_files": "elman.files.stored",
    "run_table": "elman.files.running",
    "set_isa": "elman._core",
    "state_dict": "elman.interop.state_dict",
    "to_keras": "elman.interop.keras.writing",
    "to_onnx": "elman.interop.onnx",
    "to_torch": "elman.interop.torch.writing",
    "trace": "elman.trace",
    "train": "elman.training",
    "training": "elman.training",
    "use_isa": "elman._isa",
    "views": "elman.views",
}
# Modules that need an extra: imported on use, but not listed for `import *`, `dir` and `help`.
_EXTRAS = {name: f"elman.{name}" for name in ("dask", "plot", "ray", "sklearn")}

if not TYPE_CHECKING:  # which cannot evaluate it
    __all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    home = _HOMES.get(name) or _EXTRAS.get(name)
    if home is None:
        said = f"module 'elman' has no attribute {name!r}"
        if not name.startswith("_"):  # not an import of a private module, which asks here first
            said += __import__("elman._foreign", fromlist=["*"]).of_module(name)
        raise AttributeError(said)
    module = __import__(home, fromlist=["*"])
    value = module if home == f"elman.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*_HOMES, "__version__"]
