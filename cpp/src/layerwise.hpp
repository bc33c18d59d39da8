// layerwise.hpp - whole sequences layer by layer: for reverse layers and for masks.
//
//   f_t = a(W_hh f_(t-1) + W_xh x_t + b_h)          forward half
//   r_t = a(W_hh r_(t+1) + W_xh x_t + b_h)          reverse half
//
// The layer above reads [f_t | r_t], so a layer is finished before the next one begins. A reverse
// half is the forward layer on the reversed sequence, bit for bit: the same kernel, with its inputs
// gathered from the end and its states scattered back.
#pragma once

#include "sequences.hpp"

namespace elman {

// Computes the positions [first, last) of the job, in groups limited by memory. Returns early if
// stopped.
template <class Real>
void run_layer_by_layer(const SequenceJob<Real>& job, Index first, Index last, Poll& poll);

extern template void run_layer_by_layer(const SequenceJob<float>&, Index, Index, Poll&);
extern template void run_layer_by_layer(const SequenceJob<double>&, Index, Index, Poll&);

}  // namespace elman
