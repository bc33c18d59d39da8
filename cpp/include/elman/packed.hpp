// packed.hpp - where the tensors of a network lie in an arena, packed for the kernels of one
// instruction set.
//
// Weights, gradients, an optimizer's moments and the transposes of weights are arenas: numbers
// without names, in the order of one Layout, which says where each tensor begins. Each piece is a
// whole number of cache lines, the matrices in panels, the vectors padded with zeros; padding stays
// zero under everything that is done to each number.
#pragma once

#include <optional>
#include <vector>

#include "elman/parameters.hpp"
#include "elman/pause.hpp"

namespace elman {

template <class Real>
struct Kernels;  // the functions of one instruction set: src/kernels/table.hpp

// One half of a layer: a bidirectional layer has two, any other one.
struct Half {
    std::size_t layer;
    bool reverse;       // runs from the last step to the first
    Index input_size;   // I, of what it reads
    Index hidden_size;  // H
    Index column;       // where its states begin in what the layer gives
    Index state;        // where they begin in the network's state
    Activation activation;
    bool has_bias;
    Index W_xh, W_hh, b_h;  // offsets; b_h is there, as zeros, where there is no bias
};

struct Readout {
    Index input_size;   // of the top layer's states
    Index output_size;  // O
    Activation activation;
    bool has_bias;
    Index W_hy, b_y;  // offsets
};

// A tensor of Parameters and its place in the arena.
struct Piece {
    Index rows, cols;
    bool vector;   // padded instead of packed
    Index tensor;  // its offset in the arena of Parameters
    Index offset;  // its offset here
};

template <class Real>
class Layout {
  public:
    Layout(const Architecture& architecture, const Kernels<Real>& kernels);

    const std::vector<Half>& halves() const { return halves_; }  // from the bottom up
    const Readout* readout() const { return readout_ ? &*readout_ : nullptr; }
    std::optional<Index> initial_state() const { return initial_state_; }  // offset; the last piece
    const std::vector<Piece>& pieces() const { return pieces_; }  // in the order of the file
    Index size() const { return size_; }

    // Return early if the pause is stopped. Scaling stays as it is.
    void pack(const Parameters<Real>& parameters, Real* arena, Pause& pause) const;
    void unpack(const Real* arena, Parameters<Real>& parameters, Pause& pause) const;

    // The matrices of an arena in this order.
    PackedMatrix<Real> W_xh(const Half& half, const Real* arena) const;
    PackedMatrix<Real> W_hh(const Half& half, const Real* arena) const;
    PackedMatrix<Real> W_hy(const Real* arena) const;

  private:
    Index place(Index count);

    const Kernels<Real>* kernels_;
    std::vector<Half> halves_;
    std::optional<Readout> readout_;
    std::optional<Index> initial_state_;
    std::vector<Piece> pieces_;
    Index size_ = 0;
};

// Views of rows x cols packed numbers.
template <class Real>
PackedMatrix<Real> packed_matrix(const Real* panels, Index rows, Index cols);

extern template class Layout<float>;
extern template class Layout<double>;

}  // namespace elman
