// philox.cpp - compares the random words with NumPy's:
//
//   python -c "import numpy; print(numpy.random.Philox(key=1990).random_raw(9))"
#include <cstdint>
#include <vector>

#include "check.hpp"
#include "elman/random.hpp"

namespace {

struct Known {
    std::uint64_t seed;
    std::vector<std::uint64_t> words;
};

const Known kKnown[] = {
    {0,
     {0x02f4ba6408e4d89b, 0x3dd62b0b9ca8c5b2, 0x1c8667a55d902e79, 0x907d7a052fd5b4dc,
      0x809bf322883987c3, 0x471128b9e807f7dd, 0xf250ba0dbec065b7, 0xfc6ed66767a457bc,
      0x40fa86f0f781945d}},
    {1990,
     {0x6b7990ea1be13ae0, 0x0c6830d411d328f0, 0x0ecdf181e0ab06c5, 0x1d530ab1d69ce184,
      0xe58a570b05c9d284, 0xdbe94703200efbd0, 0xdeb252cab47770ff, 0x0f0159fbfc472a1e,
      0x7134442041735983}},
    {0xffffffffffffffff,
     {0x3c2521c58dde5bfb, 0xb7a1ad5dae1306d7, 0x6942eae9fd2feb84, 0xb7552e878d1c26fe,
      0x59a439c096c17b4e, 0xc34ccc2492b8fcfe, 0x8537fbaa1803e440, 0x4e61296eee79ea30,
      0x0e44bf11f5921414}},
};

void check_words(const Known& known) {
    elman::Philox random(known.seed);
    for (std::uint64_t word : known.words)
        check(random.word() == word, "seed " + std::to_string(known.seed) + ": a word");
}

// The 54 high bits of the word, times 2^-53, minus 1: in two halves, so that nothing is rounded.
void check_scaling(const Known& known) {
    elman::Philox random(known.seed);
    for (std::uint64_t word : known.words) {
        const double high = static_cast<double>(word >> 37) * 0x1p-26 - 1;
        const double low = static_cast<double>(word >> 10 & 0x7ffffff) * 0x1p-53;
        check(random.symmetric() == high + low,
              "seed " + std::to_string(known.seed) + ": a number in [-1, 1)");
    }
}

}  // namespace

int main() {
    for (const Known& known : kKnown) {
        check_words(known);
        check_scaling(known);
    }
    return failures != 0;
}
