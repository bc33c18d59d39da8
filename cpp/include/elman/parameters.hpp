// parameters.hpp - the architecture of a network, and its parameters in one arena.
//
//   h_t = f(W_hh h_(t-1) + W_xh x_t + b_h)      for every layer, from the bottom up
//   y_t = g(W_hy h_t + b_y)                     the readout, reading the top layer
//
// A reverse layer has h_(t+1) in place of h_(t-1). A bidirectional layer has two halves, a forward
// and a reverse one with separate weights; its output is [forward | reverse].
//
// Gradients and an optimizer's moments have the shape of parameters, and this type too.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "elman/activation.hpp"
#include "elman/aligned.hpp"
#include "elman/pause.hpp"

namespace elman {

enum class Direction { forward, reverse, bidirectional };

const char* name(Direction direction) noexcept;

// Throws std::invalid_argument, naming `argument`, for an unknown name.
Direction direction_from_name(const std::string& name, const std::string& argument);

struct LayerShape {
    Index hidden_size;                       // of each half
    Activation activation = Function::tanh;  // elementwise
    bool bias = true;
    Direction direction = Direction::forward;
    Activation reverse_activation = Function::tanh;  // of the reverse half of a bidirectional layer
    bool reverse_bias = true;                        // likewise

    bool bidirectional() const { return direction == Direction::bidirectional; }
    Index output_size() const { return bidirectional() ? 2 * hidden_size : hidden_size; }
};

struct ReadoutShape {
    Index output_size;
    Activation activation = Function::sigmoid;
    bool bias = true;
};

struct Architecture {
    Index input_size = 0;
    std::vector<LayerShape> layers;
    std::optional<ReadoutShape> readout;  // none: the output is the top layer's state
    bool initial_state = false;           // none: the state starts at zero
    bool input_mean = false;              // x' = (x - input_mean) * (1 / input_std)
    bool input_std = false;
    bool output_mean = false;  // y = y' * output_std + output_mean
    bool output_std = false;

    Index layer_input_size(std::size_t layer) const;
    Index output_size() const;
    Index state_size() const;
    Index multiply_adds() const;  // of one step
    bool runs_forward() const;    // all layers are forward: no step depends on later ones

    // The prefixes of a layer's tensor names, one per half: "layers.0.", and for the reverse half
    // "layers.0.reverse.".
    std::vector<std::string> prefixes(std::size_t layer) const;

    // Throws std::invalid_argument, naming `what` and the reason, unless runs_forward().
    void require_forward(const std::string& what, const std::string& reason) const;

    // Throws std::invalid_argument for a size below one, a misplaced activation, or activation
    // parameters that Real cannot represent.
    template <class Real>
    void check() const;

    // Throws std::invalid_argument for an activation without a gradient; see check_trainable in
    // activation.hpp.
    void check_trainable() const;
};

// A tensor in the arena: rows x cols elements in row-major order from `offset`.
struct Tensor {
    std::string name;  // as in the file: "layers.0.W_xh", "readout.b_y", "initial_state", ...
    Index rows;
    Index cols;
    bool vector;  // one-dimensional, with cols == 1
    Index offset;

    Index size() const { return rows * cols; }
};

// The tensors of an architecture, in the order of the file. Throws std::length_error if elements of
// `number_size` bytes would exceed the address space.
std::vector<Tensor> tensors_of(const Architecture& architecture, std::size_t number_size);

template <class Real>
class Parameters {
  public:
    // All zero. Throws std::length_error if the sizes exceed the address space.
    explicit Parameters(Architecture architecture);
    // Discard the object if the pause was stopped.
    Parameters(Architecture architecture, Pause& pause);
    Parameters(const Parameters& other, Pause& pause);

    const Architecture& architecture() const { return architecture_; }
    const std::vector<Tensor>& tensors() const { return tensors_; }  // in the order of the file
    Index size() const { return static_cast<Index>(arena_.size()); }

    Real* data() { return arena_.data(); }
    const Real* data() const { return arena_.data(); }

    // The elements of the tensor `name`, or null if the architecture does not have it.
    const Real* find(const std::string& name) const;

  private:
    Architecture architecture_;
    std::vector<Tensor> tensors_;
    AlignedVector<Real> arena_;
};

extern template class Parameters<float>;
extern template class Parameters<double>;

}  // namespace elman
