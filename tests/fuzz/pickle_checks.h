// What holds of a pickle's values from any file.
#pragma once
#include <cstddef>
#include <string>

#include "layeravatar/io/pickle.h"
#include "target.h"

namespace layeravatar::fuzz {

/// Small limits, for speed.
inline io::PickleLimits small_limits() {
  io::PickleLimits out;
  out.array_bytes = 1U << 22U;
  out.expanded = 1U << 16U;
  return out;
}

/// Arrays of what `read` gives under `limits` fill their shapes, and there are no more values than allowed.
template <class Read>
void check_pickle(const io::PickleLimits& limits, Read&& read) {
  survives([&] {
    const io::PickleValue value = read();
    std::size_t leaves = 0;
    io::for_each_leaf(value, [&](const std::string&, const io::PickleValue& leaf) {
      ++leaves;
      if (!leaf.is(io::PickleValue::Kind::kArray)) return;
      const io::Array& array = leaf.array();
      const auto size = io::byte_count(array.dtype, array.shape);
      require(size && static_cast<std::size_t>(*size) == array.data.size(), "an array whose data do not fill its shape");
    });
    require(leaves <= limits.expanded, "more values than allowed");
    (void)io::flatten_arrays(value, "f");
  });
}

}  // namespace layeravatar::fuzz
