#include "layeravatar/diffusion/unet.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/kernels/unet_layers.h"
#include "layeravatar/diffusion/norm_silu.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::diffusion {
namespace {

namespace nn = torch::nn;
using torch::Tensor;

nn::GroupNorm group_norm(int channels) { return nn::GroupNorm(nn::GroupNormOptions(norm_groups(channels), channels).eps(1e-5)); }

// silu(group_norm(x))
Tensor normed_silu(const nn::GroupNorm& norm, const Tensor& x) {
  const std::int64_t batch = x.size(0);
  return norm_silu(x, norm->weight.expand({batch, -1}), norm->bias.expand({batch, -1}), norm->options.num_groups());
}

// LibTorch draws the parameters of every layer that it makes: unfilled ones are made from the smallest of their kind.
template <class Layer, class Options>
Layer resized(Options options, int out, int in, std::int64_t side = 0) {
  Layer layer(options);
  std::vector<std::int64_t> shape{out, in};
  for (int k = static_cast<int>(layer->weight.dim()); k > 2; --k) shape.push_back(side);
  layer->weight.set_data(torch::empty(shape));
  layer->bias.set_data(torch::empty({out}));
  return layer;
}

nn::Conv2d conv2(int in, int out, int side, Fill fill, int stride = 1) {
  const auto options = [&](int from, int to) { return nn::Conv2dOptions(from, to, side).padding(side / 2).stride(stride); };
  return fill == Fill::kInitial ? nn::Conv2d(options(in, out)) : resized<nn::Conv2d>(options(1, 1), out, in, side);
}

nn::Conv2d conv3(int in, int out, Fill fill, int stride = 1) { return conv2(in, out, 3, fill, stride); }

nn::Conv1d conv1(int in, int out, Fill fill) {
  return fill == Fill::kInitial ? nn::Conv1d(nn::Conv1dOptions(in, out, 1)) : resized<nn::Conv1d>(nn::Conv1dOptions(1, 1, 1), out, in, 1);
}

nn::Linear linear(int in, int out, Fill fill) {
  return fill == Fill::kInitial ? nn::Linear(in, out) : resized<nn::Linear>(nn::LinearOptions(1, 1), out, in);
}

// In the type of x; bfloat16 runs with the channels last in memory, where oneDNN is fastest. Its weight gradient reads
// memory that nobody wrote when it pads above and below wide images (2.6.3 with AMX): those rows are padded here.
Tensor convolve(nn::Conv2d conv, const Tensor& x) {
  if (x.scalar_type() == torch::kFloat32) return conv->forward(x);
  const auto order = torch::MemoryFormat::ChannelsLast;
  const std::int64_t border = conv->weight.size(2) / 2;
  const Tensor padded = border == 0 ? x : torch::constant_pad_nd(x, {0, 0, border, border});
  return torch::conv2d(padded.contiguous(order), conv->weight.to(x.scalar_type()).contiguous(order),
                       conv->bias.to(x.scalar_type()), conv->options.stride(), torch::IntArrayRef{0, border});
}

// Every pixel twice in both directions.
Tensor doubled(const Tensor& x) {
  const std::int64_t batch = x.size(0), channels = x.size(1), rows = x.size(2), columns = x.size(3);
  if (x.scalar_type() == torch::kFloat32)
    return nn::functional::interpolate(
        x, nn::functional::InterpolateFuncOptions().scale_factor(std::vector<double>{2, 2}).mode(torch::kNearest));
  return x.permute({0, 2, 3, 1})
      .unsqueeze(3)
      .unsqueeze(2)
      .expand({batch, rows, 2, columns, 2, channels})
      .reshape({batch, 2 * rows, 2 * columns, channels})
      .permute({0, 3, 1, 2});
}

template <class Layer>
Layer zeroed(Layer layer, Fill fill) {
  if (fill == Fill::kNone) return layer;
  const torch::NoGradGuard no_grad;
  layer->weight.zero_();
  layer->bias.zero_();
  return layer;
}

// The release's containers leave gaps in their numbering where a layer has no parameters.
struct Numbered : nn::Module {
  template <class Layer>
  Layer add(int index, Layer layer) {
    return register_module(std::to_string(index), layer);
  }
};

struct TimeEmbedding : nn::Module {
  int half;
  nn::Linear first{nullptr}, second{nullptr};
  TimeEmbedding(int base, Fill fill) : half(base / 2) {
    auto blocks = register_module("blocks", std::make_shared<Numbered>());
    first = blocks->add(0, linear(base, 4 * base, fill));
    second = blocks->add(2, linear(4 * base, 4 * base, fill));
  }
  Tensor forward(const Tensor& t) { return second->forward(torch::silu(first->forward(sinusoidal_embedding(t, half)))); }
};

struct NormWithEmbedding : nn::Module {
  nn::GroupNorm norm{nullptr};
  nn::Linear modulation{nullptr};
  NormWithEmbedding(int channels, int embedding, Fill fill) {
    norm = register_module("norm", group_norm(channels));
    modulation = register_module("embedding_layer", std::make_shared<Numbered>())->add(1, linear(embedding, 2 * channels, fill));
  }
};

struct ResBlock : nn::Module {
  nn::GroupNorm norm{nullptr};
  nn::Conv2d first{nullptr}, second{nullptr}, shortcut{nullptr};
  std::shared_ptr<NormWithEmbedding> modulated;
  ResBlock(int in, int out, int embedding, Fill fill) {
    auto conv_1 = register_module("conv_1", std::make_shared<Numbered>());
    norm = conv_1->add(0, group_norm(in));
    first = conv_1->add(2, conv3(in, out, fill));
    modulated = register_module("norm_with_embedding", std::make_shared<NormWithEmbedding>(out, embedding, fill));
    second = register_module("conv_2", std::make_shared<Numbered>())->add(1, zeroed(conv3(out, out, fill), fill));
    if (in != out) shortcut = register_module("shortcut", conv2(in, out, 1, fill));
  }
  Tensor forward(const Tensor& x, const Tensor& embedding) {
    Tensor u = convolve(first, normed_silu(norm, x));
    // (gamma n + beta) (1 + a) + b = gamma (1 + a) n + beta (1 + a) + b
    const std::vector<Tensor> both = modulated->modulation->forward(torch::silu(embedding)).chunk(2, 1);
    const Tensor gain = both[0] + 1.0;
    const nn::GroupNorm& inner = modulated->norm;
    u = convolve(second, norm_silu(u, inner->weight * gain, torch::addcmul(both[1], inner->bias.expand_as(gain), gain),
                                   inner->options.num_groups()));
    return u + (shortcut.is_empty() ? x : convolve(shortcut, x));
  }
};

struct Attention : nn::Module {
  int heads;
  nn::GroupNorm norm{nullptr};
  nn::Conv1d qkv{nullptr}, proj{nullptr};
  Attention(int channels, int head_count, Fill fill) : heads(head_count) {
    norm = register_module("norm", group_norm(channels));
    qkv = register_module("qkv", conv1(channels, 3 * channels, fill));
    proj = register_module("proj", zeroed(conv1(channels, channels, fill), fill));
  }
  Tensor forward(const Tensor& x) {
    const std::int64_t batch = x.size(0), channels = x.size(1);
    const Tensor flat = x.to(torch::kFloat32).reshape({batch, channels, -1});
    const std::int64_t per_head = channels / heads;
    // Within each head the channels run q, k, v.
    const std::vector<Tensor> parts =
        qkv->forward(norm->forward(flat)).reshape({batch * heads, 3 * per_head, -1}).chunk(3, 1);
    const double scale = std::pow(static_cast<double>(per_head), -0.25);
    const Tensor weights = torch::softmax(torch::bmm((parts[0] * scale).transpose(1, 2), parts[1] * scale), -1);
    const Tensor out = torch::bmm(parts[2], weights.transpose(1, 2)).reshape({batch, channels, -1});
    return (flat + proj->forward(out)).reshape(x.sizes()).to(x.scalar_type());
  }
};

struct Down : nn::Module {
  nn::Conv2d conv{nullptr};
  Down(int channels, Fill fill) { conv = register_module("downsample", conv3(channels, channels, fill, 2)); }
};

struct Up : nn::Module {
  nn::Conv2d conv{nullptr};
  Up(int channels, Fill fill) { conv = register_module("conv", conv3(channels, channels, fill)); }
};

struct Head : nn::Module {
  nn::Conv2d conv{nullptr};
  nn::GroupNorm gn{nullptr};
  Head(int in, int out, Fill fill) {
    conv = register_module("conv", zeroed(conv3(in, out, fill), fill));
    gn = register_module("gn", group_norm(in));
  }
};

// What one entry of in_blocks or out_blocks does, in order.
struct Block : nn::Module {
  std::vector<std::shared_ptr<nn::Module>> parts;
  int next = 0;
  void add(std::shared_ptr<nn::Module> part) {
    register_module(std::to_string(next++), part);
    parts.push_back(std::move(part));
  }
};

Tensor run(const std::vector<std::shared_ptr<nn::Module>>& parts, Tensor x, const Tensor& embedding) {
  for (const auto& part : parts) {
    if (auto* res = dynamic_cast<ResBlock*>(part.get()))
      x = res->forward(x, embedding);
    else if (auto* attention = dynamic_cast<Attention*>(part.get()))
      x = attention->forward(x);
    else if (auto* down = dynamic_cast<Down*>(part.get()))
      x = convolve(down->conv, x);
    else if (auto* up = dynamic_cast<Up*>(part.get()))
      x = convolve(up->conv, doubled(x));
    else if (auto conv = std::dynamic_pointer_cast<nn::Conv2dImpl>(part))
      x = convolve(nn::Conv2d(conv), x);
    else
      throw Error(ErrorKind::kInternal, "unknown part of a U-Net block");
  }
  return x;
}

}  // namespace

void UNetConfig::check() const {
  const auto require = [](bool good, const std::string& name, const std::string& value, const std::string& range) {
    if (!good) throw Error(ErrorKind::kConfig, fmt::format("unet {} = {}, must be {}", name, value, range));
  };
  const auto levels = static_cast<int>(channel_factors.size());
  require(levels >= 1 && levels <= 10, "levels", std::to_string(levels), "in 1..10");
  require(in_channels >= 1, "in_channels", std::to_string(in_channels), ">= 1");
  require(resblocks >= 1, "resblocks", std::to_string(resblocks), ">= 1");
  require(prior_rank >= 0 && prior_rank <= 4096, "prior_rank", std::to_string(prior_rank), "in 0..4096");
  for (const int side : image_size)
    require(prior_rank == 0 || side % MixturePrior::kBlock == 0, "image_size", std::to_string(side), "a multiple of 8 with a prior");
  require(heads >= 1, "heads", std::to_string(heads), ">= 1");
  require(base_channels >= 2 && base_channels % 2 == 0 && base_channels <= 4096, "base_channels",
          std::to_string(base_channels), "even, in 2..4096");
  const int divisor = 1 << (levels - 1);
  for (const int side : image_size)
    require(side >= divisor && side % divisor == 0, "image_size", std::to_string(side),
            "a multiple of " + std::to_string(divisor));
  for (const int r : attention_res) require(r >= 1, "attention_res", std::to_string(r), ">= 1");
  for (const double f : channel_factors) {
    require(f > 0 && f <= 1024, "channel_factors", fmt::format("{}", f), "in (0, 1024]");
    const int channels = static_cast<int>(base_channels * f);
    require(channels >= heads && channels % heads == 0, "channel_factors", fmt::format("{}", f),
            fmt::format("such that its {} channels are a multiple of {} heads", channels, heads));
  }
}

UNet::UNet(const UNetConfig& config, Fill fill) : config_(config) {
  config.check();
  const int base = config.base_channels, embedding = 4 * base;
  const auto levels = static_cast<int>(config.channel_factors.size());
  const auto channels_of = [&](int level) {
    return static_cast<int>(base * config.channel_factors[static_cast<std::size_t>(level)]);
  };
  const int smaller = std::min(config.image_size[0], config.image_size[1]);
  const auto attends = [&](int level) {
    return std::any_of(config.attention_res.begin(), config.attention_res.end(),
                       [&](int r) { return (1 << level) == smaller / r; });
  };
  time_embedding_ = register_module("time_embedding", std::make_shared<TimeEmbedding>(base, fill));
  std::vector<int> skips;
  int width = channels_of(0);
  {
    auto block = std::make_shared<Block>();
    block->add(conv3(config.prior_rank > 0 ? 2 * config.in_channels : config.in_channels, width, fill).ptr());
    in_blocks_->push_back(block);
    skips.push_back(width);
  }
  for (int level = 0; level < levels; ++level) {
    for (int k = 0; k < config.resblocks; ++k) {
      auto block = std::make_shared<Block>();
      block->add(std::make_shared<ResBlock>(width, channels_of(level), embedding, fill));
      width = channels_of(level);
      if (attends(level)) block->add(std::make_shared<Attention>(width, config.heads, fill));
      in_blocks_->push_back(block);
      skips.push_back(width);
    }
    if (level + 1 == levels) break;
    auto block = std::make_shared<Block>();
    block->add(std::make_shared<Down>(width, fill));
    in_blocks_->push_back(block);
    skips.push_back(width);
  }
  mid_blocks_->push_back(std::make_shared<ResBlock>(width, width, embedding, fill));
  mid_blocks_->push_back(std::make_shared<Attention>(width, config.heads, fill));
  mid_blocks_->push_back(std::make_shared<ResBlock>(width, width, embedding, fill));
  for (int level = levels - 1; level >= 0; --level)
    for (int k = 0; k <= config.resblocks; ++k) {
      auto block = std::make_shared<Block>();
      block->add(std::make_shared<ResBlock>(width + skips.back(), channels_of(level), embedding, fill));
      skips.pop_back();
      width = channels_of(level);
      if (attends(level)) block->add(std::make_shared<Attention>(width, config.heads, fill));
      if (level > 0 && k == config.resblocks) block->add(std::make_shared<Up>(width, fill));
      out_blocks_->push_back(block);
    }
  in_blocks_ = register_module("in_blocks", in_blocks_);
  mid_blocks_ = register_module("mid_blocks", mid_blocks_);
  out_blocks_ = register_module("out_blocks", out_blocks_);
  out_ = register_module("out", std::make_shared<Head>(width, config.in_channels, fill));
  if (config.prior_rank > 0)
    prior_ = register_module("prior", std::make_shared<MixturePrior>(config.in_channels, config.image_size, config.prior_rank, config.prior_attributes));
}

Tensor sinusoidal_embedding(const Tensor& t, std::int64_t half) {
  const Tensor frequency = torch::exp(torch::arange(half, torch::kFloat32) * (-std::log(10000.0) / static_cast<double>(half)));
  const Tensor angle = t.to(torch::kFloat32).unsqueeze(1) * frequency;
  return torch::cat({angle.cos(), angle.sin()}, 1);
}

Tensor UNet::embed_time(const Tensor& t) { return static_cast<TimeEmbedding&>(*time_embedding_).forward(t); }

Tensor UNet::forward(const Tensor& x, const Tensor& t, const Classes* classes) {
  tensor::expect_shape(x, {-1, config_.in_channels, config_.image_size[0], config_.image_size[1]}, "x");
  tensor::expect_shape(t, {x.size(0)}, "t");
  return with_prior(x, t, [&](const Tensor& estimate) { return run_network(x, t, estimate); }, classes);
}

Tensor UNet::with_prior(const Tensor& x, const Tensor& t, const std::function<Tensor(const Tensor& estimate)>& network, const Classes* classes) const {
  if (!prior_) return network(Tensor());
  const Tensor estimate = prior_->estimate(x, t, classes);
  return prior_->velocity(x, estimate, t) + prior_->deviation(t) * network(estimate);
}

Tensor UNet::run_network(const Tensor& x, const Tensor& t, const Tensor& estimate) {
  const Tensor embedding = embed_time(t);
  const auto seen = [&](const std::string& block, const Tensor& output) {
    if (observer_) observer_(block, output);
  };
  std::vector<Tensor> skips;
  Tensor h = estimate.defined() ? torch::cat({x, estimate}, 1) : x;
  if (precision_ == Precision::kBfloat16) h = h.to(torch::kBFloat16, false, false, torch::MemoryFormat::ChannelsLast);
  for (const auto& block : *in_blocks_) {
    h = run(static_cast<Block&>(*block).parts, h, embedding);
    seen("in_blocks." + std::to_string(skips.size()), h);
    skips.push_back(h);
  }
  std::vector<std::shared_ptr<nn::Module>> middle;
  for (const auto& part : *mid_blocks_) middle.push_back(part);
  h = run(middle, h, embedding);
  seen("mid_blocks", h);
  for (const auto& block : *out_blocks_) {
    const std::size_t place = in_blocks_->size() - skips.size();
    h = run(static_cast<Block&>(*block).parts, torch::cat({h, skips.back()}, 1), embedding);
    seen("out_blocks." + std::to_string(place), h);
    skips.pop_back();
  }
  auto& head = static_cast<Head&>(*out_);
  return head.conv->forward(normed_silu(head.gn, h.to(torch::kFloat32)));
}

}  // namespace layeravatar::diffusion
