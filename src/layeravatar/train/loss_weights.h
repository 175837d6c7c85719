// Weights of the reconstruction loss. No LibTorch: settings carry them.
#pragma once

namespace layeravatar::train {

/// Weights of spec/model.md section 1.4, one stage's row; `order` is the default profile's own (avatar::LayerOrder).
struct LossWeights {
  double pixel = 18, seg = 18, inner = 5, skin = 0.5, opacity = 0.5, offset = 5, tv = 0.5, perceptual = 0,
         order = 0;
  double parts = 1;  // of the components' colours within `pixel`; 0 where no labels tell them apart
};

}  // namespace layeravatar::train
