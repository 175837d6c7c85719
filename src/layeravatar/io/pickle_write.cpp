#include "layeravatar/io/pickle_write.h"

#include <limits>

#include "layeravatar/core/error.h"
#include "layeravatar/io/bytes.h"
#include "layeravatar/io/npy_elements.h"

namespace layeravatar::io {
namespace {

void put_text(std::string& out, std::string_view text) {
  out += 'X';
  append<std::uint32_t>(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

void put_integer(std::string& out, std::int64_t value) {
  out += "\x8a\x08";
  append(out, value);
}

void put_bytes(std::string& out, std::string_view bytes) {
  LAV_CHECK(bytes.size() <= std::numeric_limits<std::uint32_t>::max(), "an array of 4 GiB or more");
  out += 'B';
  append<std::uint32_t>(out, static_cast<std::uint32_t>(bytes.size()));
  out += bytes;
}

// numpy.core.multiarray._reconstruct(numpy.ndarray, (0,), b'b'), then its state (1, shape, dtype, not Fortran, bytes).
void put_array(std::string& out, const Array& array) {
  const std::string_view type = numpy_type(array.dtype);
  LAV_CHECK(!type.empty(), "a type that NumPy does not have");
  out += "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(";
  put_integer(out, 0);
  out += 't';
  put_bytes(out, "b");
  out += "tR(";
  put_integer(out, 1);
  out += '(';
  for (const std::int64_t size : array.shape) put_integer(out, size);
  out += "tcnumpy\ndtype\n(";
  put_text(out, type);
  put_integer(out, 0);
  put_integer(out, 1);
  out += "tR(";
  put_integer(out, 3);
  put_text(out, size_of(array.dtype) == 1 ? "|" : "<");
  out += "NNN";
  put_integer(out, -1);
  put_integer(out, -1);
  put_integer(out, 0);
  out += "tb\x89";
  put_bytes(out, {reinterpret_cast<const char*>(array.data.data()), array.data.size()});
  out += "tb";
}

}  // namespace

std::string format_pickle(const ArrayMap& arrays) {
  std::string out = "\x80\x04}(";
  for (const auto& [name, array] : arrays) {
    put_text(out, name);
    put_array(out, array);
  }
  return out + "u.";
}

}  // namespace layeravatar::io
