// Named arrays of a file, whether an .npz or a pickled dict.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "layeravatar/io/npy.h"
#include "layeravatar/io/pickle.h"

namespace layeravatar::body {

/// Arrays are decoded when asked for.
class ArraySource {
 public:
  virtual ~ArraySource() = default;
  [[nodiscard]] virtual std::string file() const = 0;
  [[nodiscard]] virtual bool contains(const std::string& key) const = 0;
  /// Throws Error(kInput) naming the file and the key.
  [[nodiscard]] virtual io::Array read(const std::string& key) const = 0;
};

class NpzSource : public ArraySource {
 public:
  explicit NpzSource(io::NpzReader reader) : reader_(std::move(reader)) {}
  [[nodiscard]] std::string file() const override { return reader_.file(); }
  [[nodiscard]] bool contains(const std::string& key) const override { return reader_.contains(key); }
  [[nodiscard]] io::Array read(const std::string& key) const override { return reader_.read(key); }

 private:
  io::NpzReader reader_;
};

class PickleSource : public ArraySource {
 public:
  /// Throws Error(kInput) when the value is no dict.
  PickleSource(io::PickleValue root, std::string file);
  [[nodiscard]] std::string file() const override { return file_; }
  [[nodiscard]] bool contains(const std::string& key) const override { return root_.contains(key); }
  [[nodiscard]] io::Array read(const std::string& key) const override;

 private:
  std::string file_;
  io::PickleValue root_;
};

/// A zip archive, or a file that ends in .npz.
bool is_npz(const std::filesystem::path& path);
/// An .npz, anything else as a pickle.
std::unique_ptr<ArraySource> open_arrays(const std::filesystem::path& path);

}  // namespace layeravatar::body
