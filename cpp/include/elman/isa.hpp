// isa.hpp - which instruction sets there are, and which one is in use.
//
// The best set that the processor has is chosen at the first use, or the one that the environment
// variable ELMAN_ISA names. A network packs its weights for the set in use when it is built.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace elman {

enum class Isa { scalar, sse2, avx2, avx512, neon };

// Asked for an instruction set that this build or this processor does not have.
struct IsaError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

const char* name(Isa isa) noexcept;
bool fused(Isa isa);  // its multiply-add rounds once: promise D5 holds for it

std::vector<Isa> built_isas();      // in this build
std::vector<Isa> available_isas();  // of those, what this processor runs; the best one last

Isa isa();                              // in use; IsaError if ELMAN_ISA asks for what is not there
void set_isa(const std::string& name);  // for networks built from now on; IsaError likewise
Isa isa_from_name(const std::string& wanted);  // an available one, or IsaError

}  // namespace elman
