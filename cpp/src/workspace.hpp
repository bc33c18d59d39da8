// workspace.hpp - the working memory of sequences that are advanced together.
//
//   std::unique_ptr<Workspace<Real>> workspace = take_workspace(network);
//   ...
//   network.workspace().put(std::move(workspace));
//
// A network keeps one for small calls, which therefore allocate nothing.
#pragma once

#include <algorithm>
#include <memory>

#include "block.hpp"
#include "sequences.hpp"

namespace elman {

template <class Real>
struct Workspace {
    Workspace(const Network<Real>& network, HalfRange halves, Index columns, Index capacity)
        : block(network, halves, columns, capacity) {
        group.reserve(columns);
    }

    Block<Real> block;
    Group<Real> group;
};

// Whether these sequences would gain nothing from a workspace larger than the one that a network
// keeps, which has kMostColumns columns. (With 8 columns that would take half of the memory, but a
// step of 64 sequences took 1.06 to 1.22 times as long on a Zen 5.)
inline bool fit_kept_workspace(Index columns, Index steps) {
    return columns <= kMostColumns / kSteps ||
           (steps <= kMostColumns && columns * std::max<Index>(1, steps) <= kMostColumns);
}

// The workspace that the network keeps, or a new one of the same size while another call uses it.
template <class Real>
std::unique_ptr<Workspace<Real>> take_workspace(const Network<Real>& network) {
    std::unique_ptr<Workspace<Real>> kept = network.workspace().take();
    if (kept) return kept;
    return std::make_unique<Workspace<Real>>(network, all_halves(network), kMostColumns,
                                             kMostColumns);
}

}  // namespace elman
