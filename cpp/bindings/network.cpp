#include "network.hpp"

#include <optional>
#include <utility>

#include "elman/initialization.hpp"
#include "unlocked.hpp"

namespace elman::python {
namespace {

// The given tensors, by their names in the file.
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

// Layers with these directions; the activations are those of all halves in order.
std::vector<LayerShape> layers_of(const py::sequence& directions, const py::sequence& activations) {
    std::vector<LayerShape> layers;
    std::size_t half = 0;
    const auto next = [&] {
        if (half >= activations.size())
            throw ArgumentError("activations: expected one per half, got too few");
        return activation_of(activations[half++], argument_of("activation", layers.size()));
    };
    for (py::handle direction : directions) {
        LayerShape layer{0};
        layer.direction = direction_from_name(py::cast<std::string>(direction),
                                              argument_of("direction", layers.size()));
        layer.activation = next();
        if (layer.bidirectional()) layer.reverse_activation = next();
        layers.push_back(layer);
    }
    return layers;
}

void find_optional_tensors(const Tensors& tensors, Architecture& a) {
    a.initial_state = tensors.has("initial_state");
    a.input_mean = tensors.has("input_mean");
    a.input_std = tensors.has("input_std");
    a.output_mean = tensors.has("output_mean");
    a.output_std = tensors.has("output_std");
}

// The architecture implied by the shapes of the tensors.
Architecture architecture_of(const Tensors& tensors, const py::sequence& directions,
                             const py::sequence& activations, py::handle output_activation) {
    Architecture a;
    a.input_size = tensors.size("layers.0.W_xh", 2, 1);
    a.layers = layers_of(directions, activations);
    for (std::size_t l = 0; l < a.layers.size(); ++l) {
        const std::vector<std::string> prefixes = a.prefixes(l);
        a.layers[l].hidden_size = tensors.size(prefixes[0] + "W_xh", 2, 0);
        a.layers[l].bias = tensors.has(prefixes[0] + "b_h");
        a.layers[l].reverse_bias = tensors.has(prefixes.back() + "b_h");
    }
    if (!output_activation.is_none())
        a.readout = ReadoutShape{tensors.size("readout.W_hy", 2, 0),
                                 activation_of(output_activation, "output_activation"),
                                 tensors.has("readout.b_y")};
    find_optional_tensors(tensors, a);
    return a;
}

template <class Real>
Parameters<Real> zeros_of(const Architecture& architecture) {
    architecture.check<Real>();
    const Tensor last = tensors_of(architecture, sizeof(Real)).back();
    Polled polled(work_of(last.offset + last.size(), kNumberWork));
    Parameters<Real> parameters(architecture, polled.pause());
    polled.finish();
    return parameters;
}

// Copies the given tensors into the arena: `all` of the architecture's, or only those present.
template <class Real>
void fill(Parameters<Real>& parameters, const Tensors& tensors, bool all) {
    for (const Tensor& tensor : parameters.tensors()) {
        if (!all && !tensors.has(tensor.name)) continue;
        copy_into(as_real<Real>(tensors.array(tensor.name), tensor.name.c_str(), shape_of(tensor)),
                  parameters.data() + tensor.offset);
    }
}

// Packs the parameters.
template <class Real>
AnyNetwork network_of(Parameters<Real> parameters) {
    Polled polled(work_of(parameters.size(), kNumberWork));
    auto network =
        std::make_shared<const Network<Real>>(std::move(parameters), elman::isa(), polled.pause());
    polled.finish();
    return {network};
}

bool is_double(const std::string& dtype) {
    if (dtype == "float32" || dtype == "float64") return dtype == "float64";
    throw ArgumentError("dtype: expected float32 or float64, got " + dtype);
}

template <class Real>
AnyNetwork given(const Architecture& architecture, const Tensors& tensors) {
    Parameters<Real> parameters = zeros_of<Real>(architecture);
    fill(parameters, tensors, true);
    return network_of(std::move(parameters));
}

AnyNetwork from_tensors(const std::string& dtype, const py::dict& arrays,
                        const py::sequence& directions, const py::sequence& activations,
                        py::handle output_activation) {
    const Tensors tensors(arrays);
    const Architecture a = architecture_of(tensors, directions, activations, output_activation);
    return is_double(dtype) ? given<double>(a, tensors) : given<float>(a, tensors);
}

// The initializer of this name, with the given settings.
Initialization initialization_of(const std::string& name, const py::dict& settings) {
    const auto set = [&](const char* setting, double& value) {
        if (settings.contains(setting)) value = py::cast<double>(settings[setting]);
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

template <class Real>
AnyNetwork started(const Architecture& architecture, const Initialization& initialization,
                   unsigned long long seed, const Tensors& tensors) {
    Parameters<Real> parameters = zeros_of<Real>(architecture);
    {
        // An orthogonal matrix or a spectral radius costs more than linear time; this is a lower
        // bound.
        Polled polled(work_of(parameters.size(), 64));
        initialize(parameters, initialization, seed, polled.pause());
        polled.finish();
    }
    fill(parameters, tensors, false);
    return network_of(std::move(parameters));
}

AnyNetwork random_network(const std::string& dtype, Index input_size,
                          const py::sequence& hidden_sizes, py::handle output_size,
                          const py::sequence& directions, const py::sequence& activations,
                          py::handle output_activation, bool bias, unsigned long long seed,
                          const py::dict& arrays, const std::string& init,
                          const py::dict& settings) {
    const Tensors tensors(arrays);
    Architecture a;
    a.input_size = input_size;
    a.layers = layers_of(directions, activations);
    if (hidden_sizes.size() != a.layers.size())
        throw ArgumentError("hidden_sizes: expected one per layer, got " +
                            std::to_string(hidden_sizes.size()));
    for (std::size_t l = 0; l < a.layers.size(); ++l) {
        a.layers[l].hidden_size = py::cast<Index>(hidden_sizes[l]);
        a.layers[l].bias = a.layers[l].reverse_bias = bias;
    }
    if (!output_size.is_none())
        a.readout = ReadoutShape{py::cast<Index>(output_size),
                                 activation_of(output_activation, "output_activation"), bias};
    find_optional_tensors(tensors, a);
    const Initialization initialization = initialization_of(init, settings);
    return is_double(dtype) ? started<double>(a, initialization, seed, tensors)
                            : started<float>(a, initialization, seed, tensors);
}

// Read-only views into the arena, which keep the network alive.
template <class Real>
py::dict tensors_of(const SharedNetwork<Real>& network) {
    const py::capsule owner(new SharedNetwork<Real>(network),
                            [](void* shared) { delete static_cast<SharedNetwork<Real>*>(shared); });
    const Parameters<Real>& parameters = network->parameters();
    py::dict tensors;
    for (const Tensor& tensor : parameters.tensors())
        tensors[py::str(tensor.name)] =
            read_only_array<Real>(shape_of(tensor), parameters.data() + tensor.offset, owner);
    return tensors;
}

PyObject* refuse_construction(PyTypeObject* type, PyObject*, PyObject*) {
    return PyErr_Format(PyExc_TypeError, "%s has no public constructor", type->tp_name);
}

py::tuple arguments_of(const Activation& a) {
    const auto some = [](bool has, double value) -> py::object {
        return has ? py::object(py::float_(value)) : py::none();
    };
    return py::make_tuple(name(a.function), some(has_alpha(a.function), a.alpha),
                          some(has_beta(a.function), a.beta), some(has_clip(a), a.clip));
}

py::list activations_of(const AnyNetwork& any) {
    py::list activations;
    for (const LayerShape& layer : any.architecture().layers) {
        activations.append(arguments_of(layer.activation));
        if (layer.bidirectional()) activations.append(arguments_of(layer.reverse_activation));
    }
    return activations;
}

py::list directions_of(const AnyNetwork& any) {
    py::list names;
    for (const LayerShape& layer : any.architecture().layers) names.append(name(layer.direction));
    return names;
}

py::object output_activation_of(const AnyNetwork& any) {
    const auto& readout = any.architecture().readout;
    if (!readout) return py::none();
    return arguments_of(readout->activation);
}

py::list hidden_sizes_of(const AnyNetwork& any) {
    py::list sizes;
    for (const LayerShape& layer : any.architecture().layers) sizes.append(layer.hidden_size);
    return sizes;
}

}  // namespace

Shape shape_of(const Tensor& tensor) {
    return tensor.vector ? Shape{tensor.rows} : Shape{tensor.rows, tensor.cols};
}

Activation activation_of(py::handle arguments, const std::string& argument) {
    const auto number = [](const py::object& value) {
        return value.is_none() ? std::nullopt : std::optional<double>(py::cast<double>(value));
    };
    std::string function;
    std::optional<double> alpha, beta, clip;
    try {
        const auto fields = py::cast<py::tuple>(arguments);
        function = py::cast<std::string>(fields[0]);
        alpha = number(fields[1]);
        beta = number(fields[2]);
        clip = number(fields[3]);
    } catch (const py::cast_error&) {
        throw py::type_error("activation: expected (name, alpha, beta, clip), got " +
                             shown(arguments));
    }
    return activation_from_name(function, alpha, beta, clip, argument);
}

void forbid_construction(py::handle type) {
    reinterpret_cast<PyTypeObject*>(type.ptr())->tp_new = &refuse_construction;
}

void bind_network(py::module_& m) {  // NOLINT(readability-function-size): a list
    py::class_<AnyNetwork> network(m, "Network", py::is_final(), plain_metaclass(),
                                   "The core of an elman.Network: immutable and packed.");
    network
        .def_static("from_tensors", &from_tensors, py::arg("dtype"), py::arg("tensors"),
                    py::arg("directions"), py::arg("activations"), py::arg("output_activation"),
                    "Return a network of these tensors, keyed by their names in the file; "
                    "activations has one entry per half of a layer.")
        .def_static("random", &random_network, py::arg("dtype"), py::arg("input_size"),
                    py::arg("hidden_sizes"), py::arg("output_size"), py::arg("directions"),
                    py::arg("activations"), py::arg("output_activation"), py::arg("bias"),
                    py::arg("seed"), py::arg("tensors"), py::arg("init") = "uniform",
                    py::arg("settings") = py::dict(),
                    "Return a network with random weights, except for the given tensors.")
        .def(
            "require_forward",
            [](const AnyNetwork& n, const std::string& what, const std::string& reason) {
                n.architecture().require_forward(what, reason);
            },
            py::arg("what"), py::arg("reason"), "Raise an error if a layer does not run forward.")
        .def(
            "tensors",
            [](const AnyNetwork& any) {
                return std::visit([](const auto& n) { return tensors_of(n); }, any.network);
            },
            "Return read-only views of all tensors by name.")
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
        .def_property_readonly("nbytes",
                               [](const AnyNetwork& any) {
                                   return any.visit([](const auto& n) { return n.bytes(); });
                               })
        .def_property_readonly("isa", [](const AnyNetwork& any) {
            return any.visit([](const auto& n) { return name(n.isa()); });
        });
    forbid_construction(network);
    bind_sequence(network);
    bind_sums(network);
    m.def(
        "activation",
        [](py::handle arguments) { return arguments_of(activation_of(arguments, "")); },
        py::arg("activation"),
        "Check an activation (name, alpha, beta, clip) and return it with defaults filled in.");
}

}  // namespace elman::python
