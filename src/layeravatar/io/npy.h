// NumPy's .npy and .npz files.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "layeravatar/io/array.h"
#include "layeravatar/io/zip.h"

namespace layeravatar::io {

/// Reads versions 1 to 3, both byte orders, C and Fortran order; types f2 f4 f8, i1..i8, u1..u8, b1. Bytes after the
/// array are ignored, as NumPy does. `file` names the source in messages. Throws Error(kInput):
/// "<file>: not a NumPy array file", "... bad header: <part>", "... truncated; expected N bytes of data, found M",
/// "... array of Python objects is not supported".
Array parse_npy(std::string_view bytes, const std::string& file);
/// Version 1, little-endian, C order. Throws Error(kInternal) for bf16, which NumPy does not have.
std::string format_npy(const Array& array);

Array read_npy(const std::filesystem::path& path);
void write_npy(const std::filesystem::path& path, const Array& array);

/// An .npz, whose arrays are decoded when asked for: an array of objects hurts only the caller who wants it.
class NpzReader {
 public:
  explicit NpzReader(const std::filesystem::path& path) : NpzReader(ZipReader(path)) {}
  explicit NpzReader(ZipReader zip);
  [[nodiscard]] const std::string& file() const { return zip_.file(); }
  /// Names of the arrays, without ".npy", in the order of the archive.
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  [[nodiscard]] bool contains(const std::string& name) const { return zip_.contains(name + ".npy"); }
  /// Throws Error(kInput): "<file>: array 'k' is missing", "<file>: array 'k': <message of parse_npy>".
  [[nodiscard]] Array read(const std::string& name) const;

 private:
  ZipReader zip_;
  std::vector<std::string> names_;
};

/// All arrays of an .npz.
ArrayMap read_npz(const std::filesystem::path& path);
/// Equal arrays give equal bytes. Level 0 stores.
void write_npz(const std::filesystem::path& path, const ArrayMap& arrays, ZipOptions options = {});

}  // namespace layeravatar::io
