// memory.hpp - counts the heap allocations of a test program that links memory.cpp.
#pragma once

#include <cstddef>
#include <vector>

namespace memory {

// The number of allocations so far, on all threads, and the bytes that operator new was asked for.
long allocations();
long bytes();

// Makes the n-th operator new from now on fail, once; 0: none.
void fail_at(long n);
bool has_failed();  // since then

struct Piece {
    const void* start;
    std::size_t size;
};

// The memory of AlignedAllocator, which holds the core's data: watch() starts a list, watched()
// returns the pieces that have not been freed.
void watch();
std::vector<Piece> watched();

}  // namespace memory
