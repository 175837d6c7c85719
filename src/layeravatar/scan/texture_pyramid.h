// A texture and its reductions, for sampling without flicker (spec/body_and_data.md section 11.2).
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "layeravatar/io/png.h"

namespace layeravatar::scan {

/// Levels, each half as wide and high as the one before, down to one texel or to `last_level` (the release's pictures
/// have levels 0 to 3). The colour of a texel that is wholly transparent is
/// replaced by that of its surroundings, so that cut-outs have no fringe. v = 0 is the bottom; clamped to the edge.
class TexturePyramid {
 public:
  /// Throws Error(kInternal) unless the image has 1, 3 or 4 channels and at least one pixel.
  explicit TexturePyramid(const io::Image& image, int last_level = kReleaseLevels);
  static constexpr int kReleaseLevels = 3, kAllLevels = 99;

  /// RGB 0..255, linear within and between levels; `level` is clamped to those there are.
  [[nodiscard]] std::array<float, 3> colour(float u, float v, float level) const;
  /// 0..255 of the full-size texture, 255 where it has no alpha.
  [[nodiscard]] float alpha(float u, float v) const;
  [[nodiscard]] bool has_alpha() const { return !alpha_.empty(); }
  [[nodiscard]] int width() const { return levels_.front().width; }
  [[nodiscard]] int height() const { return levels_.front().height; }

 private:
  struct Level {
    int width, height;
    std::vector<std::uint8_t> rgbx;  // four bytes a texel
  };
  std::vector<Level> levels_;
  std::vector<std::uint8_t> alpha_;
};

}  // namespace layeravatar::scan
