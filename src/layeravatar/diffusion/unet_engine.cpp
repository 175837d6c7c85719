#include "layeravatar/diffusion/unet_engine.h"

#include <torch/torch.h>

#include <omp.h>

#include <utility>
#include <vector>

#include "layeravatar/core/error.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::diffusion {
namespace {

using torch::Tensor;

// Changes whenever a parameter is written by LibTorch.
std::vector<std::int64_t> versions_of(const UNet& unet) {
  std::vector<std::int64_t> out;
  for (const Tensor& p : unet.parameters()) out.push_back(p._version());
  return out;
}

PackedUNet::Sizes sizes_of(const UNet& unet) {
  const UNetConfig& c = unet.config();
  return {c.image_size[0], c.image_size[1], c.in_channels, c.heads, c.prior_rank > 0, unet.precision() == Precision::kBfloat16};
}

std::shared_ptr<PackedUNet> packed_from(const UNet& unet) {
  const auto kept = std::make_shared<std::vector<Tensor>>();
  NamedWeights weights;
  for (const auto& p : unet.named_parameters()) {
    kept->push_back(p.value().detach().to(torch::kCPU).contiguous());
    weights[p.key()] = {tensor::floats(kept->back(), p.key()), kept->back().sizes().vec()};
  }
  return std::make_shared<PackedUNet>(weights, kept, sizes_of(unet));
}

}  // namespace

UNetEngine::UNetEngine(std::shared_ptr<UNet> unet, std::shared_ptr<PackedUNet> begun) : unet_(std::move(unet)), packed_(std::move(begun)) {
  if (packed_ != nullptr) versions_ = versions_of(*unet_);
}

UNetEngine::~UNetEngine() = default;

Tensor UNetEngine::forward(const Tensor& x, const Tensor& t, const Classes* classes) {
  const UNetConfig& config = unet_->config();
  tensor::expect_shape(x, {-1, config.in_channels, config.image_size[0], config.image_size[1]}, "x");
  tensor::expect_shape(t, {x.size(0)}, "t");
  const torch::NoGradGuard no_grad;
  prepare();
  const Tensor waves = sinusoidal_embedding(t, packed_->wave_count() / 2).contiguous();
  return unet_->with_prior(x, t, [&](const Tensor& seen) {
    const Tensor own = x.contiguous(), estimate = seen.defined() ? seen.contiguous() : seen;
    Tensor y = torch::empty_like(own);
    packed_->forward(tensor::floats(own, "x"), estimate.defined() ? tensor::floats(estimate, "estimate") : nullptr, tensor::floats(waves, "waves"),
                     static_cast<int>(own.size(0)), tensor::mutable_floats(y, "output"));
    return y;
  }, classes);
}

void UNetEngine::prepare() {
  const std::vector<std::int64_t> versions = versions_of(*unet_);
  if (packed_ == nullptr || !(packed_->sizes() == sizes_of(*unet_)) || versions_ != versions) {
    packed_.reset();
    packed_ = packed_from(*unet_);
    versions_ = versions;
    ready_ = false;
  }
  if (ready_) return;
#pragma omp parallel
  packed_->pack();
  packed_->wait_until_packed();
  ready_ = true;
}

UNetEngine::Work UNetEngine::work() const { return ready_ ? packed_->work() : Work{}; }

std::size_t UNetEngine::memory() const { return ready_ ? packed_->bytes() : 0; }

}  // namespace layeravatar::diffusion
