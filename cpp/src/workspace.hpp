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

// The columns of the workspace that a network keeps, which are also its columns x steps:
// kMostColumns, or fewer if a step is large. (8 columns would take half of the memory, but a step
// of 64 sequences took 1.06 to 1.22 times as long on a Zen 5.)
template <class Real>
Index kept_columns(const Network<Real>& network) {
    return capacity_of(network, all_halves(network), 1, kMostColumns);
}

// Whether these sequences would gain nothing from a larger workspace.
template <class Real>
bool fit_kept_workspace(const Network<Real>& network, Index columns, Index steps) {
    const Index kept = kept_columns(network);
    return columns <= std::max<Index>(1, kept / kSteps) ||
           (steps <= kept && columns * std::max<Index>(1, steps) <= kept);
}

// Not inlined, so that it does not slow down the usual case.
template <class Real>
[[gnu::noinline]] std::unique_ptr<Workspace<Real>> kept_workspace(const Network<Real>& network) {
    const Index columns = kept_columns(network);
    return std::make_unique<Workspace<Real>>(network, all_halves(network), columns, columns);
}

// The workspace that the network keeps, or a new one of the same size while another call uses it.
template <class Real>
std::unique_ptr<Workspace<Real>> take_workspace(const Network<Real>& network) {
    std::unique_ptr<Workspace<Real>> kept = network.workspace().take();
    return kept ? std::move(kept) : kept_workspace(network);
}

}  // namespace elman
