// network.hpp - a network of either dtype, as held by Python.
#pragma once

#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "arrays.hpp"
#include "elman/network.hpp"

namespace elman::python {

template <class Real>
using SharedNetwork = std::shared_ptr<const Network<Real>>;

struct AnyNetwork {
    std::variant<SharedNetwork<float>, SharedNetwork<double>> network;

    // Calls work(network) with the Network<float> or Network<double>.
    template <class Work>
    auto visit(const Work& work) const {
        return std::visit([&](const auto& shared) { return work(*shared); }, network);
    }

    const Architecture& architecture() const {
        const auto* single = std::get_if<SharedNetwork<float>>(&network);
        return single ? (*single)->architecture()
                      : std::get<SharedNetwork<double>>(network)->architecture();
    }
};

Shape shape_of(const Tensor& tensor);

// From (name, alpha, beta, clip), with None for parameters that are absent or take ONNX's default.
Activation activation_of(py::handle arguments, const std::string& argument);

// The work of one step in multiply-adds, overhead included.
template <class Real>
Index step_work(const Network<Real>& network) {
    return network.multiply_adds() + 512;
}

// Makes `type(...)` and `type.__new__(type)` raise TypeError: such an object would be empty.
void forbid_construction(py::handle type);

// pybind11's metaclass supports static properties, which are not used here.
inline py::metaclass plain_metaclass() {
    return py::metaclass(reinterpret_cast<PyObject*>(&PyType_Type));
}

// The C++ object of an instance: pybind11's get_value_and_holder() without its type lookup, as
// pybind11 does for a final class with one C++ object. Null if it was never constructed.
template <class Object>
Object* held_by(PyObject* self) {
    auto* instance = reinterpret_cast<py::detail::instance*>(self);
    return static_cast<Object*>(instance->simple_layout
                                    ? instance->simple_value_holder[0]
                                    : instance->get_value_and_holder().value_ptr());
}

void bind_network(py::module_& m);
void bind_call(py::module_& m);
void bind_sequence(py::class_<AnyNetwork>& network);
void bind_sums(py::class_<AnyNetwork>& network);
void bind_stream(py::module_& m);
void bind_pool(py::module_& m);
void bind_isa(py::module_& m);
void bind_measure(py::module_& m);
void bind_examples(py::module_& m);
void bind_gradients(py::module_& m);
void bind_trainer(py::module_& m);

}  // namespace elman::python
