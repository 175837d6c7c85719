// Per-pixel work, one 16 x 16 tile at a time, one row of 16 pixels as one vector.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "layeravatar/splat/kernels/splat_kernel.h"
#include "layeravatar/splat/kernels/splat_steps.h"

#pragma GCC diagnostic ignored "-Wpsabi"  // vectors never cross a call that is not inlined
#define LAV_INLINE inline __attribute__((always_inline))
#define LAV_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))

namespace layeravatar::splat {
namespace {

using Row = float __attribute__((vector_size(64)));
using RowInt = std::int32_t __attribute__((vector_size(64)));

constexpr float kMinAlpha = 1.0F / 255.0F;
constexpr float kMaxAlpha = 0.99F;
constexpr float kMinTransmittance = 1e-4F;
constexpr int kOutputs = 7;  // full, five components, inner
constexpr int kFull = 0, kInner = 6;
constexpr int kRefresh = 64; // splats between looks at which outputs of a tile are finished

LAV_INLINE Row splat_row(float v) { return Row{} + v; }
LAV_INLINE Row select(RowInt mask, Row yes, Row no) { return mask ? yes : no; }

// exp(x) for x <= 0, relative error below 2e-7; 0 for x < -80.
LAV_INLINE Row exp_row(Row x) {
  const Row t = x * 1.44269504088896341F;
  const RowInt whole = __builtin_convertvector(t - 0.5F, RowInt);  // truncation towards zero of a negative number
  const Row n = __builtin_convertvector(whole, Row);
  const Row f = (x - n * 0.693359375F) - n * -2.12194440e-4F;
  Row p = splat_row(1.9875691500e-4F);
  p = p * f + 1.3981999507e-3F;
  p = p * f + 8.3334519073e-3F;
  p = p * f + 4.1665795894e-2F;
  p = p * f + 1.6666665459e-1F;
  p = p * f + 5.0000001201e-1F;
  p = p * f * f + f + 1.0F;
  const RowInt bits = (whole + 127) << 23;
  Row scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return select(x < -80.0F, Row{}, p * scale);
}

LAV_INLINE float sum_row(Row v) {
  using Half = float __attribute__((vector_size(32)));
  using Quarter = float __attribute__((vector_size(16)));
  Half low, high;
  std::memcpy(&low, &v, sizeof low);
  std::memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof low, sizeof high);
  low += high;
  Quarter a, b;
  std::memcpy(&a, &low, sizeof a);
  std::memcpy(&b, reinterpret_cast<const char*>(&low) + sizeof a, sizeof b);
  a += b;
  return (a[0] + a[2]) + (a[1] + a[3]);
}

// One output of a tile. T > 0 is the transmittance; once the output has stopped it is kept negated.
struct Transmittance {
  Row t[kTile];
};

LAV_INLINE bool all_stopped(const Transmittance& o) {
  RowInt live{};
  for (const Row& t : o.t) live |= t > 0.0F;
  std::int64_t words[8];
  std::memcpy(words, &live, sizeof words);
  return (words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7]) == 0;
}

// alpha T where the splat counts, else 0; moves T on. `counts` tells which pixels it was added to.
LAV_INLINE Row weigh(Row alpha, RowInt valid, Row& t, RowInt& counts) {
  const Row next = t * (1.0F - alpha);
  const RowInt live = valid & (t > 0.0F);
  const RowInt stops = live & (next < kMinTransmittance);
  counts = live & ~stops;
  const Row weight = select(counts, alpha * t, Row{});
  t = select(stops, -t, select(counts, next, t));
  return weight;
}

// Alpha of a row of pixels: Gaussian value, clamped product with the opacity, and where it counts.
struct RowAlpha {
  Row dx, gaussian, alpha;
  RowInt valid;
};

LAV_INLINE RowAlpha row_alpha(const ProjectedSplat& p, Row pixel_x, float dy, float opacity) {
  RowAlpha r;
  r.dx = p.x - pixel_x;
  const Row e = -0.5F * (p.conic_a * r.dx * r.dx + p.conic_c * dy * dy) - p.conic_b * r.dx * dy;
  r.gaussian = exp_row(e);
  const Row product = opacity * r.gaussian;
  r.alpha = select(product < kMaxAlpha, product, splat_row(kMaxAlpha));
  r.valid = (e <= 0.0F) & (r.alpha >= kMinAlpha);
  return r;
}

struct TileGeometry {
  int x, y;       // first pixel
  int rows, columns;  // inside the image
};

TileGeometry geometry_of(const SplatInput& in, const SplatScratch& s, std::int64_t tile) {
  const int x = static_cast<int>(tile % s.tiles_x) * kTile, y = static_cast<int>(tile / s.tiles_x) * kTile;
  return {x, y, std::min(kTile, in.view.height - y), std::min(kTile, in.view.width - x)};
}

LAV_INLINE void store(float* plane, const SplatInput& in, const TileGeometry& g, int row, Row value) {
  if (plane == nullptr) return;
  std::memcpy(plane + static_cast<std::int64_t>(g.y + row) * in.view.width + g.x, &value,
              static_cast<std::size_t>(g.columns) * sizeof(float));
}

LAV_INLINE Row fetch(const float* plane, const SplatInput& in, const TileGeometry& g, int row) {
  Row value{};
  if (plane != nullptr)
    std::memcpy(&value, plane + static_cast<std::int64_t>(g.y + row) * in.view.width + g.x,
                static_cast<std::size_t>(g.columns) * sizeof(float));
  return value;
}

LAV_INLINE Row pixel_columns(int x) {
  Row out;
  for (int k = 0; k < kTile; ++k) out[k] = static_cast<float>(x + k);
  return out;
}

struct Colour {
  Row t[kTile], r[kTile], g[kTile], b[kTile], alpha[kTile];
};

LAV_CLONES void forward_tile(const SplatInput& in, const SplatImages& out, const SplatScratch& s, std::int64_t tile) {
  const TileGeometry g = geometry_of(in, s, tile);
  const std::int64_t pixels = static_cast<std::int64_t>(in.view.width) * in.view.height;
  Transmittance t[kOutputs];
  for (Transmittance& o : t)
    for (Row& row : o.t) row = splat_row(1.0F);
  Row colour[6][3][kTile] = {}, alpha[6][kTile] = {}, depth[kTile] = {}, weight_of[kComponents][kTile] = {};
  Row inner[kTile] = {};
  bool stopped[kOutputs] = {};
  const Row pixel_x = pixel_columns(g.x);
  const std::uint32_t begin = s.tile_start[static_cast<std::size_t>(tile)];
  const std::uint32_t end = s.tile_start[static_cast<std::size_t>(tile) + 1];
  for (std::uint32_t at = begin; at < end; ++at) {
    if ((at - begin) % kRefresh == kRefresh - 1)
      for (int o = 0; o < kOutputs; ++o) stopped[o] = stopped[o] || all_stopped(t[o]);
    const ProjectedSplat& p = s.splats[s.list_splat[at]];
    const bool owned = in.with_components && p.component < kComponents;
    const int own = owned ? p.component + 1 : kFull;
    const bool to_full = !stopped[kFull], to_own = owned && !stopped[own];
    const bool to_inner = owned && p.component == 0 && !stopped[kInner];
    if (!to_full && !to_own && !to_inner) continue;
    const int first = std::max<int>(p.y0 - g.y, 0), last = std::min<int>(p.y1 - g.y, g.rows - 1);
    for (int row = first; row <= last; ++row) {
      const float dy = p.y - static_cast<float>(g.y + row);
      const RowAlpha a = row_alpha(p, pixel_x, dy, p.opacity);
      RowInt counts;
      if (to_full) {
        const Row w = weigh(a.alpha, a.valid, t[kFull].t[row], counts);
        colour[0][0][row] += w * p.r;
        colour[0][1][row] += w * p.g;
        colour[0][2][row] += w * p.b;
        alpha[0][row] += w;
        depth[row] += w * p.depth;
        if (owned) weight_of[p.component][row] += w;
      }
      if (to_own) {
        const Row w = weigh(a.alpha, a.valid, t[own].t[row], counts);
        colour[own][0][row] += w * p.r;
        colour[own][1][row] += w * p.g;
        colour[own][2][row] += w * p.b;
        alpha[own][row] += w;
      }
      if (to_inner) {
        const Row full = select(a.gaussian < kMaxAlpha, a.gaussian, splat_row(kMaxAlpha));
        const RowInt valid = (a.gaussian <= 1.0F) & (full >= kMinAlpha);
        inner[row] += weigh(full, valid, t[kInner].t[row], counts);
      }
    }
  }
  for (int row = 0; row < g.rows; ++row) {
    for (int o = 0; o < (in.with_components ? 6 : 1); ++o) {
      const bool none = o == 0 ? s.empty : s.component_empty[static_cast<std::size_t>(o - 1)];
      const Row t_end = t[o].t[row] < 0.0F ? -t[o].t[row] : t[o].t[row];
      float* image = o == 0 ? out.full : (out.components == nullptr ? nullptr : out.components + 3 * (o - 1) * pixels);
      for (int c = 0; c < 3; ++c) {
        const float background = none && in.empty_is_black ? 0.0F : in.background[static_cast<std::size_t>(c)];
        store(image == nullptr ? nullptr : image + c * pixels, in, g, row, colour[o][c][row] + t_end * background);
      }
      float* alphas = o == 0 ? out.alpha : (out.component_alphas == nullptr ? nullptr : out.component_alphas + (o - 1) * pixels);
      store(alphas, in, g, row, alpha[o][row]);
    }
    store(out.depth, in, g, row, depth[row]);
    if (!in.with_components) continue;
    store(out.inner_alpha, in, g, row, inner[row]);
    for (int c = 0; c < kComponents; ++c)
      store(out.component_weights == nullptr ? nullptr : out.component_weights + c * pixels, in, g, row, weight_of[c][row]);
  }
}

// Walks front to back. `rest` is what lies at and behind the splat: sum of weight times (colour, depth, 1) . gradient,
// background included. Returns dL/d(alpha) and takes the splat's own share away.
LAV_INLINE Row alpha_gradient(Row alpha, RowInt valid, Row& t, Row& rest, Row value, Row& weight) {
  const Row before = t;
  RowInt counts;
  weight = weigh(alpha, valid, t, counts);
  rest -= weight * value;
  return select(counts, before * value - rest / (1.0F - alpha), Row{});
}

LAV_CLONES void backward_tile(const SplatInput& in, const SplatImages& images, const SplatScratch& s,
                              const SplatImageGradients& grad, std::int64_t tile, SlotGradient* slots) {
  const std::uint32_t begin = s.tile_start[static_cast<std::size_t>(tile)];
  const std::uint32_t end = s.tile_start[static_cast<std::size_t>(tile) + 1];
  if (begin == end) return;
  const TileGeometry g = geometry_of(in, s, tile);
  const std::int64_t pixels = static_cast<std::int64_t>(in.view.width) * in.view.height;
  Transmittance t[kOutputs];
  Row rest[kOutputs][kTile] = {}, grad_colour[6][3][kTile] = {}, grad_alpha[kOutputs][kTile] = {}, grad_depth[kTile] = {};
  bool stopped[kOutputs];
  for (int o = 0; o < kOutputs; ++o) stopped[o] = o == kFull ? false : !in.with_components;
  const auto plane = [&](const float* p, std::int64_t index) { return p == nullptr ? nullptr : p + index * pixels; };
  for (int row = 0; row < g.rows; ++row) {
    for (int o = 0; o < (in.with_components ? 6 : 1); ++o) {
      const float* image = o == 0 ? images.full : plane(images.components, 3 * (o - 1));
      const float* gradient = o == 0 ? grad.full : plane(grad.components, 3 * (o - 1));
      for (int c = 0; c < 3; ++c) {
        grad_colour[o][c][row] = fetch(plane(gradient, c), in, g, row);
        rest[o][row] += grad_colour[o][c][row] * fetch(plane(image, c), in, g, row);
      }
      grad_alpha[o][row] = fetch(o == 0 ? grad.alpha : plane(grad.component_alphas, o - 1), in, g, row);
      rest[o][row] += grad_alpha[o][row] * fetch(o == 0 ? images.alpha : plane(images.component_alphas, o - 1), in, g, row);
    }
    grad_depth[row] = fetch(grad.depth, in, g, row);
    rest[kFull][row] += grad_depth[row] * fetch(images.depth, in, g, row);
    grad_alpha[kInner][row] = fetch(grad.inner_alpha, in, g, row);
    rest[kInner][row] = grad_alpha[kInner][row] * fetch(images.inner_alpha, in, g, row);
  }
  // Pixels beyond the image, and outputs without any gradient, have nothing to say.
  for (int o = 0; o < kOutputs; ++o) {
    RowInt any{};
    for (int row = 0; row < kTile; ++row) {
      any |= grad_alpha[o][row] != 0.0F;
      if (o < 6)
        for (int c = 0; c < 3; ++c) any |= grad_colour[o][c][row] != 0.0F;
      if (o == kFull) any |= grad_depth[row] != 0.0F;
      Row live = splat_row(row < g.rows ? 1.0F : -1.0F);
      for (int k = g.columns; k < kTile; ++k) live[k] = -1.0F;
      t[o].t[row] = live;
    }
    std::int64_t words[8];
    std::memcpy(words, &any, sizeof words);
    stopped[o] = stopped[o] ||
                 (words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7]) == 0;
  }
  const Row pixel_x = pixel_columns(g.x);
  for (std::uint32_t at = begin; at < end; ++at) {
    if ((at - begin) % kRefresh == kRefresh - 1)
      for (int o = 0; o < kOutputs; ++o) stopped[o] = stopped[o] || all_stopped(t[o]);
    const ProjectedSplat& p = s.splats[s.list_splat[at]];
    const bool owned = in.with_components && p.component < kComponents;
    const int own = owned ? p.component + 1 : kFull;
    const bool to_full = !stopped[kFull], to_own = owned && !stopped[own];
    const bool to_inner = owned && p.component == 0 && !stopped[kInner];
    if (!to_full && !to_own && !to_inner) continue;
    Row vx{}, vy{}, vxx{}, vxy{}, vyy{}, vo{}, vz{}, vr{}, vg{}, vb{};
    const int first = std::max<int>(p.y0 - g.y, 0), last = std::min<int>(p.y1 - g.y, g.rows - 1);
    for (int row = first; row <= last; ++row) {
      const float dy = p.y - static_cast<float>(g.y + row);
      const RowAlpha a = row_alpha(p, pixel_x, dy, p.opacity);
      Row by_alpha{}, by_inner{}, weight;
      if (to_full) {
        const Row* gc[3] = {grad_colour[0][0], grad_colour[0][1], grad_colour[0][2]};
        const Row value = p.r * gc[0][row] + p.g * gc[1][row] + p.b * gc[2][row] + p.depth * grad_depth[row] + grad_alpha[0][row];
        by_alpha += alpha_gradient(a.alpha, a.valid, t[kFull].t[row], rest[kFull][row], value, weight);
        vr += weight * gc[0][row];
        vg += weight * gc[1][row];
        vb += weight * gc[2][row];
        vz += weight * grad_depth[row];
      }
      if (to_own) {
        const Row* gc[3] = {grad_colour[own][0], grad_colour[own][1], grad_colour[own][2]};
        const Row value = p.r * gc[0][row] + p.g * gc[1][row] + p.b * gc[2][row] + grad_alpha[own][row];
        by_alpha += alpha_gradient(a.alpha, a.valid, t[own].t[row], rest[own][row], value, weight);
        vr += weight * gc[0][row];
        vg += weight * gc[1][row];
        vb += weight * gc[2][row];
      }
      if (to_inner) {
        const Row full = select(a.gaussian < kMaxAlpha, a.gaussian, splat_row(kMaxAlpha));
        const RowInt valid = (a.gaussian <= 1.0F) & (full >= kMinAlpha);
        by_inner = alpha_gradient(full, valid, t[kInner].t[row], rest[kInner][row], grad_alpha[kInner][row], weight);
      }
      vo += a.gaussian * by_alpha;
      const Row v = a.gaussian * (p.opacity * by_alpha + by_inner);
      const Row v_dx = v * a.dx;
      vx += v_dx;
      vy += v * dy;
      vxx += v_dx * a.dx;
      vxy += v_dx * dy;
      vyy += v * (dy * dy);
    }
    slots[s.list_slot[at]] = {sum_row(vx), sum_row(vy), sum_row(vxx), sum_row(vxy), sum_row(vyy),
                              sum_row(vo), sum_row(vz), sum_row(vr),  sum_row(vg),  sum_row(vb)};
  }
}

}  // namespace

void splat_forward_cpu(const SplatInput& input, const SplatImages& out, SplatScratch& scratch) {
  project_and_sort(input, scratch);
  const std::int64_t tiles = static_cast<std::int64_t>(scratch.tiles_x) * scratch.tiles_y;
#pragma omp parallel for schedule(dynamic, 4)
  for (std::int64_t tile = 0; tile < tiles; ++tile) forward_tile(input, out, scratch, tile);
}

void splat_backward_cpu(const SplatInput& input, const SplatImages& images, const SplatScratch& scratch,
                        const SplatImageGradients& grad, const SplatGradients& out) {
  std::vector<SlotGradient> slots(scratch.list_slot.size());
  const std::int64_t tiles = static_cast<std::int64_t>(scratch.tiles_x) * scratch.tiles_y;
#pragma omp parallel for schedule(dynamic, 4)
  for (std::int64_t tile = 0; tile < tiles; ++tile)
    backward_tile(input, images, scratch, grad, tile, slots.data());
  screen_to_world(input, scratch, slots, out);
}

}  // namespace layeravatar::splat
