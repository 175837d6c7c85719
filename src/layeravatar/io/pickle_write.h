// Python pickles of plain arrays, as NumPy reads them.
#pragma once
#include <string>

#include "layeravatar/io/array.h"

namespace layeravatar::io {

/// A dict of NumPy arrays in C order, protocol 4, which the release's files have. Equal arrays give equal bytes. Throws
/// Error(kInternal) for bf16, which NumPy does not have, and for an array of 4 GiB or more.
std::string format_pickle(const ArrayMap& arrays);

}  // namespace layeravatar::io
