#include "layeravatar/eval/leakage.h"

#include <torch/torch.h>

#include <algorithm>
#include <array>

#include "layeravatar/core/error.h"
#include "layeravatar/eval/metrics.h"

namespace layeravatar::eval {
namespace {

struct Swap {
  const avatar::Avatar* produce::Wardrobe::*donor;
  int label;
};
constexpr std::array<Swap, 4> kSwaps = {{{&produce::Wardrobe::top, 2},
                                         {&produce::Wardrobe::hair, 3},
                                         {&produce::Wardrobe::shoes, 4},
                                         {&produce::Wardrobe::bottom, 5}}};

struct View {
  torch::Tensor image, labels;
};

// Front and back.
std::array<View, 2> views_of(const produce::Studio& studio, const avatar::GaussianAttributes& attributes,
                             const std::array<float, 10>& betas) {
  const auto cameras = geometry::turntable_cameras(studio.config.image_size);
  const auto posed = produce::pose(studio, attributes, betas, body::default_viewing_pose());
  const auto draw = [&](std::size_t camera) {
    const auto drawn = produce::render_view(posed, cameras[camera], true);
    return View{drawn.full.clamp(0, 1), produce::label_map(drawn)};
  };
  return {draw(0), draw(18)};
}

}  // namespace

torch::Tensor untouched_pixels(const torch::Tensor& before, const torch::Tensor& after, int swapped) {
  LAV_CHECK(before.sizes() == after.sizes(), "label images of one size");
  return (before != 0) & (before != swapped) & (after != 0) & (after != swapped);
}

Leakage evaluate_leakage(const produce::Studio& studio, std::size_t count, const std::function<avatar::Avatar(std::size_t)>& person, int pairs) {
  LAV_CHECK(count > 1 && pairs > 0, "two people make a pair");
  constexpr std::int64_t kFewestPixels = 100;
  const std::size_t half = count / 2, used = std::min(half, static_cast<std::size_t>(pairs));
  Leakage out;
  for (std::size_t k = 0; k < used; ++k) {
    const std::size_t i = k * half / used;
    const avatar::Avatar base = person(i), donor = person(i + half);
    const auto before = views_of(studio, produce::decode(studio, base.planes), base.betas);
    for (const Swap& swap : kSwaps) {
      produce::Wardrobe donors;
      donors.*swap.donor = &donor;
      const auto after = views_of(studio, produce::compose(studio, base, donors), base.betas);
      for (std::size_t v = 0; v < before.size(); ++v) {
        const torch::Tensor mask = untouched_pixels(before[v].labels, after[v].labels, swap.label);
        if (mask.sum().item<std::int64_t>() < kFewestPixels) continue;
        out.psnr += masked_psnr(before[v].image, after[v].image, mask);
        ++out.pictures;
      }
    }
  }
  out.psnr /= std::max(out.pictures, 1);
  return out;
}

}  // namespace layeravatar::eval
