// pack.hpp - the layout of matrices in panels, and copies of columns.
//
// The rows of a matrix are cut into panels of at most kPanel vectors; their heights differ by at
// most one vector, the taller ones first. In a panel that begins at row R and holds P rows (its
// pitch)
//
//     W[r, k] lies at panel[k * P + (r - R)],
//
// so a product reads a panel from front to back; the panel begins at panels[R * cols]. Rows beyond
// the last one are zeros. Gradients, moments and transposes use the same order.
#pragma once

#include "simd.hpp"
#include "table.hpp"

namespace elman {
namespace ELMAN_SET {

// Splits `total` into the fewest parts of at most `largest`, equal within one. A single part, the
// usual case, costs no division.
struct EvenParts {
    Index count = 1;
    Index base;        // size of a part;
    Index longer = 0;  // the first `longer` parts have base + 1

    EvenParts(Index total, Index largest) : base(total) {
        if (total <= largest) return;
        count = (total + largest - 1) / largest;
        base = total / count;
        longer = total % count;
    }
    int size(Index part) const { return static_cast<int>(base + (part < longer)); }
    Index begin(Index part) const { return part * base + (part < longer ? part : longer); }
};

template <class Real>
constexpr Index vectors(Index rows) {
    return (rows + kLanes<Real> - 1) / kLanes<Real>;
}

// The panels of a matrix with `rows` rows.
template <class Real>
class Panels {
  public:
    explicit Panels(Index rows) : parts_(vectors<Real>(rows), kPanel) {}

    // Calls each(row, height) for each panel, of `height` vectors, that begins at `row`.
    template <class Each>
    ELMAN_INLINED void for_each(Each each) const {
        for (Index panel = 0; panel < parts_.count; ++panel)
            each(parts_.begin(panel) * kLanes<Real>, parts_.size(panel));
    }

    // Calls each(row, height, two), from the last panel to the first if `last_first`. `two`: the
    // call includes the panel that follows, of the same height; never without `pairs`. (One column
    // is multiplied by two panels at once: see one_column.)
    template <class Each>
    ELMAN_INLINED void for_each_pair(bool pairs, bool last_first, Each each) const {
        if (parts_.count == 1) return each(Index(0), static_cast<int>(parts_.base), false);
        for (Index done = 0; done < parts_.count;) {
            Index panel = last_first ? parts_.count - 1 - done : done;
            const int height = parts_.size(panel);
            const bool two = pairs && parts_.count - done > 1 &&
                             parts_.size(last_first ? panel - 1 : panel + 1) == height;
            if (two && last_first) --panel;  // a pair is named by its first row
            each(parts_.begin(panel) * kLanes<Real>, height, two);
            done += two ? 2 : 1;
        }
    }

    // The first row of the panel that begins part `part` of `parts`.
    Index cut(Index part, Index parts) const {
        return parts_.begin((part * parts_.count + parts - 1) / parts) * kLanes<Real>;
    }

  private:
    EvenParts parts_;
};

constexpr Index smaller(Index a, Index b) {
    return a < b ? a : b;
}

template <class Real>
static Index packed_size(Index rows, Index cols) {
    return vectors<Real>(rows) * kLanes<Real> * cols;
}

// The rows between two cuts have the same panels in a matrix of their own: in all panels together
// fewer than kPanel vectors are missing to full height, so also in a run of them, which therefore
// has the least number of panels; and its taller ones come first.
template <class Real>
static Index cut(Index rows, Index part, Index parts) {
    return smaller(rows, Panels<Real>(rows).cut(part, parts));
}

template <class Real>
static void pack(const Real* W, Index rows, Index cols, Index first, Index last, Real* panels) {
    constexpr Index kBlock = 64;  // columns at a time: the written part stays in the cache
    Panels<Real>(rows).for_each([&](Index row, int height) {
        if (row < first || row >= last) return;
        const Index pitch = height * kLanes<Real>;
        Real* panel = panels + row * cols;
        for (Index col = 0; col < cols; col += kBlock)
            for (Index r = row; r < row + pitch; ++r)
                for (Index k = col; k < smaller(col + kBlock, cols); ++k)
                    panel[k * pitch + (r - row)] = r < rows ? W[r * cols + k] : Real(0);
    });
}

template <class Real>
static void unpack(const PackedMatrix<Real>& W, Index first, Index last, Real* values) {
    Panels<Real>(W.rows).for_each([&](Index row, int height) {
        if (row < first || row >= last) return;
        const Index pitch = height * kLanes<Real>;
        const Real* panel = W.panels + row * W.cols;
        for (Index r = row; r < smaller(row + pitch, W.rows); ++r)
            for (Index k = 0; k < W.cols; ++k)
                values[r * W.cols + k] = panel[k * pitch + (r - row)];
    });
}

// Panel by panel of W, so that its rows are read from one place. Row r of W is column r of the
// transpose; its padding, the rows beyond the columns of W, is written as zeros.
template <class Real>  // panels: packed_size(cols, rows)
static void transpose(const PackedMatrix<Real>& W, Real* panels) {
    Panels<Real>(W.rows).for_each([&](Index row, int height) {
        const Index pitch = height * kLanes<Real>;
        const Real* from = W.panels + row * W.cols;
        Panels<Real>(W.cols).for_each([&](Index col, int to_height) {
            const Index to_pitch = to_height * kLanes<Real>;
            const Index some = smaller(W.cols - col, to_pitch);
            Real* to = panels + col * W.rows;
            for (Index r = row; r < smaller(row + pitch, W.rows); ++r)
                for (Index k = 0; k < to_pitch; ++k)
                    to[r * to_pitch + k] = k < some ? from[(col + k) * pitch + (r - row)] : Real(0);
        });
    });
}

// Both columns have the same stride, whole lines of 64 bytes.
template <class Real>
ELMAN_INLINE void copy_column(const Real* from, Real* to, Index stride) {
    constexpr int kLine = 64 / sizeof(Real);
    for (Index i = 0; i < stride; i += kLine)
        ELMAN_EACH (k, kLine / kLanes<Real>)
            store<Real>(to + i + k * kLanes<Real>, load<Real>(from + i + k * kLanes<Real>));
}

template <class Real>
static void gather(Columns<const Real> from, const Index* which, Index count, Columns<Real> to) {
    for (Index n = 0; n < count; ++n)
        copy_column<Real>(from.column(which[n]), to.column(n), to.stride);
}

template <class Real>
static void scatter(Columns<const Real> from, const Index* which, Index count, Columns<Real> to) {
    for (Index n = 0; n < count; ++n)
        copy_column<Real>(from.column(n), to.column(which[n]), to.stride);
}

}  // namespace ELMAN_SET
}  // namespace elman
