// The safetensors format: named arrays and string metadata, nothing that executes.
#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "layeravatar/io/array.h"

namespace layeravatar::io {

struct SafeTensors {
  ArrayMap tensors;
  std::map<std::string, std::string> metadata;
};

/// Throws Error(kInput), the tensor named: header longer than the file, bad JSON, unknown type, a size that does not fit
/// the shape, tensors that overlap or leave a gap, missing or left-over data. With an owner of `bytes` the arrays look into them
/// and keep it, but for booleans and what lies askew for its type.
SafeTensors parse_safetensors(std::string_view bytes, const std::string& file, const std::shared_ptr<const void>& owner = nullptr);
SafeTensors read_safetensors(const std::filesystem::path& path);

/// Equal content gives equal bytes: tensors lie by falling element size, then by name; the data start at a multiple of 8.
/// The name "__metadata__" is reserved (Error(kInternal)).
void write_safetensors(const std::filesystem::path& path, const SafeTensors& content);

}  // namespace layeravatar::io
