// sums.hpp - the sums of a run, which it computes and does not keep.
//
//     u_t = product(b_h, W_xh, x_t)
//     a_t = product(u_t, W_hh, h_(t-1))      h_t = f(a_t)
//     a_t = product(b_y, W_hy, h_t)          y_t = g(a_t)
//
// They follow from the states that a run returns, all steps at once. The bits are those of the run:
// the order of a sum depends on its matrix alone (src/kernels/table.hpp).
#pragma once

#include "elman/network.hpp"
#include "elman/pause.hpp"
#include "elman/views.hpp"

namespace elman {

// Half a layer: B sequences of T steps, as B T columns one sequence after another.
template <class Real>
struct HalfSums {
    std::size_t half = 0;
    Index sequences = 0;        // B
    Index steps = 0;            // T
    Columns<const Real> x;      // (I,), what the half reads, scaled
    Columns<const Real> h;      // (H,), its states after every step
    Columns<const Real> start;  // (H,), one of each sequence: its state before the first step
    Real* u = nullptr;          // (B, T, H); null: not returned
    Real* a = nullptr;          // likewise
    Real* recurrent = nullptr;  // likewise: product(0, W_hh, h_(t-1)), a part of no other sum
};

// Computes the sums of the task on up to `threads` threads, which end with the call. Returns early,
// with unspecified results, if the pause is stopped. Throws std::invalid_argument for values out of
// range.
template <class Real>
void compute_sums(const Network<Real>& network, const HalfSums<Real>& task, Index threads,
                  Pause& pause);

// The same for the readout, which the network must have: a (count, O), from the states of the top
// layer.
template <class Real>
void compute_readout_sums(const Network<Real>& network, Columns<const Real> top, Index count,
                          Real* a, Index threads, Pause& pause);

#define ELMAN_DECLARE(Real)                                                                        \
    extern template void compute_sums(const Network<Real>&, const HalfSums<Real>&, Index, Pause&); \
    extern template void compute_readout_sums(const Network<Real>&, Columns<const Real>, Index,    \
                                              Real*, Index, Pause&);
ELMAN_DECLARE(float)
ELMAN_DECLARE(double)
#undef ELMAN_DECLARE

}  // namespace elman
