// spare.hpp - an object that calls take and put back, so that not every call makes its own.
//
//   std::unique_ptr<Work> work = spare.take();         // null if there is none
//   if (!work) work = std::make_unique<Work>();
//   ...
//   spare.put(std::move(work));
#pragma once

#include <atomic>
#include <memory>

namespace elman {

template <class Object>
class Spare {
  public:
    Spare() = default;
    Spare(const Spare&) = delete;
    Spare& operator=(const Spare&) = delete;
    ~Spare() { take(); }

    // Any thread may take and put.
    std::unique_ptr<Object> take() noexcept {
        return std::unique_ptr<Object>(object_.exchange(nullptr, std::memory_order_acq_rel));
    }
    void put(std::unique_ptr<Object> object) noexcept {
        const std::unique_ptr<Object> second(
            object_.exchange(object.release(), std::memory_order_acq_rel));
    }

  private:
    std::atomic<Object*> object_{nullptr};
};

}  // namespace elman
