// isa.hpp - the available instruction sets and the one in use.
//
// At first use the best set of the processor is chosen, or the set named by the environment
// variable ELMAN_ISA. A network packs its weights for the set in use when it is built.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace elman {

enum class Isa { scalar, sse2, avx2, avx512, neon };

// An instruction set that this build or this processor does not have.
struct IsaError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

const char* name(Isa isa) noexcept;
bool fused(Isa isa);  // its multiply-add rounds once: promise D5 applies

std::vector<Isa> built_isas();      // in this build
std::vector<Isa> available_isas();  // those this processor supports, the best one last

Isa isa();                              // in use; IsaError if ELMAN_ISA names an unavailable set
void set_isa(const std::string& name);  // for networks built later; IsaError likewise
Isa isa_from_name(const std::string& wanted);  // an available one, or IsaError

}  // namespace elman
