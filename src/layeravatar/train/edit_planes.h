// Local editing: an avatar's planes moved until views look as they were painted, and nothing else changes. Not in the release.
#pragma once
#include <torch/types.h>

#include <functional>
#include <vector>

#include "layeravatar/produce/studio.h"

namespace layeravatar::train {

struct PaintedView {
  torch::Tensor image;  // [3, H, W] in [0, 1] on white
  torch::Tensor mask;   // [H, W] bool: where it was painted
  geometry::Camera camera;
};

struct EditOptions {
  int component = -1;         // 0..4 body, top, hair, shoes, bottom: the only one that may change; -1: all
  bool geometry = true;       // opacity and offset may change
  bool colour = true;         // colour may, and with it scale and rotation, which the decoder makes of the same planes
  int steps = 100;            // up to three times as many while the error in the masks still falls by a fifth in 20 steps
  std::function<void(int step)> observe;  // before each step; may be empty; throws to end the edit
};

/// Planes [12, h, 3h] after the edit, all networks frozen. Only texels move that the decoder reads for a Gaussian that the painted parts show, of the
/// component where one is given: one that projects into a mask and lies no more than 4 cm behind what is seen there, looked up anew
/// while things vanish. Inside the masks the pictures count, outside of them the views as they were, and every other Gaussian is held by its
/// attributes, so that sides that no view shows stay. `params` are the pose that the pictures show.
/// Throws Error(kInput) when a mask shows nothing of what may change, Error(kDiverged) at the first gradient that is not finite.
torch::Tensor edit_planes(const produce::Studio& studio, const torch::Tensor& planes, const body::PoseParams& params, const std::vector<PaintedView>& views,
                          const EditOptions& options);

}  // namespace layeravatar::train
