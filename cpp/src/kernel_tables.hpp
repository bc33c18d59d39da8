// kernel_tables.hpp - from an instruction set to its kernels.
#pragma once

#include "elman/isa.hpp"
#include "kernels/table.hpp"

namespace elman {

const KernelTable& kernel_table(Isa isa);  // one of built_isas()

}  // namespace elman
