// leaves.hpp - the order of every sum over sequences: 16 neighbours (a leaf) in one chain, then
// leaves as a binary tree by index.
#pragma once

#include <algorithm>

#include "elman/types.hpp"

namespace elman {

inline constexpr Index kLeaf = 16;

inline Index leaves_of(Index sequences) {
    return sequences > 0 ? 1 + (sequences - 1) / kLeaf : 0;
}

// The number of leaves, of `count` > 1, in the left part of their tree: the largest power of two
// that leaves something to the right.
inline Index left_of(Index count) {
    Index left = 1;
    while (left < count - left) left *= 2;
    return left;
}

}  // namespace elman
