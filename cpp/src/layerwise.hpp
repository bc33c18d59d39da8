// layerwise.hpp - whole sequences layer by layer: for layers that run in reverse, and for holes.
//
//   f_t = a(W_hh f_(t-1) + W_xh x_t + b_h)          the half of a layer that runs forward
//   r_t = a(W_hh r_(t+1) + W_xh x_t + b_h)          the half that runs in reverse, if there is one
//
// The layer above reads [f_t | r_t], so a layer is finished before the next one begins. A half that
// runs in reverse is the forward layer on the reversed sequence, bit for bit: the same kernel, its
// inputs gathered from the end and its states scattered back.
#pragma once

#include "sequences.hpp"

namespace elman {

// Computes the positions [first, last) of the job, in groups that memory has room for. Returns
// early if it is stopped.
template <class Real>
void run_layer_by_layer(const SequenceJob<Real>& job, Index first, Index last, Poll& poll);

extern template void run_layer_by_layer(const SequenceJob<float>&, Index, Index, Poll&);
extern template void run_layer_by_layer(const SequenceJob<double>&, Index, Index, Poll&);

}  // namespace elman
