// The small model of the recorded training steps (tests/golden/train).
#pragma once
#include <torch/optim/adam.h>
#include <torch/torch.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "layeravatar/body/smplx_file.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/nn/named_tensors.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/testing/deterministic_values.h"
#include "layeravatar/train/train_step.h"

namespace layeravatar::train {

inline const std::string kGolden = LAV_GOLDEN_DIR;

inline torch::Tensor mask_of(const std::vector<std::uint8_t>& mask) {
  torch::Tensor out = torch::empty({static_cast<std::int64_t>(mask.size())});
  std::copy(mask.begin(), mask.end(), out.data_ptr<float>());
  return out;
}

inline void fill(torch::nn::Module& module, const std::string& prefix) {
  const torch::NoGradGuard no_grad;
  for (auto& [name, tensor] : nn::named_tensors(module))
    if (tensor.scalar_type() == torch::kFloat32)
      torch::Tensor(tensor).copy_(tensor::from_floats(testing::deterministic_weights(prefix + name, tensor.sizes().vec()), tensor.sizes()));
}

struct RecordedRun {
  io::ArrayMap arrays = io::read_npz(kGolden + "/train/k_train_step_small.npz");
  nlohmann::json json = nlohmann::json::parse(read_file(kGolden + "/train/k_train_step_small.json"));
  Scaffold scaffold;
  Learned learned;
  TrainConfig config;
  std::vector<CodeState> codes;

  RecordedRun() {
    const auto layers = templates::from_arrays(io::read_npz(kGolden + "/avatar/d_template_small.npz"), "d_template_small.npz");
    scaffold.deformer = std::make_shared<deform::Deformer>(body::read_smplx_npz(kGolden + "/body/SMPLX_NEUTRAL.npz").model, layers);
    scaffold.sampler = std::make_shared<avatar::MapSampler>(layers.uvs);
    torch::Tensor is_body = torch::zeros({layers.count()});
    is_body.slice(0, 0, layers.body_count()).fill_(1.0);
    scaffold.offset_masks = {is_body, mask_of(layers.hands_mask), mask_of(layers.offset_mask())};
    scaffold.face_points = mask_of(layers.face_mask).nonzero().squeeze(1);
    diffusion::UNetConfig unet;
    unet.image_size = {32, 96};
    unet.base_channels = 64;
    learned.decoder = std::make_shared<avatar::Decoder>();
    learned.decoder_ema = std::make_shared<avatar::Decoder>();
    learned.unet = std::make_shared<diffusion::UNet>(unet);
    learned.unet_ema = std::make_shared<diffusion::UNet>(unet);
    fill(*learned.decoder, "decoder.");
    fill(*learned.decoder_ema, "decoder.");
    fill(*learned.unet, "unet.");
    fill(*learned.unet_ema, "unet.");
    learned.decoder_adam = std::make_unique<torch::optim::Adam>(learned.decoder->parameters(), torch::optim::AdamOptions(1e-3));
    learned.unet_adam = std::make_unique<torch::optim::Adam>(learned.unet->parameters(), torch::optim::AdamOptions(1e-4));
    config.loss_coef = 0.1 / (1024.0 * 1024.0);
    config.warmup = 0;  // the recorded steps ran at full step sizes
    config.stages = {Stage{}, Stage{}};
    config.stages[0].extra_scene_step = 3;
    config.stages[1].from = 9000;
    config.stages[1].extra_scene_step = 1;
    const torch::Tensor code = get("code0");
    for (int s = 0; s < 2; ++s)
      codes.push_back({code[s].clone(), torch::zeros_like(code[s]), torch::zeros_like(code[s]), 0});
  }
  [[nodiscard]] torch::Tensor get(const std::string& name) const { return tensor::to_tensor(arrays.at(name)); }
  static torch::Tensor normal(const std::string& name) {
    return tensor::from_floats(testing::deterministic(name, 2 * 12 * 32 * 96, testing::Kind::kNormal), {2, 12, 32, 96});
  }

  StepInput input(int step) {
    StepInput in;
    const torch::Tensor images = tensor::from_floats(testing::deterministic("ts.img", 2 * 8 * 64 * 64 * 3, testing::Kind::kUnit), {2, 8, 64, 64, 3});
    const torch::Tensor labels = get("label").repeat_interleave(8, 2).repeat_interleave(8, 3).contiguous();
    const torch::Tensor cameras = get("cameras"), smpl = get("smpl");
    for (int s = 0; s < 2; ++s) {
      SceneBatch scene;
      scene.images = images[s].permute({0, 3, 1, 2}).contiguous();
      scene.labels = labels[s].contiguous();
      for (int v = 0; v < 8; ++v) {
        geometry::Camera camera;
        for (int k = 0; k < 16; ++k) camera.camera_from_world[static_cast<std::size_t>(k)] = cameras[v][3 + k].item<float>();
        camera.focal = 312.5;
        camera.width = camera.height = 64;
        scene.cameras.push_back(camera);
      }
      const torch::Tensor row = smpl[s].contiguous();
      scene.params = body::pose_from_vector({row.data_ptr<float>(), 189});
      in.scenes.push_back(std::move(scene));
      in.codes.push_back(&codes[static_cast<std::size_t>(s)]);
    }
    in.timesteps = step == 0 ? torch::tensor({612, 123}) : torch::tensor({40, 871});
    in.noise = normal("ts.noise" + std::to_string(step));
    return in;
  }
  // 16-bit storage between visits.
  void round_codes() {
    for (CodeState& c : codes) {
      c.code = c.code.clamp(-65504, 65504).to(torch::kFloat16).to(torch::kFloat32);
      c.exp_avg = c.exp_avg.to(torch::kBFloat16).to(torch::kFloat32);
      c.exp_avg_sq = c.exp_avg_sq.to(torch::kBFloat16).to(torch::kFloat32);
    }
  }
};

}  // namespace layeravatar::train
