#include "elman/isa.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "kernel_tables.hpp"

namespace elman {

// ELMAN_SETS, set in CMakeLists.txt, lists the sets of this build: X(scalar) X(avx2) and so on.
#define X(isa)                      \
    namespace isa {                 \
    extern const KernelTable table; \
    }
ELMAN_SETS
#undef X

namespace {

struct Built {
    Isa isa;
    const char* name;
    const KernelTable* table;
};

#define X(isa) {Isa::isa, #isa, &isa::table},
constexpr Built kBuilt[] = {ELMAN_SETS};  // the best one last
#undef X

const Built* find(Isa isa) {
    for (const Built& built : kBuilt)
        if (built.isa == isa) return &built;
    return nullptr;
}

bool processor_has(Isa isa) {
    switch (isa) {
#if defined(__x86_64__)
        case Isa::avx2:
            return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        case Isa::avx512:
            return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                   processor_has(Isa::avx2);
#endif
        default:
            return true;
    }
}

std::string names(const std::vector<Isa>& isas) {
    std::string list;
    for (Isa isa : isas) list += (list.empty() ? "" : ", ") + std::string(name(isa));
    return list;
}

Isa choose() {
    const char* forced = std::getenv("ELMAN_ISA");
    if (!forced || !*forced) return available_isas().back();
    try {
        return isa_from_name(forced);
    } catch (const IsaError& error) {
        throw IsaError(std::string("the variable ELMAN_ISA: ") + error.what());
    }
}

std::atomic<Isa>& in_use() {
    static std::atomic<Isa> isa{choose()};
    return isa;
}

}  // namespace

const KernelTable& kernel_table(Isa isa) {
    const Built* built = find(isa);
    if (!built || !processor_has(isa))
        throw IsaError("instruction set: expected one of " + names(available_isas()) +
                       ", got one that this build or this processor does not have");
    return *built->table;
}

const char* name(Isa isa) noexcept {
    constexpr const char* names[] = {"scalar", "sse2", "avx2", "avx512", "neon"};
    return names[static_cast<int>(isa)];
}

bool fused(Isa isa) {
    return kernel_table(isa).fused;
}

std::vector<Isa> built_isas() {
    std::vector<Isa> isas;
    for (const Built& built : kBuilt) isas.push_back(built.isa);
    return isas;
}

std::vector<Isa> available_isas() {
    std::vector<Isa> isas;
    for (const Built& built : kBuilt)
        if (processor_has(built.isa) && built.table->self_test()) isas.push_back(built.isa);
    return isas;
}

Isa isa() {
    return in_use();
}

void set_isa(const std::string& name) {
    in_use() = isa_from_name(name);
}

Isa isa_from_name(const std::string& wanted) {
    for (Isa isa : available_isas())
        if (name(isa) == wanted) return isa;
    const bool built = std::any_of(std::begin(kBuilt), std::end(kBuilt),
                                   [&](const Built& b) { return b.name == wanted; });
    throw IsaError("instruction set: expected one of " + names(available_isas()) + ", got '" +
                   wanted + "'" +
                   (built ? " (in this build, but this processor does not have it)" : ""));
}

}  // namespace elman
