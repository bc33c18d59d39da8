// threads.hpp - limits on the number of threads.
#pragma once

#include "elman/types.hpp"

namespace elman {

struct ThreadLimits {
    Index most;          // threads of one call: by default the number of cores
    Index work_of_each;  // multiply-adds that justify a thread
};

ThreadLimits thread_limits();
void set_thread_limits(ThreadLimits limits);  // for tests: few cores, little work
ThreadLimits default_thread_limits();

}  // namespace elman
