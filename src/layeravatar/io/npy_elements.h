// How NumPy writes the elements of an array; .npy files and pickles share it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "layeravatar/io/array.h"

namespace layeravatar::io {

/// The text of a plain type, as in .npy headers: f2 f4 f8 i1..i8 u1..u8 b1. Nothing for the others.
std::string_view numpy_type(DType dtype);

struct ElementType {
  DType dtype = DType::kF32;
  bool swap = false;  // stored in the other byte order
};

/// Reads "<f4", "|b1", "=i8", "u2", ... Throws Error(kInput): "<file>: array of Python objects is not supported",
/// "<file>: <part>; expected a type of f2 f4 f8 i1..i8 u1..u8 b1, found '<descr>'".
ElementType parse_element_type(const std::string& descr, const std::string& file, const std::string& part);

/// The array in C order and the host's byte order. `data` holds at least byte_count(type.dtype, shape) bytes.
Array decode_elements(ElementType type, std::vector<std::int64_t> shape, bool fortran, std::string_view data);

}  // namespace layeravatar::io
