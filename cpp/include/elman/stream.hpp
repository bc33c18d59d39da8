// stream.hpp - one sequence in real time: keeps the state, allocates nothing per step.
//
//   elman::Stream<float> stream(network);
//   if (!stream.step(x, y)) ...             // for every new sample; false: it was not finite
#pragma once

#include <memory>

#include "elman/busy.hpp"
#include "elman/network.hpp"
#include "elman/pause.hpp"
#include "elman/views.hpp"

namespace elman {

// What a stream does with a sample that has a NaN or an infinity where the first layer reads it:
// after rounding to Real and scaling.
enum class Nonfinite {
    raise,      // refuses it: nothing changes
    hold,       // skips it: the state is held, and the output is that of the held state
    propagate,  // computes with it
};

const char* name(Nonfinite nonfinite);

template <class Real>
class Stream {
  public:
    // Throws std::invalid_argument for null and for a network that does not run forward.
    explicit Stream(std::shared_ptr<const Network<Real>> network,
                    Nonfinite nonfinite = Nonfinite::raise);
    Stream(const Stream& other);  // copies the state
    Stream& operator=(const Stream&) = delete;
    ~Stream();

    const std::shared_ptr<const Network<Real>>& network() const { return network_; }
    Nonfinite nonfinite() const { return nonfinite_; }

    // One step: x (input_size,), y (output_size,), with strides between elements. y may be x.
    // Returns false, with nothing changed but refused(), if the sample is refused.
    [[nodiscard]] bool step(const Real* x, Index x_stride, Real* y, Index y_stride) noexcept;
    [[nodiscard]] bool step(const Real* x, Real* y) noexcept { return step(x, 1, y, 1); }

    // Many steps: x (steps, input_size), y (steps, output_size), which must not overlap. Returns
    // the number of steps done: fewer if the pause is stopped; none, with nothing changed but
    // refused(), if a sample is refused. Takes working memory from the network; throws
    // std::bad_alloc, with nothing changed, if that is in use by another thread (or not there yet)
    // and there is no more.
    [[nodiscard]] Index run(Rows<const Real> x, Rows<Real> y, Index steps, Pause& pause);

    // The first value of the last refused sample or chunk that is not finite for the first layer,
    // as it was given.
    struct Refused {
        Index step = 0, feature = 0;
        Real value = 0;
    };
    const Refused& refused() const noexcept { return refused_; }

    // The state after the last step, (state_size,).
    void get_state(Real* state) const noexcept;
    void set_state(const Real* state) noexcept;
    void reset() noexcept;  // to the network's initial state

    // The bytes of this object and of the memory it owns, without the network.
    Index bytes() const noexcept;

    // One thread at a time may use a stream. Callers that cannot rule out a second thread take this
    // flag during a call; the stream itself never checks it.
    Busy& busy() noexcept { return busy_; }
    const Busy& busy() const noexcept { return busy_; }

  private:
    Index finite_steps(Rows<const Real> x, Index most) noexcept;
    [[gnu::noinline, gnu::cold]] bool skip(const Real* input, const Real* x, Index x_stride,
                                           Real* y, Index y_stride) noexcept;
    void refuse(const Real* input, const Real* x, Index x_stride, Index step) noexcept;
    Index run_in(Block<Real>& block, Rows<const Real> x, Rows<Real> y, Index steps,
                 Pause& pause) noexcept;

    std::shared_ptr<const Network<Real>> network_;
    std::unique_ptr<Block<Real>> block_;
    const Nonfinite nonfinite_;
    Busy busy_;
    Refused refused_;
};

extern template class Stream<float>;
extern template class Stream<double>;

}  // namespace elman
