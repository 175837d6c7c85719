// Template and body as a released checkpoint carries them among its networks' buffers (spec/model.md sections 5.5, 10 and
// 16).
#pragma once
#include <map>
#include <string>
#include <vector>

#include "layeravatar/body/body_model.h"
#include "layeravatar/body/weight_volume.h"
#include "layeravatar/io/array.h"
#include "layeravatar/templates/layered_template.h"

namespace layeravatar::avatar {

/// The arrays of a checkpoint by their keys; they belong to whoever read the file.
using StateDict = std::map<std::string, const io::Array*>;

/// Which of the arrays that make up a template or a body a checkpoint has under a prefix ("decoder_ema."); whole keys.
struct BufferKeys {
  std::vector<std::string> found, missing;
  [[nodiscard]] bool complete() const { return missing.empty(); }
};
BufferKeys template_buffers(const StateDict& state, const std::string& prefix);
BufferKeys body_buffers(const StateDict& state, const std::string& prefix);

/// The template, where its buffers are complete. The checkpoint's positions have the outer layers 1 cm off the skin and
/// its coordinates are 2 uv - 1: both are undone. Throws Error(kInput) "<file>: ..." for arrays that do not fit together.
templates::LayeredTemplate carried_template(const StateDict& state, const std::string& prefix, const std::string& file);

/// The body, where its buffers are complete; prepared. Throws Error(kInput) as above.
body::BodyModel carried_body(const StateDict& state, const std::string& prefix, const std::string& file);

/// How far the skinning volume under `prefix` is from ours: largest difference of a weight, and of centre and half size
/// (metres). Negative where the checkpoint has none. Throws Error(kInput) for other sizes.
struct VolumeDifference {
  double weights = -1, box = -1;
  std::vector<std::string> keys;
};
VolumeDifference compare_volume(const StateDict& state, const std::string& prefix, const std::string& file, const body::WeightVolume& ours);

}  // namespace layeravatar::avatar
