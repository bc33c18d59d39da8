// random.hpp - the random numbers of initialization: Philox 4x64-10.
//
// J. K. Salmon and others, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). The key is
// (seed, stream) and the counter starts at (1, 0, 0, 0), so the words equal those of
// numpy.random.Philox(key=[seed, stream]). Integers become floating-point numbers by exact scaling,
// so the same seed gives the same network on every platform and version.
#pragma once

#include <array>
#include <cstdint>

namespace elman {

class Philox {
  public:
    explicit Philox(std::uint64_t seed, std::uint64_t stream = 0) : key_(seed), stream_(stream) {}

    std::uint64_t word() noexcept;

    // Uniform in 0 ... count-1, up to a bias of count / 2^64.
    std::uint64_t below(std::uint64_t count) noexcept;

    // Uniform in [-1, 1): a multiple of 2^-53.
    double symmetric() noexcept {
        return static_cast<double>(static_cast<std::int64_t>(word() >> 10) - (1LL << 53)) * 0x1p-53;
    }

  private:
    std::uint64_t key_;
    std::uint64_t stream_;
    std::uint64_t counter_ = 0;
    std::array<std::uint64_t, 4> words_{};
    unsigned used_ = 4;
};

}  // namespace elman
