// Pack and seed to avatar, avatar and pose to pictures: what commands, previews and evaluation share.
#pragma once
#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "layeravatar/avatar/avatar_file.h"
#include "layeravatar/avatar/decoder.h"
#include "layeravatar/avatar/pack.h"
#include "layeravatar/deform/deformer.h"
#include "layeravatar/diffusion/schedule.h"
#include "layeravatar/diffusion/unet_engine.h"
#include "layeravatar/geometry/camera.h"
#include "layeravatar/io/png.h"
#include "layeravatar/produce/opening.h"
#include "layeravatar/produce/pixels.h"
#include "layeravatar/splat/render.h"

namespace layeravatar::produce {

/// A pack's networks, template and body, in evaluation mode.
struct Studio {
  avatar::PackConfig config;
  std::shared_future<std::string> pack_hash;
  std::shared_ptr<const deform::Deformer> deformer;
  std::shared_ptr<const avatar::MapSampler> sampler;
  std::shared_ptr<avatar::Decoder> decoder;
  std::shared_ptr<diffusion::UNet> unet;  // null in a pack without a denoiser
  std::shared_ptr<diffusion::UNetEngine> engine;  // its forward pass for sampling
  std::shared_ptr<const avatar::NeighbourTables> tables;  // of the template, for Settler; null: not made yet
  avatar::BetasRegression betas;
  avatar::PlaneActivation activation;     // of the release's codes that were not activated
  diffusion::Schedule schedule;
};

/// Throws Error(kInput) naming the pack's file when a network's tensors do not fit the configuration.
/// `begun`, unless null: of this file it is taken on with, once.
Studio open_studio(const std::filesystem::path& pack_file, Opening* begun = nullptr);
/// `packed`, unless null: of the pack's denoiser.
Studio make_studio(avatar::ModelPack pack, const std::string& file, std::shared_ptr<diffusion::PackedUNet> packed = nullptr);

/// Of the denoiser; see precision_of. Throws Error(kConfig) for another name.
void set_precision(const Studio& studio, const std::string& name);

/// Decoded once per avatar.
avatar::GaussianAttributes decode(const Studio& studio, const torch::Tensor& planes);

/// The avatar in a pose of its own body shape.
splat::Gaussians pose(const Studio& studio, const avatar::GaussianAttributes& attributes, const std::array<float, 10>& betas,
                      body::PoseParams params);

/// Base dressed with the donors' components; an empty pointer keeps the base's. Official packs use the release's rule.
struct Wardrobe {
  const avatar::Avatar* top = nullptr;
  const avatar::Avatar* bottom = nullptr;
  const avatar::Avatar* hair = nullptr;
  const avatar::Avatar* shoes = nullptr;
};
avatar::GaussianAttributes compose(const Studio& studio, const avatar::Avatar& base, const Wardrobe& donors);

/// Full, body, top, hair, shoes, bottom and labels side by side.
io::Image panels(const splat::RenderOutputs& outputs);
/// Each pixel's component by the largest visible weight, 0 where less than half is covered; [H, W] uint8 labels 0..5.
torch::Tensor label_map(const splat::RenderOutputs& outputs);

/// `empty_is_black`: components without Gaussians as the release leaves them; else background.
splat::RenderOutputs render_view(const splat::Gaussians& gaussians, const geometry::Camera& camera, bool components, bool empty_is_black = false);

/// Images of equal size in a grid, row by row, white where there are too few.
io::Image tile(const std::vector<io::Image>& images, int columns);

}  // namespace layeravatar::produce
