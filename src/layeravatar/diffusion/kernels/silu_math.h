// What the normalisation kernels share: a vectorisable exponential.
#pragma once
#include <bit>
#include <cstdint>

#include "layeravatar/core/clones.h"

namespace layeravatar::diffusion {

// exp to 1e-7 relative on [-87, 87], clamped outside: 2^n times a polynomial in the rest, |rest| <= ln(2) / 2.
[[gnu::always_inline]] inline float exp_of(float x) {
  x = x < -87.0F ? -87.0F : x;
  x = x > 87.0F ? 87.0F : x;
  const float n = (x * 1.44269504F + 12582912.0F) - 12582912.0F;  // rounded to an integer by 1.5 * 2^23
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  return p * std::bit_cast<float>((static_cast<std::int32_t>(n) + 127) << 23);
}

[[gnu::always_inline]] inline float sigmoid(float z) { return 1.0F / (1.0F + exp_of(-z)); }

/// Derivative of z sigmoid(z).
[[gnu::always_inline]] inline float silu_slope(float z) {
  const float w = sigmoid(z);
  return w * (1.0F + z * (1.0F - w));
}

}  // namespace layeravatar::diffusion
