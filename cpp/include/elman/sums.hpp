// sums.hpp - the sums of a network, one matrix at a time: what a run computes and does not keep.
//
//     W_xh   u_t = product(b_h, W_xh, x_t)
//     W_hh   a_t = product(u_t, W_hh, h_(t-1))      h_t = f(a_t)
//     W_hy   a_t = product(b_y, W_hy, h_t)          y_t = g(a_t)
//
// The bits are those of every other route, because the order of a sum depends on its matrix alone
// (src/kernels/table.hpp).
#pragma once

#include <string>

#include "elman/network.hpp"
#include "elman/pause.hpp"

namespace elman {

template <class Real>
struct SumsTask {
    std::string matrix;           // the name of its tensor, such as "layers.0.W_hh"
    Index count = 0;              // N
    const Real* start = nullptr;  // (N, rows); null: the bias b_h or b_y, zeros for W_hh
    const Real* x = nullptr;      // (N, cols)
    Real* sums = nullptr;         // (N, rows)
};

// Throws std::invalid_argument for the name of anything but a matrix of the network.
template <class Real>
PackedMatrix<Real> matrix_of(const Network<Real>& network, const std::string& name);

// sums_n = product(start_n, W, x_n) for n = 0 ... N-1, on up to `threads` threads, which end with
// the call. Returns early, with unspecified results, if the pause is stopped. Throws
// std::invalid_argument as matrix_of does and for values out of range.
template <class Real>
void compute_sums(const Network<Real>& network, const SumsTask<Real>& task, Index threads,
                  Pause& pause);

extern template PackedMatrix<float> matrix_of(const Network<float>&, const std::string&);
extern template PackedMatrix<double> matrix_of(const Network<double>&, const std::string&);
extern template void compute_sums(const Network<float>&, const SumsTask<float>&, Index, Pause&);
extern template void compute_sums(const Network<double>&, const SumsTask<double>&, Index, Pause&);

}  // namespace elman
