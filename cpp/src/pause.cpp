#include "elman/pause.hpp"

namespace elman {

void Pause::look() {
    work_ = 0;
    ++looks_;
    if (!go_on_ || stopped()) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - asked_ < kInterval) return;
    if (!go_on_()) stopped_.store(true, std::memory_order_relaxed);
    asked_ = std::chrono::steady_clock::now();
}

}  // namespace elman
