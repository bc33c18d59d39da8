// busy.hpp - a flag for an object that one thread may use at a time.
//
//   if (Taken taken{stream.busy()}) stream.step(x, y);
//   else ...                                            // another thread uses it
#pragma once

#include <atomic>

namespace elman {

class Busy {
  public:
    // Returns false while another thread has taken it.
    bool try_take() noexcept { return !taken_.exchange(true, std::memory_order_acquire); }
    bool is_taken() const noexcept { return taken_.load(std::memory_order_acquire); }
    void leave() noexcept { taken_.store(false, std::memory_order_release); }

  private:
    std::atomic<bool> taken_{false};
};

// Takes the flag, if it is free, until the end of the scope.
class Taken {
  public:
    explicit Taken(Busy& busy) noexcept : busy_(busy.try_take() ? &busy : nullptr) {}
    ~Taken() {
        if (busy_) busy_->leave();
    }
    Taken(const Taken&) = delete;
    Taken& operator=(const Taken&) = delete;

    explicit operator bool() const noexcept { return busy_ != nullptr; }

  private:
    Busy* busy_;
};

}  // namespace elman
