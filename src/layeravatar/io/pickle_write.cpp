#include "layeravatar/io/pickle_write.h"

#include "layeravatar/core/error.h"
#include "layeravatar/io/bytes.h"
#include "layeravatar/io/npy_elements.h"

namespace layeravatar::io {
namespace {

void text(std::string& out, std::string_view value) {  // BINUNICODE8
  out += '\x8d';
  append<std::uint64_t>(out, value.size());
  out += value;
}

void integer(std::string& out, std::int64_t value) {  // LONG1 of eight bytes
  out += "\x8a\x08";
  append(out, value);
}

void global(std::string& out, std::string_view module, std::string_view name) {
  out += 'c';
  out += module;
  out += '\n';
  out += name;
  out += '\n';
}

void bytes(std::string& out, std::string_view value) {  // BINBYTES8
  out += '\x8e';
  append<std::uint64_t>(out, value.size());
  out += value;
}

void array(std::string& out, const Array& value) {
  global(out, "numpy.core.multiarray", "_reconstruct");
  out += '(';
  global(out, "numpy", "ndarray");
  out += '(';
  integer(out, 0);
  out += 't';
  bytes(out, "b");
  out += "tR(";
  integer(out, 1);
  out += '(';
  for (const std::int64_t size : value.shape) integer(out, size);
  out += 't';
  global(out, "numpy", "dtype");
  out += '(';
  text(out, numpy_type(value.dtype));
  integer(out, 0);
  integer(out, 1);
  out += "tR(";
  integer(out, 3);
  text(out, size_of(value.dtype) == 1 ? "|" : "<");
  out += "NNN";
  integer(out, -1);
  integer(out, -1);
  integer(out, 0);
  out += "tb\x89";  // the state of the type is set; not in Fortran order
  bytes(out, {reinterpret_cast<const char*>(value.data.data()), value.data.size()});
  out += "tb";
}

}  // namespace

std::string format_pickle(const std::vector<std::pair<std::string, PickleEntry>>& entries) {
  std::string out = "\x80\x04}(";
  for (const auto& [name, value] : entries) {
    text(out, name);
    if (const auto* a = std::get_if<Array>(&value)) array(out, *a);
    else if (const auto* t = std::get_if<std::string>(&value)) text(out, *t);
    else integer(out, std::get<std::int64_t>(value));
  }
  return out + "u.";
}

std::string format_pickle_arrays(const ArrayMap& arrays) { return format_pickle(std::vector<std::pair<std::string, PickleEntry>>(arrays.begin(), arrays.end())); }

}  // namespace layeravatar::io
