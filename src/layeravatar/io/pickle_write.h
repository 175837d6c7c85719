// Pickles of dictionaries of arrays, texts and whole numbers, as Python with NumPy reads them.
#pragma once
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "layeravatar/io/array.h"

namespace layeravatar::io {

using PickleEntry = std::variant<Array, std::string, std::int64_t>;

/// Protocol 4, the entries in this order. Throws Error(kInternal) for bf16, which NumPy does not have.
std::string format_pickle(const std::vector<std::pair<std::string, PickleEntry>>& entries);
std::string format_pickle_arrays(const ArrayMap& arrays);

}  // namespace layeravatar::io
