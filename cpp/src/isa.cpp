#include "elman/isa.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "kernel_tables.hpp"

namespace elman {

#if defined(__x86_64__) || defined(_M_X64)
#define ELMAN_ISAS(X) X(scalar) X(sse2) X(avx2) X(avx512)
#elif defined(__aarch64__) || defined(_M_ARM64)
#define ELMAN_ISAS(X) X(scalar) X(neon)
#else
#define ELMAN_ISAS(X) X(scalar)
#endif

#define ELMAN_DECLARE(isa)          \
    namespace isa {                 \
    extern const KernelTable table; \
    }
ELMAN_ISAS(ELMAN_DECLARE)
#undef ELMAN_DECLARE

namespace {

struct Built {
    Isa isa;
    const char* name;
    const KernelTable* table;
};

#define ELMAN_BUILT(isa) {Isa::isa, #isa, &isa::table},
constexpr Built kBuilt[] = {ELMAN_ISAS(ELMAN_BUILT)};  // the best one last
#undef ELMAN_BUILT

const Built* find(Isa isa) {
    for (const Built& built : kBuilt)
        if (built.isa == isa) return &built;
    return nullptr;
}

bool processor_has(Isa isa) {
    switch (isa) {
#if defined(__x86_64__) || defined(_M_X64)
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
    return *find(isa)->table;
}

const char* name(Isa isa) noexcept {
    return find(isa)->name;
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
                   (built ? " (it is in this build, but this processor does not have it)" : ""));
}

}  // namespace elman
