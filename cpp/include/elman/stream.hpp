// stream.hpp - one sequence in real time: the state stays inside, a step allocates nothing.
//
//   elman::Stream<float> stream(network);
//   stream.step(x, y);                      // as often as data comes in
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
    Stream(const Stream& other);  // the same state, scratch of its own
    Stream& operator=(const Stream&) = delete;
    ~Stream();

    const std::shared_ptr<const Network<Real>>& network() const { return network_; }

    // One step: x (input_size,), y (output_size,), their numbers so far apart. y may be x.
    void step(const Real* x, Index x_stride, Real* y, Index y_stride) noexcept;
    void step(const Real* x, Real* y) noexcept { step(x, 1, y, 1); }

    // Many steps: x (steps, input_size), y (steps, output_size), which do not overlap. Returns how
    // many were done: fewer if the pause is stopped.
    Index run(Rows<const Real> x, Rows<Real> y, Index steps, Pause& pause) noexcept;

    // The state after the last step, (state_size,).
    void get_state(Real* state) const noexcept;
    void set_state(const Real* state) noexcept;
    void reset() noexcept;  // to where the network begins

    // A stream belongs to one thread at a time. Callers that cannot rule out a second one take it
    // first and leave it after; nothing here looks at the flag.
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
