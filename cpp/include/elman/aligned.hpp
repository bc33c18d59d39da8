// aligned.hpp - memory aligned to 64 bytes: one cache line, and the widest vector.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace elman {

inline constexpr std::size_t kAlignment = 64;

template <class Value>
struct AlignedAllocator {
    using value_type = Value;

    AlignedAllocator() = default;
    template <class Other>
    AlignedAllocator(const AlignedAllocator<Other>&) noexcept {}

    // Throws std::bad_alloc here: under a sanitizer the throwing operator new ends the process.
    Value* allocate(std::size_t count) {
        constexpr std::size_t most = static_cast<std::size_t>(-1) / 2 / sizeof(Value);
        void* memory = count > most ? nullptr
                                    : ::operator new(count * sizeof(Value),
                                                     std::align_val_t(kAlignment), std::nothrow);
        if (!memory) throw std::bad_alloc();
        return static_cast<Value*>(memory);
    }
    void deallocate(Value* memory, std::size_t) noexcept {
        ::operator delete(memory, std::align_val_t(kAlignment));
    }
    friend bool operator==(AlignedAllocator, AlignedAllocator) { return true; }
    friend bool operator!=(AlignedAllocator, AlignedAllocator) { return false; }
};

template <class Real>
using AlignedVector = std::vector<Real, AlignedAllocator<Real>>;

// `count` rounded up to a whole number of cache lines of Real.
template <class Real>
constexpr std::ptrdiff_t padded(std::ptrdiff_t count) {
    constexpr std::ptrdiff_t line = kAlignment / sizeof(Real);
    return (count + line - 1) / line * line;
}

}  // namespace elman
