// Pickles put together opcode by opcode; test programs only.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "layeravatar/io/array.h"
#include "layeravatar/io/bytes.h"
#include "layeravatar/io/npy_elements.h"

namespace layeravatar::io {

inline std::string text_op(std::string_view text) {
  std::string out = "X";
  append<std::uint32_t>(out, static_cast<std::uint32_t>(text.size()));
  return out.append(text);
}

inline std::string bytes_op(std::string_view bytes) {
  std::string out = "B";
  append<std::uint32_t>(out, static_cast<std::uint32_t>(bytes.size()));
  return out.append(bytes);
}

inline std::string integer_op(std::int64_t value) {
  std::string out = "\x8a\x08";
  append(out, value);
  return out;
}

inline std::string tuple_op(const std::vector<std::string>& items) {
  std::string out = "(";
  for (const std::string& item : items) out += item;
  return out + "t";
}

inline std::string integers_op(const std::vector<std::int64_t>& values) {
  std::vector<std::string> items;
  for (const std::int64_t value : values) items.push_back(integer_op(value));
  return tuple_op(items);
}

inline std::string global_op(const std::string& module, const std::string& name) { return "c" + module + "\n" + name + "\n"; }

inline std::string call_op(const std::string& module, const std::string& name, const std::vector<std::string>& args) {
  return global_op(module, name) + tuple_op(args) + "R";
}

inline std::string dict_op(const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::string out = "}(";
  for (const auto& [key, value] : pairs) out += text_op(key) + value;
  return out + "u";
}

inline std::string dtype_op(const std::string& code, const std::string& order = "<") {
  return call_op("numpy", "dtype", {text_op(code), integer_op(0), integer_op(1)}) + tuple_op({integer_op(3), text_op(order), "N", "N", "N"}) + "b";
}

/// An array with the state that is given: shape, element type, whether in Fortran order, a value for the buffer.
inline std::string array_op(const std::vector<std::int64_t>& shape, const std::string& dtype, bool fortran, const std::string& buffer) {
  return call_op("numpy.core.multiarray", "_reconstruct", {global_op("numpy", "ndarray"), integers_op({0}), bytes_op("b")}) +
         tuple_op({integer_op(1), integers_op(shape), dtype, fortran ? "\x88" : "\x89", buffer}) + "b";
}

inline std::string array_op(const Array& array) {
  const std::string_view data(reinterpret_cast<const char*>(array.data.data()), array.data.size());
  return array_op(array.shape, dtype_op(std::string(numpy_type(array.dtype))), false, bytes_op(data));
}

/// Protocol 3.
inline std::string pickled(const std::string& value) { return "\x80\x03" + value + "."; }

inline std::string pickled(const ArrayMap& arrays) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& [name, array] : arrays) pairs.emplace_back(name, array_op(array));
  return pickled(dict_op(pairs));
}

}  // namespace layeravatar::io
