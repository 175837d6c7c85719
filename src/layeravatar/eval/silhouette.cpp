#include "layeravatar/eval/silhouette.h"

#include <torch/torch.h>

#include <algorithm>

#include "layeravatar/core/error.h"

namespace layeravatar::eval {
namespace {

// A copy of a mask in bytes 0 and 1.
torch::Tensor bytes_of(const torch::Tensor& mask) {
  LAV_CHECK(mask.dim() == 2, "a mask is [H, W]");
  return (mask != 0).to(torch::kUInt8).contiguous();
}

// The inner body of holes. A picture's inner_alpha lacks the Gaussians that are too transparent to be drawn, which are
// those that make holes.
splat::Gaussians opaque_body(const splat::Gaussians& all) {
  const torch::Tensor body = (all.components == 0).nonzero().squeeze(1);
  const auto pick = [&](const torch::Tensor& t) { return t.index_select(0, body); };
  return {pick(all.means), pick(all.covariances), pick(all.colours), torch::ones({body.size(0)}), pick(all.components)};
}

}  // namespace

std::vector<std::int64_t> piece_sizes(const torch::Tensor& mask) {
  const torch::Tensor bytes = bytes_of(mask);  // counted pixels are erased
  const std::int64_t h = bytes.size(0), w = bytes.size(1);
  auto* left = bytes.data_ptr<std::uint8_t>();
  std::vector<std::int64_t> sizes, open;
  for (std::int64_t start = 0; start < h * w; ++start) {
    if (left[start] == 0) continue;
    left[start] = 0;
    open.push_back(start);
    std::int64_t size = 0;
    while (!open.empty()) {
      const std::int64_t at = open.back(), x = at % w, y = at / w;
      open.pop_back();
      ++size;
      for (std::int64_t ny = std::max<std::int64_t>(y - 1, 0); ny <= std::min(y + 1, h - 1); ++ny)
        for (std::int64_t nx = std::max<std::int64_t>(x - 1, 0); nx <= std::min(x + 1, w - 1); ++nx) {
          const std::int64_t next = ny * w + nx;
          if (left[next] == 0) continue;
          left[next] = 0;
          open.push_back(next);
        }
    }
    sizes.push_back(size);
  }
  return sizes;
}

std::int64_t largest_square(const torch::Tensor& mask) {
  const torch::Tensor bytes = bytes_of(mask);
  const std::int64_t h = bytes.size(0), w = bytes.size(1);
  const auto* set = bytes.data_ptr<std::uint8_t>();
  // side[x + 1]: of the largest square whose lower right pixel is x, in the row above until x is reached.
  std::vector<std::int64_t> side(static_cast<std::size_t>(w) + 1, 0);
  std::int64_t largest = 0;
  for (std::int64_t y = 0; y < h; ++y) {
    std::int64_t diagonal = 0;
    for (std::size_t x = 1; x < side.size(); ++x) {
      const std::int64_t above = side[x];
      side[x] = *set++ == 0 ? 0 : 1 + std::min({diagonal, above, side[x - 1]});
      diagonal = above;
      largest = std::max(largest, side[x]);
    }
  }
  return largest;
}

Silhouette silhouette_of(const torch::Tensor& alpha, const torch::Tensor& inner_alpha) {
  LAV_CHECK(alpha.sizes() == inner_alpha.sizes(), "two alphas of one size");
  constexpr std::int64_t kSmallestPiece = 4;
  const auto sizes = piece_sizes(alpha >= 0.5);
  return {std::count_if(sizes.begin(), sizes.end(), [](std::int64_t size) { return size >= kSmallestPiece; }),
          largest_square((alpha < 0.5) & (inner_alpha >= 0.9))};
}

Silhouettes evaluate_silhouettes(const produce::Studio& studio, const std::vector<avatar::Avatar>& avatars) {
  LAV_CHECK(!avatars.empty(), "no avatar to look at");
  const auto cameras = geometry::turntable_cameras(256, 12);
  std::int64_t whole = 0;
  Silhouettes out;
  for (const avatar::Avatar& one : avatars) {
    const auto posed =
        produce::pose(studio, produce::decode(studio, one.planes), one.betas, body::default_viewing_pose());
    const auto inner = opaque_body(posed);
    for (const geometry::Camera& camera : cameras) {
      const Silhouette s = silhouette_of(produce::render_view(posed, camera, false).alpha,
                                         produce::render_view(inner, camera, false).alpha);
      whole += s.pieces == 1 ? 1 : 0;
      out.largest_hole = std::max(out.largest_hole, s.hole);
    }
  }
  out.one_piece_share = static_cast<double>(whole) / static_cast<double>(avatars.size() * cameras.size());
  return out;
}

}  // namespace layeravatar::eval
