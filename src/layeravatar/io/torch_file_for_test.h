// Files of torch.save put together opcode by opcode; test programs only.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "layeravatar/io/pickle_for_test.h"
#include "layeravatar/io/zip.h"

namespace layeravatar::io {

inline std::string storage_op(const std::string& type, const std::string& key, std::int64_t count, const std::string& device = "cpu") {
  return tuple_op({text_op("storage"), global_op("torch", type), text_op(key), text_op(device), integer_op(count)}) + "Q";
}

inline std::string tensor_op(const std::string& storage, std::int64_t offset, const std::vector<std::int64_t>& size,
                             const std::vector<std::int64_t>& stride) {
  return call_op("torch._utils", "_rebuild_tensor_v2",
                 {storage, integer_op(offset), integers_op(size), integers_op(stride), "\x89", global_op("collections", "OrderedDict") + ")R"});
}

/// Tensors with a storage each; `write` makes the file of the value that was put together from them.
class TorchFileMaker {
 public:
  std::string tensor(const Array& array, const std::string& device = "cuda:0") {
    const std::map<DType, const char*> types = {{DType::kF32, "Float"}, {DType::kF16, "Half"}, {DType::kBF16, "BFloat16"},
                                                {DType::kI64, "Long"},  {DType::kI32, "Int"},  {DType::kBool, "Bool"}};
    const std::string key = std::to_string(storages_.size());
    storages_[key] = std::string(reinterpret_cast<const char*>(array.data.data()), array.data.size());
    std::vector<std::int64_t> stride(array.shape.size(), 1);
    for (std::size_t k = stride.size(); k-- > 1;) stride[k - 1] = stride[k] * array.shape[k];
    const std::string storage = storage_op(std::string(types.at(array.dtype)) + "Storage", key, static_cast<std::int64_t>(array.count()), device);
    return tensor_op(storage, 0, array.shape, stride);
  }
  std::string dict(const ArrayMap& arrays, const std::string& prefix = "") {
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const auto& [name, array] : arrays) pairs.emplace_back(prefix + name, tensor(array));
    return dict_op(pairs);
  }
  void write(const std::filesystem::path& path, const std::string& value) const {
    ZipOptions options;
    options.level = 0;
    ZipWriter zip(path, options);
    zip.add("archive/data.pkl", pickled(value));
    for (const auto& [key, bytes] : storages_) zip.add("archive/data/" + key, bytes);
    zip.add("archive/version", "3\n");
    zip.commit();
  }

 private:
  std::map<std::string, std::string> storages_;
};

}  // namespace layeravatar::io
