// A random body of any size for tests; test programs only.
#pragma once
#include <cmath>
#include <random>

#include "layeravatar/body/body_model.h"

namespace layeravatar::body {

inline std::vector<float> random_numbers(std::size_t count, float range, unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<float> out(count);
  for (float& x : out) x = range * (static_cast<float>(engine() >> 8) * 0x1p-23F - 1.0F);
  return out;
}

inline BodyModel synthetic_body(std::size_t count) {
  BodyModel m;
  m.v_template = random_numbers(3 * count, 0.15F, 1);
  for (std::size_t v = 0; v < count; ++v) m.v_template[3 * v + 2] *= 0.2F;  // flat along z, as a T-pose is
  m.shapedirs = random_numbers(3 * count * kShapeColumns, 0.01F, 2);
  m.posedirs = random_numbers(3 * count * kPoseFeatures, 0.01F, 3);
  m.j_regressor = random_numbers(kJoints * count, 1.0F, 4);
  m.weights = random_numbers(count * kJoints, 1.0F, 5);
  const auto normalise = [](std::vector<float>& values, std::size_t width) {
    for (std::size_t begin = 0; begin < values.size(); begin += width) {
      float sum = 0.0F;
      for (std::size_t i = begin; i < begin + width; ++i) sum += values[i] = std::pow(std::abs(values[i]), 6.0F);
      for (std::size_t i = begin; i < begin + width; ++i) values[i] /= sum;
    }
  };
  normalise(m.j_regressor, count);
  normalise(m.weights, kJoints);
  m.parents.assign(kExpectedParents.begin(), kExpectedParents.end());
  m.parents[0] = 4294967295;
  m.faces = {0, 1, 2};
  m.prepare();
  return m;
}

}  // namespace layeravatar::body
