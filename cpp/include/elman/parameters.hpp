// parameters.hpp - what a network is made of: its architecture, and one arena with all its numbers.
//
//   h_t = f(W_hh h_(t-1) + W_xh x_t + b_h)      for every layer, from the bottom up
//   y_t = g(W_hy h_t + b_y)                     the readout, reading the top layer
//
// A layer that runs in reverse has h_(t+1) in place of h_(t-1). A bidirectional one has two halves,
// one of each kind and each with weights of its own, and gives [forward | reverse].
//
// Gradients and an optimizer's moments have the shape of parameters, so they have this type too.
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

// Throws std::invalid_argument, naming `argument`, for a name that is none of the three.
Direction direction_from_name(const std::string& name, const std::string& argument);

struct LayerShape {
    Index hidden_size;                       // of each half
    Activation activation = Function::tanh;  // any but softmax
    bool bias = true;
    Direction direction = Direction::forward;
    Activation reverse_activation = Function::tanh;  // of a bidirectional layer's second half
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
    bool runs_forward() const;    // all layers do, so that a step needs nothing of later ones

    // The beginning of the names of a layer's tensors, for each of its halves: "layers.0.", and
    // "layers.0.reverse." for the second one.
    std::vector<std::string> prefixes(std::size_t layer) const;

    // Throws std::invalid_argument, naming `what` needs it and the reason, unless runs_forward().
    void require_forward(const std::string& what, const std::string& reason) const;

    // Throws std::invalid_argument for a size below one, an activation in the wrong place, or
    // numbers of one that Real does not hold.
    template <class Real>
    void check() const;

    // Throws std::invalid_argument for an activation without a gradient: check_trainable.
    void check_trainable() const;
};

// One tensor of the arena: `rows` x `cols` numbers, row by row, from `offset`.
struct Tensor {
    std::string name;  // as in the file: "layers.0.W_xh", "readout.b_y", "initial_state", ...
    Index rows;
    Index cols;
    bool vector;  // one-dimensional, with cols == 1
    Index offset;

    Index size() const { return rows * cols; }
};

// The tensors of an architecture, in the order of the file. Throws std::length_error if numbers of
// `number_size` bytes would be more than memory can address.
std::vector<Tensor> tensors_of(const Architecture& architecture, std::size_t number_size);

template <class Real>
class Parameters {
  public:
    // All zero. Throws std::length_error if the sizes multiply beyond what memory can address.
    explicit Parameters(Architecture architecture);
    // To be thrown away if the pause was stopped.
    Parameters(Architecture architecture, Pause& pause);
    Parameters(const Parameters& other, Pause& pause);

    const Architecture& architecture() const { return architecture_; }
    const std::vector<Tensor>& tensors() const { return tensors_; }  // in the order of the file
    Index size() const { return static_cast<Index>(arena_.size()); }

    Real* data() { return arena_.data(); }
    const Real* data() const { return arena_.data(); }

    // The numbers of the tensor `name`, or null if this architecture has none of that name.
    const Real* find(const std::string& name) const;

  private:
    Architecture architecture_;
    std::vector<Tensor> tensors_;
    AlignedVector<Real> arena_;
};

extern template class Parameters<float>;
extern template class Parameters<double>;

}  // namespace elman
