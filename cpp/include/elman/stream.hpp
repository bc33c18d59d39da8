// stream.hpp - one sequence in real time: keeps the state, allocates nothing per step.
//
//   elman::Stream<float> stream(network);
//   stream.step(x, y);                      // for every new sample
#pragma once

#include <memory>

#include "elman/busy.hpp"
#include "elman/network.hpp"
#include "elman/pause.hpp"
#include "elman/views.hpp"

namespace elman {

template <class Real>
class Block;

template <class Real>
class Stream {
  public:
    // Throws std::invalid_argument for null and for a network that does not run forward.
    explicit Stream(std::shared_ptr<const Network<Real>> network);
    Stream(const Stream& other);  // copies the state
    Stream& operator=(const Stream&) = delete;
    ~Stream();

    const std::shared_ptr<const Network<Real>>& network() const { return network_; }

    // One step: x (input_size,), y (output_size,), with strides between elements. y may be x.
    void step(const Real* x, Index x_stride, Real* y, Index y_stride) noexcept;
    void step(const Real* x, Real* y) noexcept { step(x, 1, y, 1); }

    // Many steps: x (steps, input_size), y (steps, output_size), which must not overlap. Returns
    // the number of steps done: fewer if the pause is stopped.
    Index run(Rows<const Real> x, Rows<Real> y, Index steps, Pause& pause) noexcept;

    // The state after the last step, (state_size,).
    void get_state(Real* state) const noexcept;
    void set_state(const Real* state) noexcept;
    void reset() noexcept;  // to the network's initial state

    // One thread at a time may use a stream. Callers that cannot rule out a second thread take this
    // flag during a call; the stream itself never checks it.
    Busy& busy() noexcept { return busy_; }
    const Busy& busy() const noexcept { return busy_; }

  private:
    std::shared_ptr<const Network<Real>> network_;
    std::unique_ptr<Block<Real>> block_;
    Busy busy_;
};

extern template class Stream<float>;
extern template class Stream<double>;

}  // namespace elman
