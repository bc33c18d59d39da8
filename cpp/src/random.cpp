#include "elman/random.hpp"

namespace elman {
namespace {

struct Wide {
    std::uint64_t high, low;
};

// a * b in 128 bits, from 32-bit halves: C++17 has no wider type.
Wide multiply(std::uint64_t a, std::uint64_t b) noexcept {
    constexpr std::uint64_t half = 0xffffffffu;
    const std::uint64_t a0 = a & half, a1 = a >> 32, b0 = b & half, b1 = b >> 32;
    const std::uint64_t low = a0 * b0;
    const std::uint64_t middle = a1 * b0 + (low >> 32);
    const std::uint64_t carry = a0 * b1 + (middle & half);
    return {a1 * b1 + (middle >> 32) + (carry >> 32), a * b};
}

}  // namespace

std::uint64_t Philox::word() noexcept {
    if (used_ == words_.size()) {
        std::array<std::uint64_t, 4> x{++counter_, 0, 0, 0};
        std::uint64_t key0 = key_, key1 = stream_;
        for (int round = 0; round < 10; ++round) {
            const Wide p0 = multiply(0xD2E7470EE14C6C93u, x[0]);
            const Wide p1 = multiply(0xCA5A826395121157u, x[2]);
            x = {p1.high ^ x[1] ^ key0, p1.low, p0.high ^ x[3] ^ key1, p0.low};
            key0 += 0x9E3779B97F4A7C15u;
            key1 += 0xBB67AE8584CAA73Bu;
        }
        words_ = x;
        used_ = 0;
    }
    return words_[used_++];
}

std::uint64_t Philox::below(std::uint64_t count) noexcept {
    return multiply(word(), count).high;
}

}  // namespace elman
