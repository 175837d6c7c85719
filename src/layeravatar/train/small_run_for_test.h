// A run small enough for tests: scenes of random pictures on the recorded body and template.
#pragma once
#include <torch/torch.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "layeravatar/body/smplx_file.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/train/trainer.h"

namespace layeravatar::train {

/// Pictures depend on scene and epoch.
class RandomScenes : public SceneSource {
 public:
  explicit RandomScenes(std::size_t count = 2) : count_(count) {}
  [[nodiscard]] std::vector<std::string> names() const override {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < count_; ++i) out.emplace_back(1, static_cast<char>('a' + i));
    return out;
  }
  [[nodiscard]] SceneBatch load(std::int64_t scene, std::int64_t epoch, int) override {
    auto generator = at::detail::createCPUGenerator(static_cast<std::uint64_t>(10 * scene + epoch));
    SceneBatch out;
    out.images = torch::rand({4, 3, 32, 32}, generator, torch::TensorOptions().dtype(torch::kFloat32));
    out.labels = torch::randint(6, {4, 32, 32}, generator, torch::kInt64).to(torch::kUInt8);
    for (int v = 0; v < 4; ++v) out.cameras.push_back(geometry::turntable_cameras(32)[static_cast<std::size_t>(9 * v)]);
    out.params = body::default_viewing_pose();
    return out;
  }

 private:
  std::size_t count_;
};

inline TrainConfig small_config(std::int64_t iterations) {
  TrainConfig c;
  c.iterations = iterations;
  c.planes_height = 16;
  c.views_per_scene = 4;
  c.unet_base_channels = 32;
  c.unet_channel_factors = {0.5, 1};
  c.unet_attention = {8};
  c.unet_scenes = 2;
  c.checkpoint_every = 2;
  c.log_every = 1;
  return c;
}

struct SmallBody {
  body::BodyModel body = body::read_smplx_npz(LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz").model;
  templates::LayeredTemplate layers =
      templates::from_arrays(io::read_npz(LAV_GOLDEN_DIR "/avatar/d_template_small.npz"), "d_template_small.npz");
};

}  // namespace layeravatar::train
