// memory.hpp - what this program takes from the heap; link memory.cpp to have it counted.
#pragma once

#include <cstddef>
#include <vector>

namespace memory {

// How often anything was allocated so far, by any thread.
long allocations();

// Makes the n-th operator new from now on fail, once; 0: none does.
void fail_at(long n);
bool has_failed();  // since then

struct Piece {
    const void* start;
    std::size_t size;
};

// The memory of AlignedAllocator, where the core keeps its numbers: watch() begins a list,
// watched() is what of it has not been freed.
void watch();
std::vector<Piece> watched();

}  // namespace memory
