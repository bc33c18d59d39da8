// kernel_tables.hpp - the kernels of an instruction set.
#pragma once

#include "elman/isa.hpp"
#include "kernels/table.hpp"

namespace elman {

const KernelTable& kernel_table(Isa isa);  // one of built_isas()

}  // namespace elman
