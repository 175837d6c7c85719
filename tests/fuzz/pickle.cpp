#include "layeravatar/io/pickle.h"

#include "target.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  io::PickleLimits limits;  // small ones, for speed
  limits.array_bytes = 1U << 22U;
  limits.expanded = 1U << 16U;
  fuzz::survives([&] {
    const io::PickleValue value = io::parse_pickle(bytes, "f", {limits, 0, false, {}});
    std::size_t leaves = 0;
    io::for_each_leaf(value, [&](const std::string&, const io::PickleValue& leaf) {
      ++leaves;
      if (!leaf.is(io::PickleValue::Kind::kArray)) return;
      const io::Array& array = leaf.array();
      const auto size = io::byte_count(array.dtype, array.shape);
      fuzz::require(size && static_cast<std::size_t>(*size) == array.data.size(), "an array whose data do not fill its shape");
    });
    fuzz::require(leaves <= limits.expanded, "more values than allowed");
    (void)io::flatten_arrays(value, "f");
  });
}
