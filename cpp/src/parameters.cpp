#include "elman/parameters.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <stdexcept>
#include <utility>

#include "arenas.hpp"
#include "checks.hpp"

namespace elman {
namespace {

constexpr const char* kDirectionNames[] = {"forward", "reverse", "bidirectional"};

std::string activation_of_layer(std::size_t layer) {
    return "activation of layer " + std::to_string(layer);
}

// Appends tensors to a list and counts their elements.
class Arena {
  public:
    explicit Arena(std::size_t number_size)
        : limit_(std::numeric_limits<Index>::max() / static_cast<Index>(number_size)) {}

    void matrix(const std::string& name, Index rows, Index cols) { add(name, rows, cols, false); }
    void vector(bool present, const std::string& name, Index rows) {
        if (present) add(name, rows, 1, true);
    }

    std::vector<Tensor> tensors;
    Index size = 0;

  private:
    void add(const std::string& name, Index rows, Index cols, bool is_vector) {
        if (rows > (limit_ - size) / cols)
            throw std::length_error(name + ": " + std::to_string(rows) + " x " +
                                    std::to_string(cols) +
                                    " elements are more than memory can address");
        tensors.push_back({name, rows, cols, is_vector, size});
        size += rows * cols;
    }

    Index limit_;
};

}  // namespace

std::vector<Tensor> tensors_of(const Architecture& a, std::size_t number_size) {
    Arena arena(number_size);
    for (std::size_t l = 0; l < a.layers.size(); ++l) {
        const LayerShape& layer = a.layers[l];
        bool bias = layer.bias;
        for (const std::string& prefix : a.prefixes(l)) {
            arena.matrix(prefix + "W_xh", layer.hidden_size, a.layer_input_size(l));
            arena.matrix(prefix + "W_hh", layer.hidden_size, layer.hidden_size);
            arena.vector(bias, prefix + "b_h", layer.hidden_size);
            bias = layer.reverse_bias;
        }
    }
    if (a.readout) {
        arena.matrix("readout.W_hy", a.readout->output_size, a.layers.back().output_size());
        arena.vector(a.readout->bias, "readout.b_y", a.readout->output_size);
    }
    arena.vector(a.initial_state, "initial_state", a.state_size());
    arena.vector(a.input_mean, "input_mean", a.input_size);
    arena.vector(a.input_std, "input_std", a.input_size);
    arena.vector(a.output_mean, "output_mean", a.output_size());
    arena.vector(a.output_std, "output_std", a.output_size());
    return std::move(arena.tensors);
}

const char* name(Direction direction) noexcept {
    return kDirectionNames[static_cast<int>(direction)];
}

Direction direction_from_name(const std::string& name, const std::string& argument) {
    for (int i = 0; i < 3; ++i)
        if (name == kDirectionNames[i]) return static_cast<Direction>(i);
    throw std::invalid_argument(argument + ": expected forward, reverse or bidirectional, got '" +
                                name + "'");
}

Index Architecture::layer_input_size(std::size_t layer) const {
    return layer == 0 ? input_size : layers[layer - 1].output_size();
}

Index Architecture::output_size() const {
    return readout ? readout->output_size : layers.back().output_size();
}

Index Architecture::state_size() const {
    Index size = 0;
    for (const LayerShape& layer : layers) size += layer.output_size();
    return size;
}

Index Architecture::multiply_adds() const {
    Index count = readout ? readout->output_size * layers.back().output_size() : 0;
    for (std::size_t l = 0; l < layers.size(); ++l)
        count += layers[l].output_size() * (layer_input_size(l) + layers[l].hidden_size);
    return count;
}

bool Architecture::runs_forward() const {
    return std::all_of(layers.begin(), layers.end(), [](const LayerShape& layer) {
        return layer.direction == Direction::forward;
    });
}

std::vector<std::string> Architecture::prefixes(std::size_t layer) const {
    std::vector<std::string> prefixes{"layers." + std::to_string(layer) + "."};
    if (layers[layer].bidirectional()) prefixes.push_back(prefixes[0] + "reverse.");
    return prefixes;
}

void Architecture::require_forward(const std::string& what, const std::string& reason) const {
    for (std::size_t l = 0; l < layers.size(); ++l)
        if (layers[l].direction != Direction::forward)
            refuse(what, "layers that all run forward (" + reason + ")",
                   "layer " + std::to_string(l) + " '" + name(layers[l].direction) + "'");
}

template <class Real>
void Architecture::check() const {
    check_at_least("input_size", 1, input_size);
    if (layers.empty()) refuse("layers", "at least 1", "none");
    for (std::size_t l = 0; l < layers.size(); ++l) {
        const std::string size = "hidden_size of layer " + std::to_string(l);
        check_at_least(size.c_str(), 1, layers[l].hidden_size);
        for (const Activation& activation : {layers[l].activation, layers[l].reverse_activation}) {
            if (!is_elementwise(activation.function))
                refuse(activation_of_layer(l), "an elementwise function",
                       std::string("'") + name(activation.function) +
                           "'; use it as output_activation");
            check_numbers<Real>(activation, activation_of_layer(l));
        }
    }
    if (!readout) return;
    check_at_least("output_size", 1, readout->output_size);
    check_numbers<Real>(readout->activation, "output_activation");
}

void Architecture::check_trainable() const {
    for (std::size_t l = 0; l < layers.size(); ++l)
        elman::check_trainable(layers[l].activation, activation_of_layer(l));
    if (readout) elman::check_trainable(readout->activation, "output_activation");
}

template <class Real>
Parameters<Real>::Parameters(Architecture architecture)
    : Parameters(std::move(architecture), *std::make_unique<Pause>()) {}

template <class Real>
Parameters<Real>::Parameters(Architecture architecture, Pause& pause)
    : architecture_(std::move(architecture)) {
    architecture_.check<Real>();
    tensors_ = tensors_of(architecture_, sizeof(Real));
    const Tensor& last = tensors_.back();
    arena_ = zeros<Real>(last.offset + last.size(), pause);
}

template <class Real>
Parameters<Real>::Parameters(const Parameters& other, Pause& pause)
    : architecture_(other.architecture_),
      tensors_(other.tensors_),
      arena_(copy_of(other.data(), other.size(), pause)) {}

template <class Real>
const Real* Parameters<Real>::find(const std::string& name) const {
    for (const Tensor& tensor : tensors_)
        if (tensor.name == name) return data() + tensor.offset;
    return nullptr;
}

template class Parameters<float>;
template class Parameters<double>;

}  // namespace elman
