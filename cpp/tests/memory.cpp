// memory.cpp - counting versions of operator new, and of malloc where the linker wraps it.
#include "memory.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <new>

namespace {

std::atomic<long> count{0};
std::atomic<long> asked{0};  // bytes
std::atomic<long> until_failure{0};
std::atomic<bool> failed{false};

void count_new(std::size_t size) {
    ++count;
    asked += static_cast<long>(size);
    if (until_failure.load() <= 0 || until_failure.fetch_sub(1) != 1) return;
    failed = true;
    throw std::bad_alloc();
}

// The watched pieces, in static memory.
std::mutex mutex;
std::array<memory::Piece, 1024> pieces;
std::size_t used = 0;

void add_piece(const void* start, std::size_t size) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (used == pieces.size()) std::abort();
    pieces[used++] = {start, size};
}

void remove_piece(const void* start) {
    const std::lock_guard<std::mutex> lock(mutex);
    const auto end = pieces.begin() + static_cast<std::ptrdiff_t>(used);
    const auto piece =
        std::find_if(pieces.begin(), end, [start](const auto& p) { return p.start == start; });
    if (piece != end) *piece = pieces[--used];
}

}  // namespace

namespace memory {

long allocations() {
    return count;
}

long bytes() {
    return asked;
}

void fail_at(long n) {
    until_failure = n;
    if (n > 0) failed = false;
}

bool has_failed() {
    return failed;
}

void watch() {
    const std::lock_guard<std::mutex> lock(mutex);
    used = 0;
}

std::vector<Piece> watched() {
    const std::lock_guard<std::mutex> lock(mutex);
    return {pieces.begin(), pieces.begin() + static_cast<std::ptrdiff_t>(used)};
}

}  // namespace memory

// The other forms of new and delete call these.
void* operator new(std::size_t size) {
    count_new(size);
    if (void* memory = std::malloc(size)) return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

void* operator new(std::size_t size, std::align_val_t alignment) {
    count_new(size);
    const std::size_t unit = static_cast<std::size_t>(alignment);
    void* memory = std::aligned_alloc(unit, (size + unit - 1) / unit * unit);
    if (!memory) throw std::bad_alloc();
    add_piece(memory, size);
    return memory;
}
void operator delete(void* memory, std::align_val_t) noexcept {
    remove_piece(memory);
    std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t alignment) noexcept {
    operator delete(memory, alignment);
}

#if defined(ELMAN_WRAPPED_MALLOC)
extern "C" {
void* __real_malloc(std::size_t);
void* __real_calloc(std::size_t, std::size_t);
void* __real_realloc(void*, std::size_t);
void* __real_aligned_alloc(std::size_t, std::size_t);
int __real_posix_memalign(void**, std::size_t, std::size_t);
void* __real_memalign(std::size_t, std::size_t);

void* __wrap_malloc(std::size_t size) {
    ++count;
    return __real_malloc(size);
}
void* __wrap_calloc(std::size_t items, std::size_t size) {
    ++count;
    return __real_calloc(items, size);
}
void* __wrap_realloc(void* memory, std::size_t size) {
    ++count;
    return __real_realloc(memory, size);
}
void* __wrap_aligned_alloc(std::size_t alignment, std::size_t size) {
    ++count;
    return __real_aligned_alloc(alignment, size);
}
int __wrap_posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
    ++count;
    return __real_posix_memalign(memory, alignment, size);
}
void* __wrap_memalign(std::size_t alignment, std::size_t size) {
    ++count;
    return __real_memalign(alignment, size);
}
}
#endif
