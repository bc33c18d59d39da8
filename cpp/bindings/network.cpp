#include "network.hpp"

#include <pybind11/stl.h>

#include <map>
#include <optional>
#include <utility>

#include "elman/initialization.hpp"

namespace elman::python {
namespace {

// The tensors that were passed, by their names in the file.
class Tensors {
  public:
    explicit Tensors(const py::dict& arrays) : arrays_(arrays) {}

    bool has(const std::string& name) const { return arrays_.contains(name); }

    py::array array(const std::string& name) const {
        if (!has(name)) throw ArgumentError(name + ": expected a tensor, got none");
        return py::cast<py::array>(arrays_[py::str(name)]);
    }

    // The size of one axis of a tensor with `ndim` axes.
    Index size(const std::string& name, int ndim, int axis) const {
        const py::array tensor = array(name);
        if (tensor.ndim() != ndim)
            throw ShapeError(name + ": expected " + (ndim == 1 ? "one axis" : "two axes") +
                             ", got shape " + text(shape_of(tensor)));
        return tensor.shape(axis);
    }

  private:
    const py::dict& arrays_;
};

std::string argument_of(const char* what, std::size_t layer) {
    return what + (" of layer " + std::to_string(layer));
}

// Layers of these directions, with the activations of all halves in turn.
std::vector<LayerShape> layers_of(const std::vector<std::string>& directions,
                                  const std::vector<ActivationArguments>& activations) {
    std::vector<LayerShape> layers;
    std::size_t half = 0;
    const auto next = [&] {
        return activation_of(activations.at(half++), argument_of("activation", layers.size()));
    };
    for (const std::string& direction : directions) {
        LayerShape layer{0};
        layer.direction = direction_from_name(direction, argument_of("direction", layers.size()));
        layer.activation = next();
        if (layer.bidirectional()) layer.reverse_activation = next();
        layers.push_back(layer);
    }
    return layers;
}

void find_optional_tensors(const Tensors& tensors, Architecture& a) {
    a.initial_state = tensors.has("initial_state");
    a.input_shift = tensors.has("input_shift");
    a.input_scale = tensors.has("input_scale");
    a.output_shift = tensors.has("output_shift");
    a.output_scale = tensors.has("output_scale");
}

// The architecture that the shapes of the tensors say.
Architecture architecture_of(const Tensors& tensors, const std::vector<std::string>& directions,
                             const std::vector<ActivationArguments>& activations,
                             const std::optional<ActivationArguments>& output_activation) {
    Architecture a;
    a.input_size = tensors.size("layers.0.W_xh", 2, 1);
    a.layers = layers_of(directions, activations);
    for (std::size_t l = 0; l < a.layers.size(); ++l) {
        const std::vector<std::string> prefixes = a.prefixes(l);
        a.layers[l].hidden_size = tensors.size(prefixes[0] + "W_xh", 2, 0);
        a.layers[l].bias = tensors.has(prefixes[0] + "b_h");
        a.layers[l].reverse_bias = tensors.has(prefixes.back() + "b_h");
    }
    if (output_activation)
        a.readout = ReadoutShape{tensors.size("readout.W_hy", 2, 0),
                                 activation_of(*output_activation, "output_activation"),
                                 tensors.has("readout.b_y")};
    find_optional_tensors(tensors, a);
    return a;
}

// Copies the tensor that was passed into the arena.
template <class Real>
void fill(Parameters<Real>& parameters, const Tensor& tensor, const Tensors& tensors) {
    const Shape shape = tensor.vector ? Shape{tensor.rows} : Shape{tensor.rows, tensor.cols};
    const std::vector<Real> values =
        copy_reals<Real>(tensors.array(tensor.name), tensor.name.c_str(), shape);
    std::copy(values.begin(), values.end(), parameters.data() + tensor.offset);
}

template <class Make>
AnyNetwork for_dtype(const std::string& dtype, Make make) {
    if (dtype == "float32") return {make(float())};
    if (dtype == "float64") return {make(double())};
    throw ArgumentError("dtype: expected float32 or float64, got " + dtype);
}

AnyNetwork from_tensors(const std::string& dtype, const py::dict& arrays,
                        const std::vector<std::string>& directions,
                        const std::vector<ActivationArguments>& activations,
                        const std::optional<ActivationArguments>& output_activation) {
    const Tensors tensors(arrays);
    const Architecture architecture =
        architecture_of(tensors, directions, activations, output_activation);
    return for_dtype(dtype, [&](auto real) {
        using Real = decltype(real);
        Parameters<Real> parameters(architecture);
        for (const Tensor& tensor : parameters.tensors()) fill(parameters, tensor, tensors);
        return std::make_shared<const Network<Real>>(std::move(parameters));
    });
}

// The start of that name, with the settings that differ from its own.
Initialization initialization_of(const std::string& name,
                                 const std::map<std::string, double>& settings) {
    const auto set = [&](const char* setting, double& value) {
        const auto found = settings.find(setting);
        if (found != settings.end()) value = found->second;
    };
    if (name == "uniform") return Uniform{};
    if (name == "glorot") return Glorot{};
    if (name == "identity") {
        Identity identity;
        set("std", identity.std);
        set("scale", identity.scale);
        return identity;
    }
    if (name == "echo_state") {
        EchoState echo_state;
        set("spectral_radius", echo_state.spectral_radius);
        set("density", echo_state.density);
        set("input_limit", echo_state.input_limit);
        return echo_state;
    }
    throw ArgumentError("init: expected uniform, glorot, identity or echo_state, got '" + name +
                        "'");
}

AnyNetwork random(const std::string& dtype, Index input_size,
                  const std::vector<Index>& hidden_sizes, std::optional<Index> output_size,
                  const std::vector<std::string>& directions,
                  const std::vector<ActivationArguments>& activations,
                  const ActivationArguments& output_activation, bool bias, unsigned long long seed,
                  const py::dict& arrays, const std::string& init,
                  const std::map<std::string, double>& settings) {
    const Tensors tensors(arrays);
    Architecture a;
    a.input_size = input_size;
    a.layers = layers_of(directions, activations);
    for (std::size_t l = 0; l < a.layers.size(); ++l) {
        a.layers[l].hidden_size = hidden_sizes.at(l);
        a.layers[l].bias = a.layers[l].reverse_bias = bias;
    }
    if (output_size)
        a.readout =
            ReadoutShape{*output_size, activation_of(output_activation, "output_activation"), bias};
    find_optional_tensors(tensors, a);
    const Initialization initialization = initialization_of(init, settings);
    return for_dtype(dtype, [&](auto real) {
        using Real = decltype(real);
        Parameters<Real> parameters(a);
        initialize(parameters, initialization, seed);
        for (const Tensor& tensor : parameters.tensors())
            if (tensors.has(tensor.name)) fill(parameters, tensor, tensors);
        return std::make_shared<const Network<Real>>(std::move(parameters));
    });
}

// Read-only views into the arena, which keep the network alive.
py::dict tensors_of(const AnyNetwork& any) {
    return std::visit(
        [](const auto& network) {
            using Real = RealOf<std::decay_t<decltype(network)>>;
            const auto& parameters = network->parameters();
            py::dict tensors;
            for (const Tensor& tensor : parameters.tensors()) {
                const Shape shape =
                    tensor.vector ? Shape{tensor.rows} : Shape{tensor.rows, tensor.cols};
                const py::capsule owner(new SharedNetwork<Real>(network), [](void* shared) {
                    delete static_cast<SharedNetwork<Real>*>(shared);
                });
                py::array view = py::array_t<Real>(shape, parameters.data() + tensor.offset, owner);
                py::detail::array_proxy(view.ptr())->flags &=
                    ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
                tensors[py::str(tensor.name)] = view;
            }
            return tensors;
        },
        any.network);
}

PyObject* refuse_construction(PyTypeObject* type, PyObject*, PyObject*) {
    return PyErr_Format(PyExc_TypeError, "%s is made by elman.Network, not by its constructor",
                        type->tp_name);
}

ActivationArguments arguments_of(const Activation& a) {
    const auto some = [](bool has, double value) {
        return has ? std::optional<double>(value) : std::nullopt;
    };
    return {name(a.function), some(has_alpha(a.function), a.alpha),
            some(has_beta(a.function), a.beta), some(has_clip(a), a.clip)};
}

std::vector<ActivationArguments> activations_of(const AnyNetwork& any) {
    std::vector<ActivationArguments> activations;
    for (const LayerShape& layer : any.architecture().layers) {
        activations.push_back(arguments_of(layer.activation));
        if (layer.bidirectional()) activations.push_back(arguments_of(layer.reverse_activation));
    }
    return activations;
}

py::list directions_of(const AnyNetwork& any) {
    py::list names;
    for (const LayerShape& layer : any.architecture().layers) names.append(name(layer.direction));
    return names;
}

std::optional<ActivationArguments> output_activation_of(const AnyNetwork& any) {
    const auto& readout = any.architecture().readout;
    if (!readout) return std::nullopt;
    return arguments_of(readout->activation);
}

py::list hidden_sizes_of(const AnyNetwork& any) {
    py::list sizes;
    for (const LayerShape& layer : any.architecture().layers) sizes.append(layer.hidden_size);
    return sizes;
}

}  // namespace

Activation activation_of(const ActivationArguments& arguments, const std::string& argument) {
    const auto& [name, alpha, beta, clip] = arguments;
    return activation_from_name(name, alpha, beta, clip, argument);
}

void forbid_construction(py::handle type) {
    reinterpret_cast<PyTypeObject*>(type.ptr())->tp_new = &refuse_construction;
}

void bind_network(py::module_& m) {
    py::class_<AnyNetwork> network(m, "Network", py::is_final(), plain_metaclass(),
                                   "The core of an elman.Network: constant and packed.");
    network
        .def_static("from_tensors", &from_tensors, py::arg("dtype"), py::arg("tensors"),
                    py::arg("directions"), py::arg("activations"), py::arg("output_activation"),
                    "Build a network from tensors by their names in the file; activations has one "
                    "for each half of each layer.")
        .def_static("random", &random, py::arg("dtype"), py::arg("input_size"),
                    py::arg("hidden_sizes"), py::arg("output_size"), py::arg("directions"),
                    py::arg("activations"), py::arg("output_activation"), py::arg("bias"),
                    py::arg("seed"), py::arg("tensors"), py::arg("init") = "uniform",
                    py::arg("settings") = py::dict(),
                    "Build a network with random weights; tensors gives what is not random.")
        .def(
            "require_forward",
            [](const AnyNetwork& n, const std::string& what, const std::string& reason) {
                n.architecture().require_forward(what, reason);
            },
            py::arg("what"), py::arg("reason"), "Refuse layers that do not run forward.")
        .def("tensors", &tensors_of, "Return read-only views of all tensors by name.")
        .def_property_readonly("input_size",
                               [](const AnyNetwork& n) { return n.architecture().input_size; })
        .def_property_readonly("hidden_sizes", &hidden_sizes_of)
        .def_property_readonly("output_size",
                               [](const AnyNetwork& n) { return n.architecture().output_size(); })
        .def_property_readonly("directions", &directions_of)
        .def_property_readonly("activations", &activations_of)
        .def_property_readonly("output_activation", &output_activation_of)
        .def_property_readonly(
            "dtype", [](const AnyNetwork& n) { return n.network.index() ? "float64" : "float32"; })
        .def_property_readonly("isa", [](const AnyNetwork& n) {
            return std::visit([](const auto& shared) { return name(shared->isa()); }, n.network);
        });
    forbid_construction(network);
    bind_sequence(network);
    m.def(
        "activation",
        [](const ActivationArguments& arguments) {
            return arguments_of(activation_of(arguments, ""));
        },
        py::arg("activation"),
        "Check an activation (name, alpha, beta, clip); return it with the defaults in place.");
}

}  // namespace elman::python
