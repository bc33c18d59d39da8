// network.hpp - a network of either dtype, as Python holds it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <variant>

#include "arrays.hpp"
#include "elman/network.hpp"

namespace elman::python {

template <class Real>
using SharedNetwork = std::shared_ptr<const Network<Real>>;

struct AnyNetwork {
    std::variant<SharedNetwork<float>, SharedNetwork<double>> network;

    const Architecture& architecture() const {
        return std::visit([](const auto& n) -> const Architecture& { return n->architecture(); },
                          network);
    }
};

// (name, alpha, beta, clip), with None for what an activation does not have or leaves to ONNX.
using ActivationArguments =
    std::tuple<std::string, std::optional<double>, std::optional<double>, std::optional<double>>;

Activation activation_of(const ActivationArguments& arguments, const std::string& argument);

// float or double, as the network that a visitor is given.
template <class Shared>
using RealOf = std::conditional_t<std::is_same_v<Shared, SharedNetwork<float>>, float, double>;

// The work of one step: its multiply-adds, and what else it costs in terms of them.
template <class Real>
Index step_work(const Network<Real>& network) {
    return network.multiply_adds() + 512;
}

// Below this much work the interpreter's lock is kept: about 20 microseconds.
inline constexpr Index kShortWork = Index(1) << 20;

// Makes `type(...)` and `type.__new__(type)` a TypeError: such an object would hold nothing.
void forbid_construction(py::handle type);

// pybind11's own metaclass is for static properties, which there are none of.
inline py::metaclass plain_metaclass() {
    return py::metaclass(reinterpret_cast<PyObject*>(&PyType_Type));
}

void bind_network(py::module_& m);
void bind_sequence(py::class_<AnyNetwork>& network);
void bind_stream(py::module_& m);
void bind_isa(py::module_& m);
void bind_measure(py::module_& m);
void bind_training(py::module_& m);

}  // namespace elman::python
