// A template of 14 points whose neighbours are plain to see; test programs only.
#pragma once
#include "layeravatar/templates/layered_template.h"

namespace layeravatar::avatar {

/// Body 0 head, 1 face, 2 nose, 3 chest, 4 hip, 5 foot, 6 hand; 7 hair, 8 shoe, 9 label 0; 10 bottom over the hip,
/// 11 bottom over the foot; 12 top over the hip, 13 top over the hand.
inline templates::LayeredTemplate small_template() {
  templates::LayeredTemplate t;
  t.blocks = {7, 3, 2, 2};
  const float positions[14][3] = {{0, 1.7F, 0},      {0, 1.6F, 0.1F}, {0, 1.55F, 0.12F}, {0, 1.3F, 0},
                                  {0, 0.9F, 0},      {0, 0, 0},       {0.6F, 1.3F, 0},   {0, 1.72F, 0},
                                  {0, 0.01F, 0},     {0, 1.5F, 0.1F}, {0, 0.9F, 0.02F},  {0.01F, 0.02F, 0},
                                  {0, 0.91F, 0.01F}, {0.6F, 1.31F, 0}};
  for (const auto& p : positions) t.positions.insert(t.positions.end(), p, p + 3);
  const std::size_t n = 14;
  for (std::size_t i = 0; i < n; ++i) t.frames.insert(t.frames.end(), {1, 0, 0, 0, 1, 0, 0, 0, 1});
  t.labels = {1, 1, 1, 1, 1, 1, 1, 3, 4, 0, 5, 5, 2, 2};
  for (std::size_t i = 0; i < n; ++i) {
    const float layer = i < 7 ? 0.0F : i < 10 ? 1.0F : 2.0F;
    t.uvs.insert(t.uvs.end(), {(layer + 0.5F) / 3, 0.07F * static_cast<float>(i)});
    for (std::int32_t k = 0; k < 3; ++k) t.faces.push_back((static_cast<std::int32_t>(i) + k) % 5);
  }
  t.shape_dirs.assign(5 * 60, 0.0F);
  for (std::size_t i = 0; i < t.shape_dirs.size(); ++i)
    if (i % 20 < 10) t.shape_dirs[i] = 0.001F * static_cast<float>(i);
  t.body_weights.assign(7 * 55, 0.0F);
  for (std::size_t i = 0; i < 7; ++i) {
    t.body_weights[55 * i + i] = 0.7F;
    t.body_weights[55 * i + 54] = 0.3F;
  }
  t.face_mask = {0, 1, 1, 0, 0, 0, 0};
  t.hands_mask = {0, 0, 0, 0, 0, 0, 1};
  t.outside_mask = {0, 0, 0, 0, 0, 0, 0};
  t.nose_mask = {0, 0, 1, 0, 0, 0, 0};
  return t;
}

}  // namespace layeravatar::avatar
