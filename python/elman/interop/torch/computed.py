"""Weights that PyTorch computes from other tensors: normalized, orthogonal and pruned ones.

A state_dict holds `weight_orig` and `weight_mask` of a pruned weight; `weight_g` and `weight_v`, or
`parametrizations.weight.original0` and `original1`, of weight_norm; and so on. The value is that of
evaluation mode, computed in float64 and rounded once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman.errors import (
    ArgumentError,
    DTypeError,
    ElmanError,
    ShapeError,
    UnsupportedModelError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from elman._typing import Array

REMEDY = (
    "make it a plain weight in PyTorch with torch.nn.utils.parametrize.remove_parametrizations"
    " (torch.nn.utils.prune.remove for a pruned one), or pass the module itself"
)

# by the endings of the tensors: what computes the weight from them, and their roles in it
_FORMS = {
    frozenset(roles): (form, roles)
    for form, roles in (
        ("pruned", {"_orig": "weight", "_mask": "mask"}),
        ("weight_norm", {"_g": "g", "_v": "v"}),
        ("weight_norm", {".original0": "g", ".original1": "v"}),
        ("spectral_norm", {"_orig": "weight", "_u": "u", "_v": "v"}),
        ("spectral_norm", {".original": "weight", ".0._u": "u", ".0._v": "v"}),
    )
}
_OLD = re.compile(r"(?:(.*)\.)?((?:weight|bias)\w*?)(_orig|_mask|_g|_u|_v)", re.DOTALL)
_NEW = re.compile(r"(?:(.*)\.)?parametrizations\.([^.]+)(\.original[01]?|\.\d+\..+)", re.DOTALL)


class Computed(NamedTuple):
    """A weight that is computed from other tensors, by the endings of their names."""

    name: str  # of the weight
    tensors: dict[str, Any]
    sources: tuple[str, ...]  # the names of the tensors
    value: Any = None  # as PyTorch computed it
    how: str | None = None  # what made the value, if not PyTorch

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the weight."""
        if self.value is not None:
            return tuple(self.value.shape)
        return max((tuple(tensor.shape) for tensor in self.tensors.values()), key=len)

    @property
    def note(self) -> str:
        """What computes the weight."""
        if self.how is not None:
            return self.how
        if self.value is not None:
            return "the value of the parametrized weight"
        form, _ = _FORMS.get(frozenset(self.tensors), ("", {}))
        return "times its mask" if form == "pruned" else f"{form}, computed in float64"

    def array(self) -> Array:
        """Return the weight."""
        if self.value is not None:
            return array_of(self.name, self.value)
        form, roles = _FORMS.get(frozenset(self.tensors), ("", {}))
        if not form:
            raise UnsupportedModelError(
                f"{self.name}: expected a weight, got {' and '.join(self.sources[:3])}, from which"
                f" a function that is not stored with them computes it: {REMEDY}"
            )
        arrays = {
            roles[ending]: array_of(name, tensor)
            for name, (ending, tensor) in zip(self.sources, self.tensors.items(), strict=True)
        }
        kind = next(array.dtype for role, array in arrays.items() if role in ("weight", "v"))
        wide = {role: array.astype("f8") for role, array in arrays.items()}
        try:
            with np.errstate(all="ignore"):  # numbers that are not finite are refused later
                result = _VALUES[form](self.name, **wide)
        except ValueError as error:
            if isinstance(error, ElmanError):
                raise
            shapes = ", ".join(str(array.shape) for array in arrays.values())
            raise ShapeError(
                f"{self.name}: expected the tensors of {form}, got the shapes {shapes}"
            ) from None
        return np.asarray(result, kind)


def array_of(name: str, tensor: Any) -> Array:
    """Return a tensor as an array, bfloat16 as float32."""
    if isinstance(tensor, Computed):
        return tensor.array()
    try:
        if hasattr(tensor, "detach"):
            tensor = tensor.detach().cpu()
            tensor = tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor
        array = np.asarray(tensor)
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"{name}: {error}") from None
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ArgumentError(f"{name}: expected a dense numeric tensor ({reason})") from error
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.dtype.kind != "f":
        raise DTypeError(f"{name}: expected a floating-point tensor, got {array.dtype}")
    return array


def resolved(tensors: Mapping[str, Any], values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return tensors by name, with a `Computed` in place of the tensors that it is computed from.

    `values` holds the weights that PyTorch has computed, by their names.
    """
    groups: dict[str, dict[str, str]] = {}  # the names of tensors, by weight and ending
    for name in tensors:
        match = _NEW.fullmatch(name) or _OLD.fullmatch(name)
        if match:
            weight = f"{match[1]}.{match[2]}" if match[1] else match[2]
            groups.setdefault(weight, {})[match[3]] = name
    groups = {weight: names for weight, names in groups.items() if _is_computed(names)}
    computed = {name: weight for weight, names in groups.items() for name in names.values()}
    result: dict[str, Any] = {}
    for name, tensor in tensors.items():
        weight = computed.get(name, name)
        if weight == name:
            result.setdefault(name, tensor)
        elif not isinstance(result.get(weight), Computed):
            names = groups[weight]
            result[weight] = Computed(
                weight,
                {ending: tensors[source] for ending, source in names.items()},
                tuple(names.values()),
                (values or {}).get(weight),
            )
    return result


def _is_computed(names: Mapping[str, str]) -> bool:
    """Return whether tensors with these endings are those of one computed weight."""
    new = any(ending.startswith(".original") for ending in names)
    return new or frozenset(names) in _FORMS or "_orig" in names


def _weight_norm(name: str, g: Array, v: Array) -> Array:
    """Return v g / |v|, with the norm over the axes that g does not have."""
    if g.ndim not in (0, v.ndim):
        raise ShapeError(f"{name}: expected g with {v.ndim} axes, as v, got {g.shape}")
    axes = tuple(axis for axis in range(v.ndim) if g.ndim == 0 or g.shape[axis] == 1)
    norm = np.sqrt(np.square(v).sum(axis=axes, keepdims=True))
    result: Array = v * (g / norm)
    return result


def _spectral_norm(name: str, weight: Array, u: Array, v: Array) -> Array:
    """Return weight / (u^T weight v), with weight transposed if the sizes say dim=1."""
    H, I = weight.shape
    if H == I:  # the last step of the power iteration gave u = W v, or v = W^T u, up to their size
        fit, turned = (max(_angle(u, W @ v), _angle(v, W.T @ u)) for W in (weight, weight.T))
        if turned > max(fit + 1e-6, 0.9):
            raise UnsupportedModelError(
                f"{name}: expected spectral_norm with dim=0, got vectors as of dim=1: {REMEDY}"
            )
    matrix = weight if u.shape == (H,) else weight.T
    result: Array = weight / np.dot(u, matrix @ v)
    return result


def _angle(a: Array, b: Array) -> float:
    """Return the cosine of the angle between two vectors."""
    norms = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return abs(float(a @ b)) / norms if norms else 0.0


_VALUES: dict[str, Callable[..., Array]] = {
    "pruned": lambda name, weight, mask: weight * mask,
    "weight_norm": _weight_norm,
    "spectral_norm": _spectral_norm,
}
