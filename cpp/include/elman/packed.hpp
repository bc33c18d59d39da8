// packed.hpp - the layout of a network's tensors in an arena, packed for the kernels of one
// instruction set.
//
// Weights, gradients, an optimizer's moments and transposed weights are arenas: unnamed values in
// the order of one Layout, which gives the offset of each tensor. Each piece fills whole cache
// lines; matrices are stored in panels, vectors padded with zeros. Elementwise operations leave the
// padding zero.
#pragma once

#include <optional>
#include <vector>

#include "elman/parameters.hpp"
#include "elman/pause.hpp"

namespace elman {

template <class Real>
struct Kernels;  // the functions of one instruction set: src/kernels/table.hpp

// Half a layer: a bidirectional layer has two halves, any other layer one.
struct Half {
    std::size_t layer;
    bool reverse;       // runs from the last step to the first
    Index input_size;   // I
    Index hidden_size;  // H
    Index column;       // offset of its states in the layer's output
    Index state;        // offset of its states in the network's state
    Activation activation;
    bool has_bias;
    Index W_xh, W_hh, b_h;  // offsets; without a bias b_h holds zeros

    Index multiply_adds() const { return hidden_size * (hidden_size + input_size); }  // of one step
};

struct Readout {
    Index input_size;   // size of the top layer's output
    Index output_size;  // O
    Activation activation;
    bool has_bias;
    Index W_hy, b_y;  // offsets
};

// A tensor of Parameters and its place in a packed arena.
struct Piece {
    Index rows, cols;
    bool vector;   // padded instead of packed
    Index tensor;  // offset in the arena of Parameters
    Index offset;  // offset in the packed arena
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

    // Return early if the pause is stopped. Scaling is left unchanged.
    void pack(const Parameters<Real>& parameters, Real* arena, Pause& pause) const;
    void unpack(const Real* arena, Parameters<Real>& parameters, Pause& pause) const;

    // The matrices of an arena with this layout.
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

// View of a packed matrix.
template <class Real>
PackedMatrix<Real> packed_matrix(const Real* panels, Index rows, Index cols);

extern template class Layout<float>;
extern template class Layout<double>;

}  // namespace elman
