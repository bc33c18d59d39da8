// threads.hpp - how many threads a call may use.
#pragma once

#include "elman/types.hpp"

namespace elman {

struct ThreadLimits {
    Index most;          // threads of one call: as many as there are cores
    Index work_of_each;  // multiply-adds that are worth a thread
};

ThreadLimits thread_limits();
void set_thread_limits(ThreadLimits limits);  // for tests, which have few cores and little work
ThreadLimits default_thread_limits();

}  // namespace elman
