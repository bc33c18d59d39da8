// leaves.hpp - the order of every sum over sequences: 16 neighbours in one chain, a leaf, and
// leaves as a binary tree by their index.
#pragma once

#include <algorithm>

#include "elman/types.hpp"

namespace elman {

inline constexpr Index kLeaf = 16;

inline Index leaves_of(Index sequences) {
    return sequences > 0 ? 1 + (sequences - 1) / kLeaf : 0;
}

// How many of `count` > 1 leaves are the left part of their tree: the largest power of two that
// leaves something to the right.
inline Index left_of(Index count) {
    Index left = 1;
    while (left < count - left) left *= 2;
    return left;
}

}  // namespace elman
