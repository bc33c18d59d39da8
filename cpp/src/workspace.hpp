// workspace.hpp - the working memory of sequences that are advanced together.
//
//   std::unique_ptr<Workspace<Real>> workspace = take_workspace(network);
//   ...
//   network.workspace().put(std::move(workspace));
//
// Small calls compute in the one that their network keeps, and so allocate nothing.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>

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

// The columns, and columns x steps at a time, of the workspace that a network keeps: kMostColumns,
// or fewer if a step is large. With columns for 8 sequences it would take half of the memory, but a
// step of 64 sequences took 1.06 to 1.22 times as long.
template <class Real>
Index kept_columns(const Network<Real>& network) {
    return capacity_of(network, all_halves(network), 1, kMostColumns);
}

// Whether that is as large as these sequences can use.
template <class Real>
bool fit_kept_workspace(const Network<Real>& network, Index columns, Index steps) {
    const Index kept = kept_columns(network);
    return columns <= std::max<Index>(1, kept / kSteps) ||
           (steps <= kept && columns * std::max<Index>(1, steps) <= kept);
}

template <class Real>
[[gnu::noinline]] std::unique_ptr<Workspace<Real>> kept_workspace(const Network<Real>& network) {
    const Index columns = kept_columns(network);
    return std::make_unique<Workspace<Real>>(network, all_halves(network), columns, columns);
}

// The workspace that the network keeps, or a new one like it while another call has that.
template <class Real>
std::unique_ptr<Workspace<Real>> take_workspace(const Network<Real>& network) {
    std::unique_ptr<Workspace<Real>> kept = network.workspace().take();
    return kept ? std::move(kept) : kept_workspace(network);
}

}  // namespace elman
