// The codes of all training scenes with their Adam moments, kept in 16 bits between visits (spec/model.md section 2.4).
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "layeravatar/core/mapped_file.h"
#include "layeravatar/io/array.h"

namespace layeravatar::train {

/// One scene's code while it is worked on, float32.
struct CodeState {
  torch::Tensor code;        // [12, h, 3h] before the activation
  torch::Tensor exp_avg;     // first moment
  torch::Tensor exp_avg_sq;  // second moment
  float step = 0;
};

/// One Adam step, betas (0.9, 0.999), eps 1e-8, in place.
void adam_step(CodeState& state, const torch::Tensor& gradient, double learning_rate);

/// Scene id -> code as float16 (clamped to +-65504), moments as bfloat16, step as float32.
class CodeCache {
 public:
  /// New codes are uniform in (-1e-4, 1e-4), a function of `seed` and the scene's index, which starts at `first`. With a scratch folder they lie on its disk, and in memory only
  /// as far as there is room. Throws Error(kOutput) when the disk has none.
  CodeCache(std::vector<std::string> scene_names, std::vector<std::int64_t> code_shape, std::uint64_t seed, const std::filesystem::path& scratch = {},
            std::int64_t first = 0);
  /// Bytes that `scenes` codes take.
  static std::int64_t bytes(std::int64_t scenes, const std::vector<std::int64_t>& code_shape);

  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(entries_.size()); }
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  [[nodiscard]] CodeState load(std::int64_t scene) const;
  void store(std::int64_t scene, const CodeState& state);
  /// The code alone, float32.
  [[nodiscard]] torch::Tensor code(std::int64_t scene) const;

  /// "<scene>.code", ".exp_avg", ".exp_avg_sq", ".step" of every scene, to be used before the next `store`.
  [[nodiscard]] io::ArrayMap to_arrays() const;
  /// Scenes are matched by name. Throws Error(kInput) "<file>: code of scene '0007' is missing" or on a wrong shape.
  void from_arrays(const io::ArrayMap& arrays, const std::string& file);

 private:
  struct Entry {
    torch::Tensor code, exp_avg, exp_avg_sq;
    float step = 0;
  };
  std::shared_ptr<ScratchMemory> scratch_;  // of all entries' tensors, null when they have memory of their own
  std::vector<std::string> names_;
  std::vector<std::int64_t> shape_;
  std::vector<Entry> entries_;
};

}  // namespace layeravatar::train
