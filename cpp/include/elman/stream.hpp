// stream.hpp - one sequence in real time: the state stays inside, a step allocates nothing.
//
//   elman::Stream<float> stream(network);
//   stream.step(x, y);                      // as often as data comes in
#pragma once

#include <atomic>
#include <memory>

#include "elman/network.hpp"

namespace elman {

template <class Real>
class Block;

// `size` numbers, `stride` apart, for each of some steps, `step_stride` apart.
template <class Real>
struct Rows {
    Real* data;
    Index step_stride;
    Index stride;

    Real* row(Index step) const { return data + step * step_stride; }
};

template <class Real>
class Stream {
  public:
    explicit Stream(std::shared_ptr<const Network<Real>> network);
    Stream(const Stream& other);  // the same state, scratch of its own
    Stream& operator=(const Stream&) = delete;
    ~Stream();

    const std::shared_ptr<const Network<Real>>& network() const { return network_; }

    // One step: x (input_size,), y (output_size,). y may be x.
    void step(const Real* x, Real* y) noexcept;

    void step(Rows<const Real> x, Rows<Real> y) noexcept;  // of one row each

    // Many steps: x (steps, input_size), y (steps, output_size), which do not overlap.
    void run(Rows<const Real> x, Rows<Real> y, Index steps) noexcept;

    // The state after the last step, (state_size,).
    void get_state(Real* state) const noexcept;
    void set_state(const Real* state) noexcept;
    void reset() noexcept;  // to where the network begins

    // A stream belongs to one thread at a time. Callers that cannot rule out a second one take the
    // stream first and leave it after; try_take is false while another holds it.
    bool try_take() noexcept { return !taken_.exchange(true, std::memory_order_acquire); }
    bool is_taken() const noexcept { return taken_.load(std::memory_order_acquire); }
    void leave() noexcept { taken_.store(false, std::memory_order_release); }

  private:
    std::shared_ptr<const Network<Real>> network_;
    std::unique_ptr<Block<Real>> block_;
    std::atomic<bool> taken_{false};
};

extern template class Stream<float>;
extern template class Stream<double>;

}  // namespace elman
