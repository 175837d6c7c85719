// official_pack FILE: a pack of the official sizes with random weights, for the time and the memory of whole commands.
#include <torch/torch.h>

#include <cstdio>

#include "layeravatar/avatar/decoder.h"
#include "layeravatar/avatar/pack.h"
#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/unet.h"
#include "layeravatar/nn/named_tensors.h"
#include "official_template.h"

namespace layeravatar {
namespace {

avatar::Tensors tensors_of(const torch::nn::Module& module) {
  avatar::Tensors out;
  for (const auto& [name, t] : nn::named_tensors(module)) out[name] = t.detach();
  return out;
}

void write(const char* file) {
  const torch::NoGradGuard no_grad;
  torch::manual_seed(1);
  avatar::ModelPack pack;
  pack.config.profile = "official";
  pack.config.planes_height = 128;
  pack.config.image_size = 1024;
  pack.config.provenance = "random weights";
  pack.body = bench::official_body();
  pack.layers = bench::official_template();
  pack.decoder = tensors_of(avatar::Decoder());
  diffusion::UNet unet{diffusion::UNetConfig()};
  for (torch::Tensor& p : unet.parameters())
    if (p.abs().max().item<float>() == 0) p.normal_(0, 0.02);  // the network's last layers start at zero
  pack.unet = tensors_of(unet);
  avatar::write_pack(file, pack, avatar::Storage::kExact);
}

}  // namespace
}  // namespace layeravatar

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: official_pack FILE\n"), 2;
  try {
    layeravatar::write(argv[1]);
  } catch (const layeravatar::Error& e) {
    return std::fprintf(stderr, "official_pack: error: %s\n", e.what()), e.exit_code();
  }
  return 0;
}
