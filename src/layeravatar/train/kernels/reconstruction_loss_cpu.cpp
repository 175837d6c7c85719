#include <algorithm>
#include <cmath>
#include <vector>

#include "layeravatar/core/clones.h"
#include "layeravatar/train/kernels/reconstruction_loss_kernel.h"

namespace layeravatar::train {
namespace {

constexpr std::int64_t kBlock = 2048;
constexpr int kComponentOfLabel[6] = {-1, 0, 1, 2, 3, 4};

// Pseudo-Huber 0.1 (sqrt(1 + d^2 / 0.01) - 1): sum of the values; gradient[i] += scale * derivative.
LAV_CLONES double huber_block(const float* x, const float* y, float scale, float* gradient, std::int64_t n) {
  float sum[16] = {};
  std::int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int k = 0; k < 16; ++k) {
      const float d = x[i + k] - y[i + k];
      const float root = std::sqrt(1.0F + 100.0F * d * d);
      sum[k] += 10.0F * d * d / (root + 1.0F);  // 0.1 (root - 1) without cancellation
      gradient[i + k] += scale * 10.0F * d / root;
    }
  double total = 0;
  for (; i < n; ++i) {
    const float d = x[i] - y[i];
    const float root = std::sqrt(1.0F + 100.0F * d * d);
    total += 10.0F * d * d / (root + 1.0F);
    gradient[i] += scale * 10.0F * d / root;
  }
  for (const float s : sum) total += s;
  return total;
}

LAV_CLONES double squared_error_block(const float* x, const float* y, std::int64_t n) {
  float sum[16] = {};
  std::int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int k = 0; k < 16; ++k) sum[k] += (x[i + k] - y[i + k]) * (x[i + k] - y[i + k]);
  double total = 0;
  for (; i < n; ++i) total += (x[i] - y[i]) * (x[i] - y[i]);
  for (const float s : sum) total += s;
  return total;
}

void block_terms(const ReconstructionLossArgs& a, std::int64_t begin, std::int64_t n, double* terms) {
  const std::int64_t pixels = a.pixels;
  const ImageTermScales& s = a.scales;
  const auto zero = [&](float* p) { std::fill(p + begin, p + begin + n, 0.0F); };
  for (int c = 0; c < 3; ++c) zero(a.grad_full + c * pixels);
  for (int c = 0; c < 15; ++c) zero(a.grad_components + c * pixels);
  for (int c = 0; c < 5; ++c) zero(a.grad_component_alphas + c * pixels);
  zero(a.grad_inner_alpha);
  double full = 0, part = 0, alpha = 0, body = 0, silhouette = 0, inner = 0, skin = 0, entropy = 0, squared = 0;
  for (int c = 0; c < 3; ++c) {
    const std::int64_t at = c * pixels + begin;
    full += huber_block(a.full + at, a.target + at, s.full, a.grad_full + at, n);
    squared += squared_error_block(a.full + at, a.target + at, n);
  }
  // Masked colours: only the pixel's own component differs from zero.
  for (std::int64_t i = begin; i < begin + n; ++i) {
    const int component = kComponentOfLabel[a.labels[i]];
    if (component < 0) continue;
    for (int c = 0; c < 3; ++c) {
      const std::int64_t at = (3 * component + c) * pixels + i;
      part += huber_block(a.components + at, a.target + c * pixels + i, s.part, a.grad_components + at, 1);
    }
  }
  float mask[kBlock];
  float value[kBlock];
  float gradient[kBlock];
  const std::uint8_t* labels = a.labels + begin;
  for (int component = 1; component < 5; ++component) {
    const std::int64_t at = component * pixels + begin;
    for (std::int64_t i = 0; i < n; ++i) mask[i] = kComponentOfLabel[labels[i]] == component ? 1.0F : 0.0F;
    alpha += huber_block(a.component_alphas + at, mask, s.part_alpha, a.grad_component_alphas + at, n);
  }
  const float* a1 = a.component_alphas + begin;
  float* grad_a1 = a.grad_component_alphas + begin;
  for (std::int64_t i = 0; i < n; ++i) {
    mask[i] = labels[i] == 1 ? 1.0F : 0.0F;
    value[i] = a1[i] * mask[i];
    gradient[i] = 0.0F;
  }
  body += huber_block(value, mask, s.body_alpha, gradient, n);
  for (std::int64_t i = 0; i < n; ++i) {
    grad_a1[i] += gradient[i] * mask[i];
    mask[i] = labels[i] != 0 ? 1.0F : 0.0F;
    value[i] = labels[i] > 1 ? (1.0F - a1[i]) + a1[i] : a1[i];
    gradient[i] = 0.0F;
  }
  silhouette += huber_block(value, mask, s.body_silhouette, gradient, n);
  for (std::int64_t i = 0; i < n; ++i) {
    grad_a1[i] += gradient[i];
    const float excess = a.inner_alpha[begin + i] - mask[i];
    if (excess > 0.0F) {
      inner += excess;
      a.grad_inner_alpha[begin + i] = s.inner;
    }
    const float p = std::clamp(a1[i], 1e-3F, 1.0F - 1e-3F);
    if (p != a1[i]) {
      constexpr double kAtClamp = -0.007907255112232087;  // p ln p + (1 - p) ln(1 - p) at p = 1e-3
      entropy -= kAtClamp;
    } else {
      const float log_p = std::log(p), log_q = std::log1p(-p);
      entropy -= p * log_p + (1.0F - p) * log_q;
      grad_a1[i] -= s.entropy * (log_p - log_q);
    }
    if (labels[i] > 1) {
      for (int c = 0; c < 3; ++c) {
        const float difference = (a.components[c * pixels + begin + i] - a.skin[c]) * a1[i];
        skin += std::abs(difference);
        if (difference != 0.0F)
          a.grad_components[c * pixels + begin + i] += std::copysign(s.skin * a1[i], difference);
      }
    }
  }
  terms[0] = s.full * full + s.part * part;
  terms[1] = s.part_alpha * alpha + s.body_alpha * body + s.body_silhouette * silhouette;
  terms[2] = s.inner * inner;
  terms[3] = s.skin * skin;
  terms[4] = s.entropy * entropy;
  terms[5] = squared;
}

}  // namespace

void reconstruction_loss_cpu(const ReconstructionLossArgs& args) {
  const std::int64_t blocks = (args.pixels + kBlock - 1) / kBlock;
  std::vector<double> partial(static_cast<std::size_t>(blocks) * kImageTerms);
#pragma omp parallel for schedule(static)
  for (std::int64_t b = 0; b < blocks; ++b)
    block_terms(args, b * kBlock, std::min(kBlock, args.pixels - b * kBlock), partial.data() + b * kImageTerms);
  std::fill(args.terms, args.terms + kImageTerms, 0.0);
  for (std::int64_t b = 0; b < blocks; ++b)
    for (int k = 0; k < kImageTerms; ++k) args.terms[k] += partial[static_cast<std::size_t>(b * kImageTerms + k)];
}

}  // namespace layeravatar::train
